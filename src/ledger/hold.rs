//! Holds: money reserved on both sides until it is posted, voided or expires.
//!
//! A hold's id is its transaction's. Its home partition decides on it alone and keeps all of its
//! postings; every other partition it touches keeps its own part, and does what home says. What
//! home says can never be refused there, because it was reserved: the debit as `held`, the credit
//! as `incoming`, and the way between two partitions as `incoming` of its transit balance.

use std::sync::Arc;

use super::amount::Amount;
use super::asset::Asset;
use super::command::Command;
use super::id::BalanceId;
use super::rejection::Rejection;
use super::route::PartitionId;
use super::walk::Walk;

/// What a transaction has reserved, and what became of it, as one partition knows it. A transfer
/// that was reversed is kept like a hold that was posted at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// `organization/ledger`.
    pub ledger: Arc<str>,
    pub reference: Box<str>,
    pub stage: Stage,
    /// All postings at home, elsewhere those that touch the partition.
    pub parts: Box<[Part]>,
    /// From this log time on, in milliseconds, nothing can be posted; known at home only.
    pub expires_at_ms: Option<i64>,
    /// How many reversals have set out; home only.
    pub reversals: u64,
    /// The number of changes so far.
    pub version: u64,
    /// The last command that changed it, and its log time in milliseconds.
    pub offset: u64,
    pub at_ms: i64,
}

/// One posting of a hold; amounts in minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its place among the postings of the transaction.
    pub index: u16,
    pub source: BalanceId,
    pub destination: BalanceId,
    pub asset: Asset,
    pub amount: i128,
    /// What is still reserved; at home, what may still be posted.
    pub rest: i128,
    /// What was posted.
    pub posted: i128,
    /// What of that was reversed; known at home only.
    pub reversed: i128,
}

/// Where a hold is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It walks; a later stop decides. Home only.
    Pending,
    Open,
    /// All of it was posted.
    Spent,
    /// Its rest was released on request.
    Voided,
    /// Its rest was released by time.
    Expired,
    /// A later stop refused it.
    Refused,
    /// It is no hold but a transfer, kept because it was reversed.
    Moved,
}

impl Stage {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Open,
        Self::Spent,
        Self::Voided,
        Self::Expired,
        Self::Refused,
        Self::Moved,
    ];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Spent => "spent",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Moved => "moved",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.slug() == slug)
    }

    /// Whether something may still be reserved.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Open)
    }
}

/// How much of one posting of a hold is posted or released at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// The posting's place in the transaction.
    pub index: u16,
    pub source: BalanceId,
    pub destination: BalanceId,
    pub asset: Asset,
    pub amount: Amount,
}

/// What a marker says of the holds of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldSums {
    /// How many are open.
    pub open: u64,
    /// The versions of those that are open, or that a reversal has set out for.
    pub version_sum: u64,
    /// The versions of all that there ever were, so that one that began and ended between two
    /// markers is missed as well. `None`: started from a marker that does not say.
    pub changes: Option<u64>,
}

impl Default for HoldSums {
    fn default() -> Self {
        Self {
            open: 0,
            version_sum: 0,
            changes: Some(0),
        }
    }
}

impl HoldSums {
    /// Counts a hold.
    ///
    /// # Panics
    /// If the sum of versions needs more than 64 bits.
    #[must_use]
    pub fn with(self, hold: &Hold) -> Self {
        self.moved(hold, u64::checked_add)
    }

    /// Counts a hold no more.
    ///
    /// # Panics
    /// If it was not counted.
    #[must_use]
    pub fn without(self, hold: &Hold) -> Self {
        self.moved(hold, u64::checked_sub)
    }

    fn moved(self, hold: &Hold, change: fn(u64, u64) -> Option<u64>) -> Self {
        let mut sums = self;
        if hold.stage.is_open() {
            sums.open = change(self.open, 1).expect("open holds are counted");
        }
        if hold.is_summed() {
            let versions = change(self.version_sum, hold.version);
            sums.version_sum = versions.expect("versions are counted");
        }
        let changes = sums.changes.map(|sum| change(sum, hold.version));
        sums.changes = changes.map(|sum| sum.expect("changes are counted"));
        sums
    }
}

impl Hold {
    /// The hold of `command`, at a stop of its walk; `index` is the stop's place.
    pub(super) fn at_stop(
        command: &Command,
        walk: &Walk<'_>,
        index: usize,
        expires_at_ms: Option<i64>,
    ) -> Self {
        let here = walk.stops().get(index).map(|stop| stop.partition);
        let (home, last) = (index == 0, walk.stop_after(index).is_none());
        let parts = walk.ways().zip(0_u16..).filter_map(|(way, index)| {
            let touched = home || Some(way.from) == here || Some(way.to) == here;
            let posting = way.posting;
            touched.then_some(Part {
                index,
                source: posting.source.id,
                destination: posting.destination.id,
                asset: posting.asset,
                amount: posting.amount.minor(),
                rest: posting.amount.minor(),
                posted: 0,
                reversed: 0,
            })
        });
        Self {
            ledger: command.ledger.clone(),
            reference: command.reference.clone(),
            stage: match home && !last {
                true => Stage::Pending,
                false => Stage::Open,
            },
            parts: parts.collect(),
            expires_at_ms,
            reversals: 0,
            version: 0,
            offset: 0,
            at_ms: 0,
        }
    }

