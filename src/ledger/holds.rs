//! The holds of one partition.
//!
//! A hold that has ended is known for the dedupe horizon, so that a late post is told what became
//! of it, and so that what was posted can be reversed. As with references, whether it still counts
//! is decided at the look-up, by log time.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::FixedState;

use super::hold::{Hold, HoldSums, Stage};
use super::id::TransactionId;

#[derive(Clone, Debug, Default)]
pub struct Holds {
    entries: HashMap<TransactionId, Hold, FixedState>,
    /// When the open holds that are at home here expire.
    due: BTreeSet<(i64, TransactionId)>,
    sums: HoldSums,
}

impl Holds {
    /// The hold as a decision at log time `at_ms` knows it.
    pub fn find(&self, id: TransactionId, at_ms: i64, horizon_seconds: u64) -> Option<&Hold> {
        self.get(id)
            .filter(|hold| counts_at(hold, at_ms, horizon_seconds))
    }

    pub fn get(&self, id: TransactionId) -> Option<&Hold> {
        self.entries.get(&id)
    }

    /// Puts a hold in the place of what it was before; returns that.
    pub fn insert(&mut self, id: TransactionId, hold: Hold) -> Option<Hold> {
        if let Some(due) = due(id, &hold) {
            self.due.insert(due);
        }
        self.sums = self.sums.with(&hold);
        let is_due = hold.stage == Stage::Open;
        let before = self.entries.insert(id, hold)?;
        self.sums = self.sums.without(&before);
        if let (Some(due), false) = (due(id, &before), is_due) {
            self.due.remove(&due);
        }
        Some(before)
    }

    /// Starts from what a marker says, which counts holds that nobody needs to know any more. The
    /// open ones are all here: they stay as they were counted.
    pub(super) fn start_from(&mut self, sums: HoldSums) {
        self.sums = HoldSums {
            open: self.sums.open,
            ..sums
        };
    }

    /// The first `most` holds that expire at or before log time `at_ms`.
    pub fn due(&self, at_ms: i64, most: usize) -> impl Iterator<Item = (TransactionId, &Hold)> {
        let due = self.due.iter().take_while(move |(due, _)| *due <= at_ms);
        due.take(most)
            .filter_map(|(_, id)| Some((*id, self.entries.get(id)?)))
    }

    /// Drops what no look-up at or after `at_ms` can find.
    pub fn forget(&mut self, at_ms: i64, horizon_seconds: u64) {
        self.entries
            .retain(|_, hold| counts_at(hold, at_ms, horizon_seconds));
    }

    /// Everything known, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (TransactionId, &Hold)> {
        self.entries.iter().map(|(id, hold)| (*id, hold))
    }

    /// What a marker says of them.
    pub fn sums(&self) -> HoldSums {
        self.sums
    }
}

fn due(id: TransactionId, hold: &Hold) -> Option<(i64, TransactionId)> {
    let open = hold.stage == Stage::Open;
    hold.expires_at_ms.filter(|_| open).map(|due| (due, id))
}

fn counts_at(hold: &Hold, at_ms: i64, horizon_seconds: u64) -> bool {
    let horizon = i64::try_from(horizon_seconds).unwrap_or(i64::MAX);
    let last = hold.at_ms.saturating_add(horizon.saturating_mul(1000));
    hold.stage.is_open() || last >= at_ms
}
