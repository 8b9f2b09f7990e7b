//! Answers: transactions and their entries as a client reads them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{HoldView, RETRY_MARK, SumView};
use crate::ledger::{Asset, BalanceId, PartitionId, TransactionId};
use crate::wire::outcome::{EntryBody, OutcomeBody, TermsBody};
use crate::wire::scalar::{Money, Str, Time};

/// The `status` of a transaction that is on its way.
pub const PENDING: &str = "pending";
/// The `status` of a transaction that is final and was done.
pub const APPLIED: &str = "applied";
/// The `status` of a hold that was made.
pub const HELD: &str = "held";
/// The `status` of a post of a hold.
pub const POSTED: &str = "posted";
/// The `status` of a void of a hold.
pub const VOIDED: &str = "voided";
/// The `status` of a transaction that is final and was refused.
pub const REJECTED: &str = "rejected";

/// A transaction and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Transaction)]
pub struct TransactionView<'a> {
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub reference: Str<'a>,
    /// `pending`, or final: `applied`, `held`, `posted`, `voided`, `expired` or `rejected`.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub status: Str<'a>,
    /// Why it was rejected: the slug of a problem.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Uuid>,
    #[serde(
        borrow,
        rename = "type",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub kind: Option<Str<'a>>,
    /// `organization/ledger`.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub ledger: Str<'a>,
    /// Log time of the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Time>,
    /// The partition that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionId>,
    /// The offset of what was decided, in that partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The balance that was opened or configured, or that a rejection speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Uuid>,
    /// The version of `balance` at a rejection; absent for a balance that is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What it changed, in order.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<EntryView<'a>>,
    /// Of a hold, a post or a void: the hold as this decision left it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldView<'a>>,
    /// Of a reversal: `transaction_id` of what it moves back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<Uuid>,
    /// Of what was reversed: how much, by asset, with what has set out and may not have arrived.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub reversed: Vec<SumView<'a>>,
    /// The references of the reversals that were applied, the first 100 of them.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub reversed_by: Vec<Str<'a>>,
    /// Some entries are left out: the transaction went through several partitions, or was decided
    /// long ago. Reading it again later gives all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_at: Option<Time>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Str<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub metadata: Option<Box<RawValue>>,
    /// This is a resubmission (`expect_retries`) of that reference.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub retry_of: Option<Str<'a>>,
}

/// A change of one balance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryView<'a> {
    pub balance: Uuid,
    /// The balance's version from here on.
    pub version: u64,
    /// `open`, `configure`, `debit`, `credit`; of holds and between partitions `reserve`, `settle`
    /// and `release` of a credit, and `hold`, `post` and `void` of a debit; `force` is a debit of a
    /// forced reversal.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub direction: Str<'a>,
    #[schema(value_type = String, example = "12.50")]
    pub amount: Money,
    #[serde(borrow)]
    #[schema(value_type = String, example = "USD/2")]
    pub asset: Str<'a>,
    /// The balance after this entry.
    #[schema(value_type = String)]
    pub posted: Money,
    #[schema(value_type = String)]
    pub held: Money,
    #[schema(value_type = String)]
    pub incoming: Money,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<TermsView<'a>>,
    /// In a balance's history: which transaction it belongs to, and when it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_at: Option<Time>,
}

/// What bounds a balance from an entry on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Terms)]
pub struct TermsView<'a> {
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub account: Str<'a>,
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub key: Str<'a>,
    /// `null` is unlimited.
    #[schema(value_type = Option<String>)]
    pub floor: Option<Money>,
    #[schema(value_type = Option<String>)]
    pub ceiling: Option<Money>,
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub status: Str<'a>,
}

impl<'a> TransactionView<'a> {
    /// A transaction that is on its way.
    pub fn pending(reference: &'a str, ledger: &'a str) -> Self {
        Self {
            reference: reference.into(),
            status: PENDING.into(),
            reason: None,
            transaction_id: None,
            kind: None,
            ledger: ledger.into(),
            at: None,
            partition: None,
            offset: None,
            balance: None,
            version: None,
            entries: Vec::new(),
            hold: None,
            reverses: None,
            reversed: Vec::new(),
            reversed_by: Vec::new(),
            partial: false,
            effective_at: None,
            description: None,
            metadata: None,
            retry_of: None,
        }
    }

