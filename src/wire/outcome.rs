//! Outcomes: the records of the `outcomes` topic, and the body of every reply.
//!
//! An outcome's bytes are a function of the log alone. Each names the command before it
//! (`follows`) and the hash of the outcome before it (`prev`), and ends with its own (`hash`), so
//! the topic is a chain: BLAKE3 over all its bytes before that last member, `prev` among them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::command::Decoder;
use super::fingerprint;
use super::hold::HoldBody;
use super::invalid::{Invalid, InvalidKind};
use super::leg::LegRecord;
use super::scalar::{Hex, Money, Str, Time};
use crate::ledger::amount::minor_of;
use crate::ledger::{
    Asset, BalanceId, Command, Decision, Direction, Effects, Entry, Fingerprint, Mark, Outcome,
    PartitionId, Rejection, Setting, State, Status, Terms, TransactionId,
};

/// The hash of the outcome before the first one.
pub const NO_HASH: Hex<32> = Hex([0; 32]);

/// The most bytes of an outcome in a log of `partitions`, which its topic must take: the last stop
/// of a walk sends every stop before it a settle, with the whole command in it.
pub const fn bytes_max(partitions: PartitionId) -> usize {
    // That of a reversal, which names the whole original beside what it says itself.
    const COMMAND: usize = 47 * 1024;
    const ENTRIES: usize = 256 * 1024;
    COMMAND * partitions as usize + ENTRIES
}

/// How the last member of an outcome's JSON begins: its own hash.
const HASH_MEMBER: &[u8] = b",\"hash\":\"";

