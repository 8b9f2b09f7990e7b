//! Rehearsals: what commands would do, one after the other, to balances and holds as somebody has
//! read them.
//!
//! The rules themselves, in partitions of their own that hold nothing but those. Legs arrive at
//! once, so a rehearsal ends with the answer that the asker would get.
//!
//! Knows nothing of references used before, but of the transactions it is told of, nor of what
//! else is on the way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::balance::{Balance, State, Status};
use super::command::Command;
use super::fold;
use super::hold::{Hold, Part, Stage};
use super::id::{BalanceId, TRANSIT_LEDGER, TransactionId, transit_account, transit_key};
use super::outcome::{Decision, Entry, Outcome};
use super::partition::{Partition, Setting};
use super::route::{PartitionId, partition_of};
use super::seen::Seen;
use super::walk::{Record, Walk};

/// Where rehearsed commands stand on their logs: no log gets that far, so that no id of theirs is
/// that of a transaction there is.
const OFFSET_FIRST: u64 = 1 << 59;

/// A stage for commands that nobody has sent.
#[derive(Debug)]
pub struct Rehearsal {
    count: PartitionId,
    setting: Setting,
    at_ms: i64,
    closed: BTreeMap<Arc<str>, i64>,
    /// Those that a command has come to.
    partitions: BTreeMap<PartitionId, Partition>,
    /// What the holds have reserved: debits and credits.
    reserved: BTreeMap<BalanceId, (i128, i128)>,
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
        (count, setting): (PartitionId, Setting),
        at_ms: i64,
        balances: impl IntoIterator<Item = (BalanceId, Balance)>,
        closed: BTreeMap<Arc<str>, i64>,
    ) -> Self {
        let mut rehearsal = Self {
            count,
            setting,
            at_ms,
            closed,
            partitions: BTreeMap::new(),
            reserved: BTreeMap::new(),
        };
        for (id, balance) in balances {
            let home = rehearsal.partition(partition_of(id, count));
            fold::install(home, id, balance);
            // What is not here makes up the rest of the zero (L1).
            home.posted.values_mut().for_each(|sum| *sum = 0);
        }
        rehearsal
    }

    /// Takes in what home keeps of a transaction, each once. False if the balances have less
    /// reserved than that: they and it are not of one moment, and nothing may be played.
    #[must_use]
    pub fn keep(&mut self, id: TransactionId, hold: &Hold) -> bool {
        self.partition(id.home()).holds.insert(id, hold.clone());
        if hold.stage != Stage::Open {
            return true;
        }
        for part in hold.parts.iter().filter(|part| part.rest > 0) {
            if !self.reserve(part) {
                return false;
            }
        }
        for place in 0..self.count {
            let share = hold.share(|id| partition_of(id, self.count) == place);
            if place != id.home() && !share.parts.is_empty() {
                self.partition(place).holds.insert(id, share);
            }
        }
        true
    }

    /// Takes in how the transaction `id` that `command` asked for was decided, at log time `at_ms`,
    /// by all of its stops: applied, or refused.
    pub fn remember(
        &mut self,
        (id, command): (TransactionId, &Command),
        at_ms: i64,
        decision: Decision,
    ) {
        let seen = Seen::new(command.fingerprint, id, at_ms, decision);
        let walk = Walk::of(command, self.count);
        let last = walk.stops().last().map(|stop| stop.partition);
        self.partition(id.home())
            .seen
            .insert(command.seen_key, seen);
        if let Some(last) = last.filter(|last| *last != id.home()) {
            let key = command.seen_key.at_stop(id);
            self.partition(last).seen.insert(key, seen);
        }
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

    /// All balances as they would be now, without the system's own.
    pub fn balances(&self) -> impl Iterator<Item = (BalanceId, Balance)> {
        let partitions = self.partitions.values();
        let all = partitions.flat_map(|partition| partition.balances());
        all.filter(|(_, balance)| &*balance.ledger != TRANSIT_LEDGER)
    }

    fn is_transit(&self, id: BalanceId) -> bool {
        let mut places = self.partitions.values();
        let found = places.find_map(|partition| partition.balance(id));
        found.is_some_and(|balance| &*balance.ledger == TRANSIT_LEDGER)
    }

    /// Whether the rest of a part is reserved on both sides; reserves its way between two
    /// partitions.
    fn reserve(&mut self, part: &Part) -> bool {
        let sides = [
            (part.source, (part.rest, 0)),
            (part.destination, (0, part.rest)),
        ];
        for (id, (held, incoming)) in sides {
            let Some(state) = self.balance(id).map(|balance| balance.state) else {
                return false;
            };
            let sum = self.reserved.entry(id).or_default();
            *sum = (sum.0.saturating_add(held), sum.1.saturating_add(incoming));
            if state.held < sum.0 || state.incoming < sum.1 {
                return false;
            }
        }
        let (from, to) = (
            partition_of(part.source, self.count),
            partition_of(part.destination, self.count),
        );
        if from != to {
            let id = BalanceId::transit((from, to), from, None, &part.asset);
            let balances = &mut self.partition(from).balances;
            let place = balances.find(id).unwrap_or_else(|| {
                let way = Balance {
                    state: State::default(),
                    floor: None,
                    ceiling: None,
                    status: Status::Open,
                    asset: part.asset,
                    offset: 0,
                    ledger: TRANSIT_LEDGER.into(),
                    name: Balance::name(&transit_account(from, to), &transit_key(from, None)),
                };
                balances.add(id, way)
            });
            let way = balances.at_mut(place);
            let mut state = way.state();
            state.incoming = state.incoming.saturating_add(part.rest);
            way.set(state, 0);
            return state.sound();
        }
        true
    }

    fn decide(&mut self, to: PartitionId, record: &Record) -> Outcome {
        let at_ms = self.at_ms;
        let partition = self.partition(to);
        let next = partition.applied().map_or(0, |last| last.saturating_add(1));
        partition.apply(next, at_ms, record)
    }

    fn partition(&mut self, id: PartitionId) -> &mut Partition {
        let (count, at_ms, closed) = (self.count, self.at_ms, &self.closed);
        let setting = self.setting;
        self.partitions.entry(id).or_insert_with(|| {
            let mut partition = Partition::new(id, count);
            partition.apply(OFFSET_FIRST, at_ms, &Record::Genesis(setting));
            partition.closed.clone_from(closed);
            partition
        })
    }
}
