//! Legs: what a partition asks of another, sealed with a keyed hash so that nobody who may write
//! commands can forge money.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::command::{CommandBody, Decoder};
use super::invalid::{Invalid, InvalidKind};
use super::scalar::{Hex, Money, Str};
use crate::ledger::amount::minor_of;
use crate::ledger::{
    Amount, Asset, BalanceId, Carried, Command, Leg, PartitionId, Portion, RULES_FIRST, Rejection,
    ReplyTo, Step, TransactionId,
};

/// The header that makes a record of `commands` a leg; its value is [`VERSION`].
pub const HEADER: &str = "steelyard-leg";
/// The header with the seal, in hex.
pub const SEAL_HEADER: &str = "steelyard-seal";
/// The header of an owner's own record that expires a hold; its value is [`VERSION`].
pub const TICK_HEADER: &str = "steelyard-tick";
/// On a forwarded record: `partition/offset` it arrived at.
pub const ORIGIN_HEADER: &str = "steelyard-origin";
/// The format of the value.
pub const VERSION: &str = "1";

/// The key that seals legs. Every processor of a log has the same.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(masked)")
    }
}

impl Secret {
    /// Derives the key from a text of at least 16 bytes.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() < 16 {
            return Err(format!(
                "the leg secret has {} bytes, at least 16 are needed",
                text.len()
            ));
        }
        Ok(Self(blake3::derive_key(
            "steelyard 2026-11 leg seal",
            text.as_bytes(),
        )))
    }

    /// The seal over a leg record's key and value.
    pub fn seal(&self, key: &[u8], value: &[u8]) -> Hex<32> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher
            .update(&(key.len() as u64).to_be_bytes())
            .update(key)
            .update(value);
        Hex(*hasher.finalize().as_bytes())
    }

    pub(super) fn verify(&self, key: &[u8], value: &[u8], seal: &[u8]) -> bool {
        let mut given = [0; 32];
        let read = hex::decode_to_slice(seal, &mut given);
        read.is_ok() && bool::from(self.seal(key, value).0.ct_eq(&given))
    }
}

/// A leg as it stands in its sender's outcome: enough to send it again, byte for byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LegRecord {
    pub to: PartitionId,
    pub number: u64,
    pub key: Uuid,
    pub value: Box<RawValue>,
}