/// The hash of an outcome, worked out of its bytes: over all of them before its last member. The
/// next outcome names it as its `prev`.
pub fn hash(value: &[u8]) -> Hex<32> {
    const TAIL: usize = HASH_MEMBER.len() + 64 + b"\"}".len();
    let (head, tail) = value.split_at(value.len().saturating_sub(TAIL));
    let hashed = match tail.starts_with(HASH_MEMBER) {
        true => head,
        false => value.strip_suffix(b"}").unwrap_or(value),
    };
    Hex(*blake3::hash(hashed).as_bytes())
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutcomeBody<'a> {
    pub partition: PartitionId,
    /// The command's offset in its partition.
    pub offset: u64,
    /// The command decided before this one.
    pub follows: Option<u64>,
    pub prev: Hex<32>,
    pub at: Time,
    #[serde(borrow)]
    pub status: Str<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Str<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Uuid>,
    #[serde(
        borrow,
        rename = "type",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub kind: Option<Str<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Str<'a>>,
    /// Of a reversal: the transaction that it moves back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<Uuid>,
    /// The command offset whose decision this repeats; such an outcome changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<u64>,
    /// Which balance a rejection speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedBody>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<EntryBody<'a>>,
    /// A hold as it is after this decision.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldBody<'a>>,
    /// Legs that this decision sends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<LegRecord>,
    /// The leg that was decided, if the record was one and had its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegInBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Hex<16>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Time>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Str<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<GenesisBody>,
    /// The rules that are in force from the next record on, if they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u32>,
    /// In this partition, nothing of the ledger may take effect before that any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_before: Option<Time>,
    /// Over everything before it; the last member of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hex<32>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RefusedBody {
    pub balance: Uuid,
    /// Its version then; absent for a balance that is not there.
    pub version: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LegInBody {
    pub from: PartitionId,
    pub number: u64,
}

/// The first record of a log's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenesisBody {
    pub generation: Uuid,
    pub horizon_seconds: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntryBody<'a> {
    pub balance: Uuid,
    pub version: u64,
    #[serde(borrow)]
    pub direction: Str<'a>,
    pub amount: Money,
    #[serde(borrow)]
    pub asset: Str<'a>,
    pub posted: Money,
    pub held: Money,
    pub incoming: Money,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<TermsBody<'a>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TermsBody<'a> {
    #[serde(borrow)]
    pub ledger: Str<'a>,
    #[serde(borrow)]
    pub account: Str<'a>,
    #[serde(borrow)]
    pub key: Str<'a>,
    pub floor: Option<Money>,
    pub ceiling: Option<Money>,
    #[serde(borrow)]
    pub status: Str<'a>,
}

impl<'a> OutcomeBody<'a> {
    /// The body of a decision in `partition`; `prev` is the hash of the outcome before it.
    pub fn of(outcome: &'a Outcome, partition: PartitionId, prev: Hex<32>) -> Self {
        let command = outcome.command.as_deref();
        let note = command.map(|command| &command.note);
        let fresh = outcome.replay_of.is_none();
        let metadata = note
            .filter(|_| fresh)
            .and_then(|note| note.metadata.as_deref());
        Self {
            partition,
            offset: outcome.offset,
            follows: outcome.follows,
            prev,
            at: Time(outcome.at_ms),
            status: outcome.decision.status().into(),
            reason: outcome.decision.reason().map(Into::into),
            reference: command.map(|command| (*command.reference).into()),
            transaction_id: outcome.transaction.map(TransactionId::uuid),
            kind: command.map(|command| command.kind().into()),
            ledger: command.map(|command| (*command.ledger).into()),
            reverses: command
                .and_then(Command::reverse)
                .map(|reverse| reverse.transaction.uuid()),
            replay_of: outcome.replay_of,
            refused: outcome.detail.map(|detail| RefusedBody {
                balance: detail.balance.uuid(),
                version: detail.version,
            }),
            entries: outcome.effects.entries.iter().map(entry_body).collect(),
            hold: outcome
                .effects
                .hold
                .as_deref()
                .map(|(id, hold)| HoldBody::of(*id, hold)),
            legs: outcome.legs.iter().map(LegRecord::of).collect(),
            leg: outcome
                .effects
                .received
                .map(|(from, number)| LegInBody { from, number }),
            fingerprint: command.map(|command| Hex(command.fingerprint.0)),
            effective_at: note
                .filter(|_| fresh)
                .and_then(|note| note.effective_at)
                .map(Time),
            description: note
                .filter(|_| fresh)
                .and_then(|note| note.description.as_deref())
                .map(Into::into),
            metadata: metadata.and_then(|text| serde_json::from_str(text).ok()),
            genesis: outcome.effects.setting.map(|setting| GenesisBody {
                generation: setting.generation,
                horizon_seconds: setting.horizon_seconds,
            }),
            rules: outcome.effects.rules,
            closed_before: outcome.effects.closed.as_ref().map(|(_, at)| Time(*at)),
            hash: None,
        }
    }

    /// Writes the record's value, which ends with its hash, and tells that hash.
    pub fn seal(&self, record: &mut Vec<u8>) -> serde_json::Result<Hex<32>> {
        let start = record.len();
        serde_json::to_writer(&mut *record, self)?;
        let hash = hash(&record[start..]);
        record.pop();
        record.extend_from_slice(HASH_MEMBER);
        record.extend_from_slice(hex::encode(hash.0).as_bytes());
        record.extend_from_slice(b"\"}");
        Ok(hash)
    }

    pub fn parse(json: &'a [u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(json).map_err(|error| broken("", error.to_string()))
    }

    /// The decision, with what it needs of status and reason.
    pub fn decision(&self) -> Result<Decision, Invalid> {
        Decision::from_wire(&self.status, self.reason.as_deref())
            .ok_or_else(|| broken("status", format!("{} is unknown", &*self.status)))
    }

    /// The outcome as the ledger folds it. What folding does not need, the command and the legs'
    /// contents, is left out.
    pub fn to_ledger(&self, decoder: &mut Decoder) -> Result<Outcome, Invalid> {
        let decision = self.decision()?;
        let entries = self.entries.iter().map(|entry| entry_of(entry, decoder));
        let entries = entries.collect::<Result<_, _>>()?;
        let hold = self.hold.as_ref().map(|hold| hold.to_ledger(decoder));
        let effects = Effects {
            entries,
            hold: hold.transpose()?.map(Box::new),
            mark: self.mark(decision),
            received: self.leg.map(|leg| (leg.from, leg.number)),
            sent: self.legs.iter().map(|leg| (leg.to, leg.number)).collect(),
            closed: match (self.closed_before, &self.ledger) {
                (Some(before), Some(ledger)) => Some((shared_ledger(decoder, ledger), before.0)),
                _ => None,
            },
            setting: self.genesis.map(|genesis| Setting {
                generation: genesis.generation,
                horizon_seconds: genesis.horizon_seconds,
            }),
            rules: self.rules,
        };
        Ok(Outcome {
            offset: self.offset,
            at_ms: self.at.0,
            follows: self.follows,
            decision,
            transaction: self.transaction_id.and_then(TransactionId::from_uuid),
            command: None,
            replay_of: self.replay_of,
            detail: None,
            effects,
            legs: Vec::new(),
        })
    }

    /// What a partition remembers by this outcome: a repeat or a reused reference adds nothing.
    fn mark(&self, decision: Decision) -> Option<Mark> {
        let remembered = match decision {
            Decision::Ignored(_)
            | Decision::Expired
            | Decision::Rejected(Rejection::ReferenceReused) => return None,
            Decision::Returned(reason) => Decision::Rejected(reason),
            Decision::Applied
            | Decision::Held
            | Decision::Posted
            | Decision::Voided
            | Decision::Forwarded
            | Decision::Rejected(_) => decision,
        };
        if self.replay_of.is_some() {
            return None;
        }
        let transaction = self.transaction_id.and_then(TransactionId::from_uuid)?;
        let key = fingerprint::seen_key(self.ledger.as_deref()?, self.reference.as_deref()?);
        let key = match transaction.home() == self.partition {
            true => key,
            false => key.at_stop(transaction),
        };
        Some(Mark {
            key,
            transaction,
            fingerprint: Fingerprint(self.fingerprint?.0),
            decision: remembered,
        })
    }
}

fn entry_body(entry: &Entry) -> EntryBody<'_> {
    let money = |minor| Money::of(minor, entry.asset.scale());
    EntryBody {
        balance: entry.balance.uuid(),
        version: entry.after.version,
        direction: entry.direction.slug().into(),
        amount: money(entry.amount),
        asset: entry.asset.as_str().into(),
        posted: money(entry.after.posted),
        held: money(entry.after.held),
        incoming: money(entry.after.incoming),
        terms: entry.terms.as_deref().map(|terms| TermsBody {
            ledger: (*terms.ledger).into(),
            account: (*terms.account).into(),
            key: (*terms.key).into(),
            floor: terms.floor.map(money),
            ceiling: terms.ceiling.map(money),
            status: terms.status.slug().into(),
        }),
    }
}

