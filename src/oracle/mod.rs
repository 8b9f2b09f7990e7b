//! A second, naive implementation of the rules of money: what the first one must agree with.
//!
//! One map of balances, one of references, one of holds, changed in place; a refused decision is
//! put back. Every check is the sentence of the rule. It shares the plain data of
//! [`crate::ledger`], and none of its code: not the routes, not the sums, not the order in which a
//! walk passes its stops. What a command says it reads itself from the record's bytes: amounts and
//! their scales, what a split comes to, which sub-balance of a striped account is meant, and
//! whether two commands say the same. Where the decoder has understood something else, that is a
//! [`Misread`] and nothing is decided.
//!
//! | who | asks |
//! |---|---|
//! | the tests of the ledger, and the simulator | every outcome and every balance, after each record |
//! | `audit --replay` | every outcome of a real log, from its `commands` |
//!
//! Fast enough to replay a log, and no faster. Knows nothing of batches, owners or stores, and does not
//! judge whether a record can be understood at all.

mod contents;
mod decimal;
mod heard;
mod hold;
mod leg;
mod limits;
mod memory;
mod names;
mod page;
mod period;
mod resolve;
mod reverse;
mod said;
mod shares;
mod turn;
mod visit;
mod walked;
mod way;

use std::collections::{BTreeMap, HashMap};

use crate::ledger::{
    Balance, BalanceId, Decision, Hold, Outcome, PartitionId, Record, SeenKey, Setting,
    TransactionId,
};

use contents::{Content, contents};
use names::Names;

pub use contents::Misread;
pub use way::partition_of;

/// Everything that was ever decided, as far as it matters for what is decided next.
#[derive(Clone, Debug)]
pub struct Oracle {
    count: PartitionId,
    names: Names,
    balances: HashMap<BalanceId, Balance>,
    /// By partition and the key under which a reference is remembered there.
    memory: HashMap<(PartitionId, SeenKey), Memory>,
    /// What each partition keeps of a hold.
    holds: HashMap<(PartitionId, TransactionId), Hold>,
    places: BTreeMap<PartitionId, Place>,
}

/// What is remembered of a reference.
#[derive(Clone, Copy, Debug)]
struct Memory {
    content: Content,
    /// The offset in the transaction's id.
    offset: u64,
    at_ms: i64,
    decision: Decision,
}

/// Where one partition stands.
#[derive(Clone, Debug, Default)]
struct Place {
    setting: Option<Setting>,
    /// Rules, and the record that asked for them where lower ones were in force.
    rules: Vec<(u32, u64)>,
    last: Option<u64>,
    log_time_ms: i64,
    /// By partition, the number of the last leg.
    sent: BTreeMap<PartitionId, u64>,
    received: BTreeMap<PartitionId, u64>,
    /// By ledger, the end of what is closed.
    closed: BTreeMap<String, i64>,
}

impl Oracle {
    /// Knows nothing yet of a log of `count` partitions.
    pub fn new(count: PartitionId) -> Self {
        Self {
            count,
            names: Names::new(count),
            balances: HashMap::new(),
            memory: HashMap::new(),
            holds: HashMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// The one right outcome of the record at `offset` of `partition`, whose log time is `at_ms` in
    /// milliseconds. `value` is the record's, and `record` what the decoder made of it. Each
    /// partition's records come in their order; how partitions take turns makes no difference.
    ///
    /// # Errors
    /// If the record says something else than `record` does.
    ///
    /// # Panics
    /// If the log itself cannot be: a command before the first record, a leg of no partition, money
    /// that comes back and never went, a part of a hold that nobody holds.
    pub fn apply(
        &mut self,
        partition: PartitionId,
        offset: u64,
        at_ms: i64,
        record: &Record,
        value: &[u8],
    ) -> Result<Outcome, Misread> {
        let contents = contents(&mut self.names, record, value)?;
        let outcome = turn::turn(self, (partition, offset, at_ms), record, contents);
        let place = self.places.entry(partition).or_default();
        place.last = Some(offset);
        place.log_time_ms = outcome.at_ms;
        Ok(outcome)
    }

    pub fn balance(&self, id: BalanceId) -> Option<&Balance> {
        self.balances.get(&id)
    }

    /// What partition `at` keeps of a hold.
    pub fn hold(&self, at: PartitionId, id: TransactionId) -> Option<&Hold> {
        self.holds.get(&(at, id))
    }

    /// All balances of all partitions, in no particular order.
    pub fn balances(&self) -> impl Iterator<Item = (BalanceId, &Balance)> {
        self.balances.iter().map(|(id, balance)| (*id, balance))
    }
}
