//! Once: no reference of a ledger has two home decisions, in one partition or in two (S4).
//!
//! In one partition a reference may be used again beyond the dedupe horizon (L4); in two it is
//! never right. Takes 32 bytes for each reference.

use std::ops::Range;

use uuid::Uuid;

use super::report::{Check, Finding};
use crate::ledger::{Outcome, PartitionId, SeenKey, TransactionId};

/// The first decision on a reference, at its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Home {
    /// Half of the hash of ledger and reference.
    key: [u8; 16],
    pub(super) partition: PartitionId,
    pub(super) offset: u64,
    at_seconds: u32,
}

/// Every home decision of the partitions read so far.
#[derive(Debug, Default)]
pub(super) struct Once {
    homes: Vec<Home>,
}

/// Two transactions under one reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Twice {
    pub(super) first: TransactionId,
    pub(super) second: TransactionId,
}

impl Once {
    /// Takes note of `outcome`, if it is the one with which a transaction began.
    pub(super) fn add(&mut self, partition: PartitionId, outcome: &Outcome) {
        let (Some(mark), Some(transaction)) = (outcome.effects.mark, outcome.transaction) else {
            return;
        };
        if transaction.home() != partition || transaction.offset() != outcome.offset {
            return;
        }
        let seconds = outcome.at_ms.div_euclid(1000).max(0);
        self.homes.push(Home {
            key: mark.key.0,
            partition,
            offset: outcome.offset,
            at_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
        });
    }

    /// Adds the decisions of another partition.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.homes.append(&mut other.homes);
    }

    /// Decisions on references, as if they had been read.
    #[cfg(test)]
    pub(super) fn of_homes(homes: &[(SeenKey, PartitionId, u64)]) -> Self {
        let homes = homes.iter().map(|(key, partition, offset)| Home {
            key: key.0,
            partition: *partition,
            offset: *offset,
            at_seconds: 0,
        });
        let mut once = Self {
            homes: homes.collect(),
        };
        once.finish();
        once
    }

    /// All are there.
    pub(super) fn finish(&mut self) {
        self.homes.sort_unstable();
    }

    /// All home decisions, those on one reference in a row.
    pub(super) fn homes(&self) -> &[Home] {
        &self.homes
    }

    /// Where among them those on one reference are.
    pub(super) fn of(&self, key: SeenKey) -> Range<usize> {
        let first = self.homes.partition_point(|home| home.key < key.0);
        let rest = self.homes.get(first..).unwrap_or_default();
        first..first + rest.partition_point(|home| home.key == key.0)
    }

    /// The references that were decided twice.
    pub(super) fn twice(&self, horizon_seconds: u64, generation: Uuid) -> Vec<Twice> {
        let pairs = self.homes.iter().zip(self.homes.iter().skip(1));
        let twice = pairs.filter(|(one, next)| {
            let until = u64::from(one.at_seconds).saturating_add(horizon_seconds);
            let elsewhere = one.partition != next.partition;
            one.key == next.key && (elsewhere || u64::from(next.at_seconds) <= until)
        });
        let id = |home: &Home| TransactionId::new(home.partition, home.offset, generation);
        let twice = twice.map(|(one, next)| Twice {
            first: id(one),
            second: id(next),
        });
        twice.collect()
    }
}

/// Writes down what [`Once::twice`] found.
pub(super) fn check(once: &Once, twice: &[Twice]) -> Check {
    let mut check = Check::new("once", "references");
    check.examined = once.homes.len() as u64;
    for Twice { first, second } in twice {
        let what = format!(
            "one reference has two transactions: {first} of partition {} and {second} of \
             partition {}",
            first.home(),
            second.home()
        );
        let finding = Finding::new(second.home(), what).at(Some(second.offset()));
        check.miss(finding);
    }
    check
}