fn entry_of(body: &EntryBody<'_>, decoder: &mut Decoder) -> Result<Entry, Invalid> {
    let asset = Asset::parse(&body.asset).map_err(|error| broken("asset", error.to_string()))?;
    let minor = |money: Money| {
        minor_of(money.0, asset.scale()).map_err(|error| broken("amount", error.to_string()))
    };
    let direction = Direction::from_slug(&body.direction);
    let terms = match &body.terms {
        None => None,
        Some(terms) => Some(Box::new(Terms {
            ledger: shared_ledger(decoder, &terms.ledger),
            account: (*terms.account).into(),
            key: (*terms.key).into(),
            floor: terms.floor.map(minor).transpose()?,
            ceiling: terms.ceiling.map(minor).transpose()?,
            status: Status::from_slug(&terms.status)
                .ok_or_else(|| broken("terms.status", "is unknown".to_owned()))?,
        })),
    };
    Ok(Entry {
        balance: BalanceId::new(body.balance),
        direction: direction.ok_or_else(|| broken("direction", "is unknown".to_owned()))?,
        amount: minor(body.amount)?,
        asset,
        after: State {
            posted: minor(body.posted)?,
            held: minor(body.held)?,
            incoming: minor(body.incoming)?,
            version: body.version,
        },
        terms,
    })
}

/// A ledger's name, shared between balances; the system's own ledger is not a client's name.
pub fn shared_ledger(decoder: &mut Decoder, text: &str) -> Arc<str> {
    decoder.ledger(text).unwrap_or_else(|_| text.into())
}

fn broken(field: &str, detail: String) -> Invalid {
    Invalid::new(InvalidKind::MalformedRequest, field, detail)
}