/// The value of a leg record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegBody<'a> {
    pub from: PartitionId,
    pub to: PartitionId,
    pub number: u64,
    #[serde(borrow)]
    pub step: Str<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Uuid>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<CarriedBody<'a>>,
    /// The portions of a hold that were posted or given up, or of a transaction that move back.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub portions: Vec<PortionBody<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_offset: Option<u64>,
    /// The rules that its receiver has to go by; absent for the first ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u32>,
    #[serde(borrow)]
    pub command: CommandBody<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplyBody<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Str<'a>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CarriedBody<'a> {
    #[serde(borrow)]
    pub asset: Str<'a>,
    pub amount: Money,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortionBody<'a> {
    /// The posting's place in the transaction.
    pub posting: u16,
    pub source: Uuid,
    pub destination: Uuid,
    pub amount: Money,
    #[serde(borrow)]
    pub asset: Str<'a>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReplyBody<'a> {
    #[serde(borrow)]
    pub topic: Str<'a>,
    pub partition: Option<i32>,
    /// Hex of the correlation id's bytes.
    #[serde(borrow)]
    pub correlation: Str<'a>,
}

impl LegRecord {
    /// The record of a leg.
    pub fn of(leg: &Leg) -> Self {
        let command = leg.step.command();
        let body = LegBody {
            from: leg.from,
            to: leg.to,
            number: leg.number,
            step: leg.step.slug().into(),
            transaction_id: leg.step.transaction().map(TransactionId::uuid),
            carried: leg.step.carried().iter().map(carried_body).collect(),
            portions: leg.step.portions().iter().map(portion_body).collect(),
            reason: leg.step.reason().map(|reason| reason.slug().into()),
            origin_offset: leg.step.origin_offset(),
            rules: Some(leg.rules).filter(|rules| *rules != RULES_FIRST),
            command: CommandBody::of(command),
            reply: command.note.reply.as_ref().map(reply_body),
            traceparent: command.note.trace.as_deref().map(Into::into),
        };
        let value = serde_json::value::to_raw_value(&body).expect("a leg's body is plain JSON");
        Self {
            to: leg.to,
            number: leg.number,
            key: leg.key.uuid(),
            value,
        }
    }
}

fn forged(detail: &str) -> Invalid {
    Invalid::new(InvalidKind::ForgedLeg, SEAL_HEADER, detail)
}

/// Whether a processor of this log wrote the record.
pub fn verify(secret: &Secret, key: &[u8], value: &[u8], seal: &[u8]) -> Result<(), Invalid> {
    match secret.verify(key, value, seal) {
        true => Ok(()),
        false => Err(forged("does not seal this key and value")),
    }
}

/// Opens a leg record: the seal first, then the content. `here` is the partition it arrived at,
/// `count` how many there are.
pub fn open(
    decoder: &mut Decoder,
    secret: &Secret,
    key: &[u8],
    value: &[u8],
    seal: &[u8],
    (here, count): (PartitionId, PartitionId),
) -> Result<Leg, Invalid> {
    verify(secret, key, value, seal)?;
    let body: LegBody<'_> = serde_json::from_slice(value)
        .map_err(|error| Invalid::new(InvalidKind::MalformedRequest, "", error.to_string()))?;
    if body.to != here || body.from >= count || body.from == here {
        return Err(forged("seals a leg of another way"));
    }
    let key = std::str::from_utf8(key)
        .ok()
        .and_then(|text| Uuid::parse_str(text).ok());
    let key = BalanceId::new(key.ok_or_else(|| forged("seals a key that is no balance id"))?);
    let reply = body.reply.as_ref().map(reply_of).transpose()?;
    let trace = body.traceparent.as_deref().map(Into::into);
    let command = Arc::new(decoder.accept(&body.command, reply, trace)?);
    let step = step_of(&body, command).ok_or_else(|| forged("seals a step that is unknown"))?;
    Ok(Leg {
        from: body.from,
        to: body.to,
        number: body.number,
        key,
        rules: body.rules.unwrap_or(RULES_FIRST),
        step,
    })
}

fn step_of(body: &LegBody<'_>, command: Arc<Command>) -> Option<Step> {
    let transaction = body.transaction_id.and_then(TransactionId::from_uuid);
    let carried = || {
        body.carried
            .iter()
            .map(carried_of)
            .collect::<Option<Vec<_>>>()
    };
    let portions = || {
        let portions = body.portions.iter().map(portion_of);
        portions.collect::<Option<Vec<_>>>()
    };
    let step = match &*body.step {
        "visit" => Step::Visit {
            transaction: transaction?,
            command,
            carried: carried()?,
            portions: portions()?,
        },
        "settle" => Step::Settle {
            transaction: transaction?,
            command,
            carried: carried()?,
            portions: portions()?,
        },
        "unwind" => Step::Unwind {
            transaction: transaction?,
            command,
            carried: carried()?,
            reason: body.reason.as_deref().and_then(Rejection::from_slug)?,
            portions: portions()?,
        },
        "question" => Step::Question {
            transaction: transaction?,
            command,
        },
        "take" => Step::Take {
            transaction: transaction?,
            command,
            portions: portions()?,
        },
        "give" => Step::Give {
            transaction: transaction?,
            command,
            carried: carried()?,
            portions: portions()?,
        },
        "release" => Step::Release {
            transaction: transaction?,
            command,
            portions: portions()?,
        },
        "forward" => Step::Forward {
            command,
            origin_offset: body.origin_offset?,
        },
        _ => return None,
    };
    Some(step)
}

fn carried_body(carried: &Carried) -> CarriedBody<'_> {
    // A walk may carry more than one balance may hold: a hundred postings of 28 digits. Such a
    // walk is refused at its home stop, where the transit balance would have to hold it all.
    let amount = Money::of(carried.amount, carried.asset.scale());
    CarriedBody {
        asset: carried.asset.as_str().into(),
        amount,
    }
}

fn carried_of(body: &CarriedBody<'_>) -> Option<Carried> {
    let asset = Asset::parse(&body.asset).ok()?;
    let amount = minor_of(body.amount.0, asset.scale())
        .ok()
        .filter(|amount| *amount > 0)?;
    Some(Carried { asset, amount })
}

fn portion_body(portion: &Portion) -> PortionBody<'_> {
    PortionBody {
        posting: portion.index,
        source: portion.source.uuid(),
        destination: portion.destination.uuid(),
        amount: Money::of(portion.amount.minor(), portion.asset.scale()),
        asset: portion.asset.as_str().into(),
    }
}

fn portion_of(body: &PortionBody<'_>) -> Option<Portion> {
    let asset = Asset::parse(&body.asset).ok()?;
    Some(Portion {
        index: body.posting,
        source: BalanceId::new(body.source),
        destination: BalanceId::new(body.destination),
        asset,
        amount: Amount::from_decimal(body.amount.0, asset.scale()).ok()?,
    })
}

fn reply_body(reply: &ReplyTo) -> ReplyBody<'_> {
    ReplyBody {
        topic: (*reply.topic).into(),
        partition: reply.partition,
        correlation: Str(hex::encode(&reply.correlation).into()),
    }
}

fn reply_of(body: &ReplyBody<'_>) -> Result<ReplyTo, Invalid> {
    let correlation = hex::decode(&*body.correlation);
    let correlation = correlation.map_err(|error| {
        Invalid::new(
            InvalidKind::ForgedLeg,
            "reply.correlation",
            error.to_string(),
        )
    })?;
    Ok(ReplyTo {
        topic: (*body.topic).into(),
        partition: body.partition,
        correlation: correlation.into_boxed_slice(),
    })
}
