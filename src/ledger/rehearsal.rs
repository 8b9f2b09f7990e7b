//! Rehearsals: what commands would do, one after the other, to balances as somebody has read them.
//!
//! The rules themselves, in partitions of their own that hold nothing but those balances. Legs
//! arrive at once, so a rehearsal ends with the answer that the asker would get.
//!
//! Knows nothing of references used before, of holds, nor of what else is on the way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::balance::Balance;
use super::command::Command;
use super::fold;
use super::id::{BalanceId, TRANSIT_LEDGER};
use super::outcome::{Entry, Outcome};
use super::partition::{Partition, Setting};
use super::route::{PartitionId, partition_of};
use super::walk::Record;

/// A stage for commands that nobody has sent.
#[derive(Debug)]
pub struct Rehearsal {
    count: PartitionId,
    at_ms: i64,
    closed: BTreeMap<Arc<str>, i64>,
    /// Those that a command has come to.
    partitions: BTreeMap<PartitionId, Partition>,
}

/// What one command would do.
#[derive(Debug)]
pub struct Rehearsed {
    /// The partition that decides, and its outcome.
    pub decided: (PartitionId, Outcome),
    /// What it changes at all its stops, without the system's own balances.
    pub entries: Vec<Entry>,
}

impl Rehearsal {
    /// A rehearsal among `count` partitions at log time `at_ms`, in milliseconds since the epoch,
    /// with these balances and no others, and with these ends of closed periods by ledger.
    pub fn new(
        count: PartitionId,
        at_ms: i64,
        balances: impl IntoIterator<Item = (BalanceId, Balance)>,
        closed: BTreeMap<Arc<str>, i64>,
    ) -> Self {
        let mut rehearsal = Self {
            count,
            at_ms,
            closed,
            partitions: BTreeMap::new(),
        };
        for (id, balance) in balances {
            let home = rehearsal.partition(partition_of(id, count));
            fold::install(home, id, balance);
            // What is not here makes up the rest of the zero (L1).
            home.posted.values_mut().for_each(|sum| *sum = 0);
        }
        rehearsal
    }

    /// Decides a command, after all before it. Nothing if no stop answers it.
    pub fn play(&mut self, command: Arc<Command>) -> Option<Rehearsed> {
        let home = partition_of(command.decider(), self.count);
        let mut records = VecDeque::from([(home, Record::Command(command))]);
        let (mut decided, mut entries) = (None, Vec::new());
        while let Some((to, record)) = records.pop_front() {
            let mut outcome = self.decide(to, &record);
            entries.append(&mut outcome.effects.entries);
            let legs = outcome.legs.drain(..);
            records.extend(legs.map(|leg| (leg.to, Record::Leg(leg))));
            if outcome.answers() {
                decided = Some((to, outcome));
            }
        }
        entries.retain(|entry| !self.is_transit(entry.balance));
        decided.map(|decided| Rehearsed { decided, entries })
    }

    /// A balance as it would be now.
    pub fn balance(&self, id: BalanceId) -> Option<Balance> {
        let home = self.partitions.get(&partition_of(id, self.count))?;
        home.balance(id)
    }

    fn is_transit(&self, id: BalanceId) -> bool {
        let mut places = self.partitions.values();
        let found = places.find_map(|partition| partition.balance(id));
        found.is_some_and(|balance| &*balance.ledger == TRANSIT_LEDGER)
    }

    fn decide(&mut self, to: PartitionId, record: &Record) -> Outcome {
        let at_ms = self.at_ms;
        let partition = self.partition(to);
        let next = partition.applied().map_or(0, |last| last.saturating_add(1));
        partition.apply(next, at_ms, record)
    }

    fn partition(&mut self, id: PartitionId) -> &mut Partition {
        let (count, at_ms, closed) = (self.count, self.at_ms, &self.closed);
        self.partitions.entry(id).or_insert_with(|| {
            let setting = Setting {
                generation: Uuid::nil(),
                horizon_seconds: u64::MAX,
            };
            let mut partition = Partition::new(id, count);
            partition.apply(0, at_ms, &Record::Genesis(setting));
            partition.closed.clone_from(closed);
            partition
        })
    }
}
