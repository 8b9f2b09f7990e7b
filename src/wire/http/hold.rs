//! What a client asks of a hold, and a hold as a client reads it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ledger::{BalanceId, Command, PartitionId, TransactionId, partition_of};
use crate::wire::command::{CommandBody, Decoder, Kind, PostBody, TargetBody};
use crate::wire::hold::{HoldBody, PartBody};
use crate::wire::http::TransactionView;
use crate::wire::http::request::main_ledger;
use crate::wire::scalar::{Money, Pairs, Str, Time};
use crate::wire::{Invalid, InvalidKind};

/// A post or void of the hold that the path names.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnHoldRequest<'a> {
    /// Your own name of this post or void, unique in its ledger. The header `Idempotency-Key` is
    /// an alias.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 128)]
    pub reference: Option<Str<'a>>,
    /// The hold's: `LEDGER` or `ORGANIZATION/LEDGER`.
    #[serde(borrow, default = "main_ledger")]
    #[schema(value_type = String, default = "main")]
    pub ledger: Str<'a>,
    /// Of a post: how much, from the hold's postings in their order; left out, all that is left.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "12.50")]
    pub amount: Option<Money>,
    /// Of `amount`; left out, the hold's.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, example = "USD")]
    pub asset: Option<Str<'a>>,
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

/// A hold that was found by its reference.
#[derive(Clone, Debug)]
pub struct KnownHold {
    pub id: Uuid,
    /// A balance of its home.
    pub balance: Uuid,
    /// Its asset, if it is in one only.
    pub asset: Option<String>,
}

impl KnownHold {
    /// What a transaction among `count` partitions says of the hold that it is; nothing if it is
    /// none.
    pub fn of(view: &TransactionView<'_>, count: PartitionId) -> Option<Self> {
        let id = TransactionId::from_uuid(view.transaction_id?)?;
        let at_home = |uuid: &Uuid| partition_of(BalanceId::new(*uuid), count) == id.home();
        let held = view
            .entries
            .iter()
            .filter(|entry| &*entry.direction == "hold");
        let postings = view.hold.iter().flat_map(|hold| &hold.postings);
        let mut sources = postings.clone().map(|posting| posting.source);
        let source = sources.next();
        let balance = source.or_else(|| held.clone().map(|entry| entry.balance).find(at_home))?;
        let assets = postings.map(|posting| &*posting.asset);
        let mut assets = assets.chain(held.map(|entry| &*entry.asset));
        let first = assets.next();
        let alone = assets.all(|asset| Some(asset) == first);
        Some(Self {
            id: id.uuid(),
            balance,
            asset: first.filter(|_| alone).map(str::to_owned),
        })
    }
}

impl OnHoldRequest<'_> {
    /// The command this means for `hold` under `reference`: of type `post` or `void`.
    pub fn command(
        &self,
        kind: Kind,
        hold: &KnownHold,
        reference: Option<&str>,
        decoder: &mut Decoder,
    ) -> Result<Command, Invalid> {
        let KnownHold { id, balance, .. } = *hold;
        let mut body = CommandBody {
            reference: reference.map(Into::into),
            effective_at: self.effective_at,
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
            ..CommandBody::new(kind, &self.ledger)
        };
        if kind == Kind::Post {
            let asset = self.asset.as_deref().or(hold.asset.as_deref());
            let asset = asset.filter(|_| self.amount.is_some() || self.asset.is_some());
            body.post = Some(PostBody {
                hold: id,
                balance,
                amount: self.amount,
                asset: asset.map(Into::into),
            });
        } else if self.amount.is_some() || self.asset.is_some() {
            let detail = "is for a post; a void releases all that is left";
            let field = match self.amount {
                Some(_) => "amount",
                None => "asset",
            };
            return Err(Invalid::new(InvalidKind::InvalidAmount, field, detail));
        } else {
            body.void = Some(TargetBody { hold: id, balance });
        }
        decoder.accept(&body, None, None).map_err(|mut invalid| {
            if let Some(field) = invalid.field.strip_prefix("post.") {
                invalid.field = field.to_owned();
            }
            invalid
        })
    }
}

/// A hold and what is left of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldView<'a> {
    /// `transaction_id` of the transaction that made it.
    pub id: Uuid,
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub reference: Str<'a>,
    /// `pending` or `open`; in the end `spent`, `voided`, `expired` or `refused`.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub state: Str<'a>,
    /// Absent if it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
    #[serde(borrow)]
    pub postings: Vec<HeldPostingView<'a>>,
}

/// One posting of a hold.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = HeldPosting)]
pub struct HeldPostingView<'a> {
    pub source: Uuid,
    pub destination: Uuid,
    #[serde(borrow)]
    #[schema(value_type = String, example = "USD/2")]
    pub asset: Str<'a>,
    #[schema(value_type = String, example = "12.50")]
    pub amount: Money,
    /// What is still reserved.
    #[schema(value_type = String, example = "10.00")]
    pub rest: Money,
    #[schema(value_type = String, example = "2.50")]
    pub posted: Money,
    /// What of that was reversed; left out where that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1.00")]
    pub reversed: Option<Money>,
}

/// A balance and its open holds, all as of one moment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BalanceHolds)]
pub struct BalanceHoldsView<'a> {
    pub balance: super::BalanceView<'a>,
    /// The open holds that name the balance as source or destination, oldest first. Their rests
    /// from this source are the balance's `held`.
    pub holds: Vec<HoldView<'a>>,
    /// There are more than are shown.
    pub has_more: bool,
    /// The cursor of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<'a> HoldView<'a> {
    pub fn of(hold: HoldBody<'a>) -> Self {
        let posting = |part: PartBody<'a>| HeldPostingView {
            source: part.source,
            destination: part.destination,
            asset: part.asset,
            amount: part.amount,
            rest: part.rest,
            posted: part.posted,
            reversed: part.reversed,
        };
        Self {
            id: hold.id,
            reference: hold.reference,
            state: hold.state,
            expires_at: hold.expires_at,
            postings: hold.postings.into_iter().map(posting).collect(),
        }
    }
}
