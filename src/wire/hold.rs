//! A hold's latest state: a member of the outcomes that change it, and the value of `hold:<id>` on
//! `snapshots`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::Decoder;
use super::invalid::{Invalid, InvalidKind};
use super::outcome::shared_ledger;
use super::scalar::{Money, Str, Time};
use crate::ledger::amount::minor_of;
use crate::ledger::{Asset, BalanceId, Hold, Part, PartitionId, Stage, TransactionId};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldBody<'a> {
    /// The id of the transaction that made it.
    pub id: Uuid,
    #[serde(borrow)]
    pub ledger: Str<'a>,
    #[serde(borrow)]
    pub reference: Str<'a>,
    #[serde(borrow)]
    pub state: Str<'a>,
    /// Left out: never, or known at the hold's home only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// How many reversals of it have set out, known at home; left out where that is none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub reversals: u64,
    pub version: u64,
    /// All postings at the hold's home, elsewhere those that touch the partition.
    #[serde(borrow)]
    pub postings: Vec<PartBody<'a>>,
    /// The last command that changed it, and its log time.
    pub command_offset: u64,
    pub at: Time,
    /// Which partition keeps this, and which ownership wrote it: on `snapshots` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartBody<'a> {
    /// Its place in the transaction.
    pub posting: u16,
    pub source: Uuid,
    pub destination: Uuid,
    #[serde(borrow)]
    pub asset: Str<'a>,
    pub amount: Money,
    /// What is still reserved.
    pub rest: Money,
    pub posted: Money,
    /// What of that was reversed, known at home; left out where that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed: Option<Money>,
}

impl<'a> HoldBody<'a> {
    /// As it stands in an outcome.
    pub fn of(id: TransactionId, hold: &'a Hold) -> Self {
        Self {
            id: id.uuid(),
            ledger: (*hold.ledger).into(),
            reference: (*hold.reference).into(),
            state: hold.stage.slug().into(),
            expires_at: hold.expires_at_ms.map(Time),
            reversals: hold.reversals,
            version: hold.version,
            postings: hold.parts.iter().map(part_body).collect(),
            command_offset: hold.offset,
            at: Time(hold.at_ms),
            partition: None,
            epoch: None,
        }
    }

    /// As it stands on `snapshots`.
    pub fn snapshot(id: TransactionId, hold: &'a Hold, partition: PartitionId, epoch: u64) -> Self {
        Self {
            partition: Some(partition),
            epoch: Some(epoch),
            ..Self::of(id, hold)
        }
    }

    pub fn parse(json: &'a [u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(json).map_err(|error| broken("", error.to_string()))
    }

    pub fn to_ledger(&self, decoder: &mut Decoder) -> Result<(TransactionId, Hold), Invalid> {
        let id = TransactionId::from_uuid(self.id);
        let stage = Stage::from_slug(&self.state);
        let parts = self.postings.iter().map(part_of);
        let hold = Hold {
            ledger: shared_ledger(decoder, &self.ledger),
            reference: (*self.reference).into(),
            stage: stage.ok_or_else(|| broken("state", "is unknown".to_owned()))?,
            parts: parts.collect::<Result<_, _>>()?,
            expires_at_ms: self.expires_at.map(|at| at.0),
            reversals: self.reversals,
            version: self.version,
            offset: self.command_offset,
            at_ms: self.at.0,
        };
        let id = id.ok_or_else(|| broken("id", "is no transaction's".to_owned()))?;
        Ok((id, hold))
    }
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

fn part_body(part: &Part) -> PartBody<'_> {
    let money = |minor| Money::of(minor, part.asset.scale());
    PartBody {
        posting: part.index,
        source: part.source.uuid(),
        destination: part.destination.uuid(),
        asset: part.asset.as_str().into(),
        amount: money(part.amount),
        rest: money(part.rest),
        posted: money(part.posted),
        reversed: (part.reversed != 0).then(|| money(part.reversed)),
    }
}

fn part_of(body: &PartBody<'_>) -> Result<Part, Invalid> {
    let asset = Asset::parse(&body.asset).map_err(|error| broken("asset", error.to_string()))?;
    let minor = |money: Money| {
        minor_of(money.0, asset.scale()).map_err(|error| broken("amount", error.to_string()))
    };
    Ok(Part {
        index: body.posting,
        source: BalanceId::new(body.source),
        destination: BalanceId::new(body.destination),
        asset,
        amount: minor(body.amount)?,
        rest: minor(body.rest)?,
        posted: minor(body.posted)?,
        reversed: body.reversed.map_or(Ok(0), minor)?,
    })
}

fn broken(field: &str, detail: String) -> Invalid {
    Invalid::new(InvalidKind::MalformedRequest, field, detail)
}