    /// Whether a marker sums up its version beside those of the open ones.
    pub fn is_summed(&self) -> bool {
        self.stage.is_open() || self.reversals > 0
    }

    /// What a partition keeps of it that is not its home; `here` tells its balances.
    pub(super) fn share(&self, here: impl Fn(BalanceId) -> bool) -> Self {
        let parts = self.parts.iter();
        let touched = parts.filter(|part| here(part.source) || here(part.destination));
        let parts = touched.map(|part| Part {
            reversed: 0,
            ..part.clone()
        });
        Self {
            parts: parts.collect(),
            expires_at_ms: None,
            reversals: 0,
            ..self.clone()
        }
    }

    /// Whether it counts as expired at log time `at_ms`, whether or not its rest was released yet.
    pub fn is_due(&self, at_ms: i64) -> bool {
        let due = self.expires_at_ms.is_some_and(|due| due <= at_ms);
        self.stage == Stage::Expired || (self.stage == Stage::Open && due)
    }

    /// Why nothing can be posted or voided at log time `at_ms`, if so.
    pub(super) fn refuses(&self, at_ms: i64) -> Option<Rejection> {
        if self.is_due(at_ms) {
            return Some(Rejection::HoldExpired);
        }
        match self.stage {
            Stage::Open => None,
            Stage::Pending => Some(Rejection::HoldPending),
            Stage::Spent => Some(Rejection::HoldSpent),
            Stage::Voided => Some(Rejection::HoldVoided),
            Stage::Expired => Some(Rejection::HoldExpired),
            Stage::Refused | Stage::Moved => Some(Rejection::HoldNotFound),
        }
    }

    /// The rest of every posting.
    pub(super) fn rests(&self) -> Vec<Portion> {
        let rests = self.parts.iter().map(|part| (part, part.rest));
        rests.filter_map(portion).collect()
    }

    /// `amount` of the rest, from the postings in their order.
    pub(super) fn rests_up_to(&self, amount: (Amount, Asset)) -> Result<Vec<Portion>, Rejection> {
        self.up_to(amount, |part| part.rest, Rejection::PostExceedsHold)
    }

    /// `amount` of what `available` says of each posting, in their order; `beyond` if that is less.
    pub(super) fn up_to(
        &self,
        (amount, asset): (Amount, Asset),
        available: impl Fn(&Part) -> i128,
        beyond: Rejection,
    ) -> Result<Vec<Portion>, Rejection> {
        let mut assets = self.parts.iter().map(|part| part.asset);
        let first = assets.next();
        if assets.any(|other| Some(other) != first) {
            return Err(Rejection::AmountAmbiguous);
        }
        if first != Some(asset) {
            return Err(Rejection::AssetMismatch);
        }
        let mut left = amount.minor();
        let mut portions = Vec::new();
        for part in &self.parts {
            let taken = available(part).min(left);
            left = left.saturating_sub(taken);
            portions.extend(portion((part, taken)));
        }
        match left {
            0 => Ok(portions),
            _ => Err(beyond),
        }
    }

    /// The hold after `portions` were posted (`Spent`) or released (any other end). It ends with
    /// its last rest.
    ///
    /// # Panics
    /// If less is reserved than that.
    #[must_use]
    pub(super) fn less(&self, portions: &[Portion], end: Stage) -> Self {
        let mut after = self.clone();
        for portion in portions {
            let mut parts = after.parts.iter_mut();
            let part = parts.find(|part| part.index == portion.index);
            let part = part.expect("L7: a portion is of a posting that is held here");
            let amount = portion.amount.minor();
            part.rest = part.rest.saturating_sub(amount);
            assert!(part.rest >= 0, "L7: more leaves a hold than it reserved");
            if end == Stage::Spent {
                part.posted = part.posted.saturating_add(amount);
            }
        }
        if after.parts.iter().all(|part| part.rest == 0) {
            after.stage = end;
        }
        after
    }

    /// The hold after it ended as a whole, with nothing posted.
    #[must_use]
    pub(super) fn refused(&self) -> Self {
        self.less(&self.rests(), Stage::Refused)
    }

    /// What is reserved of `asset` on sources in `here`, in minor units.
    pub(super) fn held_at(&self, here: impl Fn(BalanceId) -> bool, asset: Asset) -> i128 {
        let parts = self.parts.iter().filter(|part| part.asset == asset);
        let ours = parts.filter(|part| here(part.source));
        ours.fold(0, |sum, part| sum.saturating_add(part.rest))
    }
}

pub(super) fn portion((part, amount): (&Part, i128)) -> Option<Portion> {
    Some(Portion {
        index: part.index,
        source: part.source,
        destination: part.destination,
        asset: part.asset,
        amount: Amount::new(amount).ok()?,
    })
}

/// Portions of one partition's share, grouped by `place` in the order of their first.
pub(super) fn by_place(
    portions: &[Portion],
    place: impl Fn(&Portion) -> PartitionId,
) -> Vec<(PartitionId, Vec<Portion>)> {
    let mut groups: Vec<(PartitionId, Vec<Portion>)> = Vec::new();
    for portion in portions {
        let to = place(portion);
        match groups.iter_mut().find(|(other, _)| *other == to) {
            Some((_, group)) => group.push(*portion),
            None => groups.push((to, vec![*portion])),
        }
    }
    groups
}
