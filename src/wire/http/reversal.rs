//! What a client asks of a reversal, and what a transaction says of those that it had.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::{main_ledger, parse};
use crate::ledger::Asset;
use crate::wire::command::{self, CommandBody, Kind, PostingBody, ReverseBody};
use crate::wire::scalar::{Money, Pairs, Str, Time};
use crate::wire::{Invalid, InvalidKind};

/// A reversal of the transaction that the path names.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReverseRequest<'a> {
    /// Your own name of this reversal, unique in its ledger. The header `Idempotency-Key` is an
    /// alias.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 128)]
    pub reference: Option<Str<'a>>,
    /// The transaction's: `LEDGER` or `ORGANIZATION/LEDGER`.
    #[serde(borrow, default = "main_ledger")]
    #[schema(value_type = String, default = "main")]
    pub ledger: Str<'a>,
    /// How much, from the transaction's postings in their order; left out, all that is left.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "12.50")]
    pub amount: Option<Money>,
    /// Of `amount`; left out, the transaction's.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, example = "USD")]
    pub asset: Option<Str<'a>>,
    /// Whether a balance may go below its floor for it. The API key has to allow it.
    #[serde(default)]
    pub force: bool,
    /// As in a transaction.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>)]
    pub expect: Option<Pairs<Uuid, u64>>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_at: Option<Time>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 256)]
    pub description: Option<Str<'a>>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub metadata: Option<Pairs<Str<'a>, Str<'a>>>,
}

/// What a transaction of type `reverse` moves back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReversePart<'a> {
    /// Of the transaction to reverse, in the same ledger.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub reference: Str<'a>,
    /// How much, from its postings in their order; left out, all that is left.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "12.50")]
    pub amount: Option<Money>,
    /// Of `amount`; left out, the transaction's.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, example = "USD")]
    pub asset: Option<Str<'a>>,
    /// Whether a balance may go below its floor for it. The API key has to allow it.
    #[serde(default)]
    pub force: bool,
}

/// A transaction that was found by its reference, and the command that it was.
#[derive(Clone, Debug)]
pub struct KnownOriginal {
    pub transaction: Uuid,
    /// As it stands on the log: the JSON of a command.
    pub command: Arc<[u8]>,
}

impl<'a> ReverseRequest<'a> {
    /// The part of a transaction that this means for the transaction of `reference`.
    pub fn part(&'a self, reference: &'a str) -> ReversePart<'a> {
        ReversePart {
            reference: reference.into(),
            amount: self.amount,
            asset: self.asset.as_deref().map(Into::into),
            force: self.force,
        }
    }
}

impl<'a> ReversePart<'a> {
    /// Refuses a reference that no transaction can have.
    pub fn check(&self) -> Result<(), Invalid> {
        let named = command::reference(Some(&self.reference));
        named.map(drop).map_err(|mut invalid| {
            invalid.field.insert_str(0, "reverse.");
            invalid
        })
    }

    /// The part of a command that this means for `original`.
    pub fn body(&'a self, original: &'a KnownOriginal) -> Result<ReverseBody<'a>, Invalid> {
        let command: CommandBody<'a> = parse(&original.command)?;
        if command.kind != Kind::Transfer {
            let detail = "names no transfer and no hold: nothing else is reversed";
            return Err(Invalid::new(
                InvalidKind::InvalidOriginal,
                "reference",
                detail,
            ));
        }
        let postings = command.postings.as_deref().unwrap_or_default();
        let given = self.asset.as_deref().map(str::to_owned);
        let asset = given.or_else(|| only_asset(postings));
        let asset = asset.filter(|_| self.amount.is_some() || self.asset.is_some());
        Ok(ReverseBody {
            transaction: original.transaction,
            amount: self.amount,
            asset: asset.map(|asset| Str(asset.into())),
            force: self.force,
            original: Box::new(command),
        })
    }
}

/// The asset of all postings, if it is one.
fn only_asset(postings: &[PostingBody<'_>]) -> Option<String> {
    let mut assets = postings.iter().map(|posting| Asset::parse(&posting.asset));
    let first = assets.next()?.ok()?;
    let alone = assets.all(|asset| asset.as_ref() == Ok(&first));
    alone.then(|| first.to_string())
}

/// How much of one asset.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Sum)]
pub struct SumView<'a> {
    #[serde(borrow)]
    #[schema(value_type = String, example = "USD/2")]
    pub asset: Str<'a>,
    #[schema(value_type = String, example = "12.50")]
    pub amount: Money,
}