    /// What an outcome among `count` partitions says to a client: its final decision, without the
    /// system's own transit balances. Absent for an outcome that answers nobody.
    pub fn of_outcome(outcome: OutcomeBody<'a>, count: PartitionId) -> Option<Self> {
        if !matches!(
            &*outcome.status,
            APPLIED | HELD | POSTED | VOIDED | REJECTED
        ) {
            return None;
        }
        // What a hold did at its other stops is in cold only.
        let on_hold = &*outcome.status != APPLIED && !outcome.legs.is_empty();
        let elsewhere = on_hold || outcome.leg.is_some() && &*outcome.status == HELD;
        let home = outcome.transaction_id.and_then(TransactionId::from_uuid);
        let walked = home.is_some_and(|id| id.home() != outcome.partition);
        let entries: Vec<_> = match walked || !outcome.legs.is_empty() {
            false => outcome.entries.into_iter().map(EntryView::of).collect(),
            true => {
                let assets = outcome.entries.iter().map(|entry| &*entry.asset);
                let ledger = outcome.ledger.as_deref().unwrap_or_default();
                let transit = transits(&[outcome.partition], count, ledger, assets);
                let ours = |entry: &EntryBody<'_>| !transit.contains(&entry.balance);
                outcome
                    .entries
                    .into_iter()
                    .filter(ours)
                    .map(EntryView::of)
                    .collect()
            }
        };
        let changed = match outcome.kind.as_deref() {
            Some("open" | "configure") => entries.first().map(|entry| entry.balance),
            _ => None,
        };
        let applied = &*outcome.status != REJECTED;
        let mut view = Self {
            reference: outcome.reference?,
            status: outcome.status,
            reason: outcome.reason,
            transaction_id: outcome.transaction_id,
            kind: outcome.kind,
            ledger: outcome.ledger?,
            at: Some(outcome.at),
            partition: Some(outcome.partition),
            offset: Some(outcome.offset),
            balance: outcome.refused.map(|refused| refused.balance).or(changed),
            version: outcome.refused.and_then(|refused| refused.version),
            partial: applied
                && (walked || outcome.replay_of.is_some() || elsewhere)
                && outcome.closed_before.is_none(),
            entries,
            // What a reversal leaves of the original is the original's.
            hold: outcome
                .hold
                .filter(|_| outcome.reverses.is_none())
                .map(HoldView::of),
            reverses: outcome.reverses,
            reversed: Vec::new(),
            reversed_by: Vec::new(),
            effective_at: outcome.effective_at,
            description: outcome.description,
            metadata: outcome.metadata.map(ToOwned::to_owned),
            retry_of: None,
        };
        view.name_retry();
        Some(view)
    }

    /// Names the reference that this is a resubmission of.
    pub fn name_retry(&mut self) {
        if let Some((original, _)) = self.reference.split_once(RETRY_MARK) {
            self.retry_of = Some(Str(original.to_owned().into()));
        }
    }
}

/// The transit balances that a transaction of `ledger` may have passed in partitions `here`, by
/// whatever rules: those to and those from every other one of `count`.
pub fn transits<'a>(
    here: &[PartitionId],
    count: PartitionId,
    ledger: &str,
    assets: impl Iterator<Item = &'a str>,
) -> Vec<Uuid> {
    let mut assets: Vec<_> = assets.filter_map(|text| Asset::parse(text).ok()).collect();
    assets.sort_unstable();
    assets.dedup();
    let mut ids = Vec::new();
    for (at, other) in here
        .iter()
        .flat_map(|at| (0..count).map(move |other| (*at, other)))
    {
        for asset in assets.iter().filter(|_| at != other) {
            for ledger in [None, Some(ledger)] {
                ids.push(BalanceId::transit((at, other), at, ledger, asset).uuid());
                ids.push(BalanceId::transit((other, at), at, ledger, asset).uuid());
            }
        }
    }
    ids
}

impl<'a> EntryView<'a> {
    pub fn of(entry: EntryBody<'a>) -> Self {
        Self {
            balance: entry.balance,
            version: entry.version,
            direction: entry.direction,
            amount: entry.amount,
            asset: entry.asset,
            posted: entry.posted,
            held: entry.held,
            incoming: entry.incoming,
            terms: entry.terms.map(TermsView::of),
            transaction_id: None,
            at: None,
            effective_at: None,
        }
    }
}

impl<'a> TermsView<'a> {
    fn of(terms: TermsBody<'a>) -> Self {
        Self {
            account: terms.account,
            key: terms.key,
            floor: terms.floor,
            ceiling: terms.ceiling,
            status: terms.status,
        }
    }
}
