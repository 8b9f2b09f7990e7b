//! One partition's state: its balances, references and leg counters.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use super::asset::Asset;
use super::balance::Balance;
use super::decide;
use super::fold;
use super::hold::{Hold, HoldSums};
use super::holds::Holds;
use super::id::{BalanceId, TRANSIT_LEDGER, TransactionId};
use super::outcome::Outcome;
use super::resident::Balances;
use super::route::PartitionId;
use super::rules::Rules;
use super::seen::SeenMap;
use super::walk::Record;

/// What the first record of the log sets, for every owner alike: decisions depend on it, so it
/// cannot be configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The log's identity.
    pub generation: Uuid,
    /// The dedupe horizon in seconds of log time (L4).
    pub horizon_seconds: u64,
}

/// Everything decisions depend on.
#[derive(Clone, Debug)]
pub struct Partition {
    pub(super) id: PartitionId,
    pub(super) count: PartitionId,
    pub(super) setting: Option<Setting>,
    /// By which rules records are decided, up to the next one.
    pub(super) rules: Rules,
    pub(super) balances: Balances,
    pub(super) seen: SeenMap,
    pub(super) holds: Holds,
    /// Per destination, the number of the last leg sent.
    pub(super) sent: Vec<u64>,
    /// Per origin, the number of the last leg applied.
    pub(super) received: Vec<u64>,
    /// The last command decided.
    pub(super) applied: Option<u64>,
    /// The latest log time; it never goes back (L5).
    pub(super) log_time_ms: i64,
    pub(super) version_sum: u64,
    pub(super) highest_offset: Option<u64>,
    /// Invariant: every value is zero (L1).
    pub(super) posted: BTreeMap<Asset, i128>,
    /// By ledger, in milliseconds since the epoch: nothing may take effect before that any more.
    pub(super) closed: BTreeMap<Arc<str>, i64>,
    /// Balances changed since [`Partition::take_touched`].
    pub(super) touched: Vec<BalanceId>,
    /// Holds changed since [`Partition::take_touched_holds`].
    pub(super) touched_holds: Vec<TransactionId>,
}

/// What a marker says of a partition as of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub command_offset: u64,
    pub log_time_ms: i64,
    pub version_sum: u64,
    /// The last command that changed a balance.
    pub highest_offset: Option<u64>,
    pub posted: BTreeMap<Asset, i128>,
    pub holds: HoldSums,
    pub sent: Vec<u64>,
    pub received: Vec<u64>,
    /// By ledger, the end of its closed period in milliseconds since the epoch.
    pub closed: BTreeMap<Arc<str>, i64>,
    pub setting: Setting,
    /// By which rules records are decided, up to the next one.
    pub rules: Rules,
}

impl Partition {
    /// An empty partition `id` of `count`.
    ///
    /// # Panics
    /// If `id` is not below `count`.
    pub fn new(id: PartitionId, count: PartitionId) -> Self {
        assert!(id < count, "partition {id} is not among {count}");
        Self {
            id,
            count,
            setting: None,
            rules: Rules::default(),
            balances: Balances::default(),
            seen: SeenMap::default(),
            holds: Holds::default(),
            sent: vec![0; usize::from(count)],
            received: vec![0; usize::from(count)],
            applied: None,
            log_time_ms: 0,
            version_sum: 0,
            highest_offset: None,
            posted: BTreeMap::new(),
            closed: BTreeMap::new(),
            touched: Vec::new(),
            touched_holds: Vec::new(),
        }
    }

    /// Starts from a cut and everything that stood at it: the base of a takeover.
    pub fn from_cut(
        id: PartitionId,
        cut: &Cut,
        balances: impl IntoIterator<Item = (BalanceId, Balance)>,
        holds: impl IntoIterator<Item = (TransactionId, Hold)>,
        seen: SeenMap,
    ) -> Self {
        let count = PartitionId::try_from(cut.sent.len()).unwrap_or_default();
        let mut partition = Self::new(id, count);
        partition.setting = Some(cut.setting);
        partition.rules.clone_from(&cut.rules);
        partition.seen = seen;
        partition.sent.clone_from(&cut.sent);
        partition.received.clone_from(&cut.received);
        partition.closed.clone_from(&cut.closed);
        partition.applied = Some(cut.command_offset);
        partition.log_time_ms = cut.log_time_ms;
        for (id, balance) in balances {
            fold::install(&mut partition, id, balance);
        }
        for (id, hold) in holds {
            let twin = partition.holds.insert(id, hold);
            assert!(twin.is_none(), "hold {id} stands twice in the base");
        }
        partition.holds.start_from(cut.holds);
        partition
    }

    /// Decides one record and folds the decision in. `offset` grows from call to call; `at_ms` is
    /// the record's log time in milliseconds since the epoch.
    ///
    /// # Panics
    /// If an invariant is broken; the caller must stop the partition and publish nothing of it.
    pub fn apply(&mut self, offset: u64, at_ms: i64, record: &Record) -> Outcome {
        let outcome = decide::decide(self, offset, at_ms, record);
        self.fold(&outcome);
        outcome
    }

    /// Folds a decision that `decide` made for the next record, here or at an earlier owner.
    pub fn fold(&mut self, outcome: &Outcome) {
        fold::fold(
            self,
            outcome.offset,
            outcome.at_ms,
            outcome.decision,
            &outcome.effects,
        );
    }

    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// How many partitions there are.
    pub fn count(&self) -> PartitionId {
        self.count
    }

    pub fn setting(&self) -> Option<Setting> {
        self.setting
    }

    /// By which rules records are decided, up to the next one.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn balance(&self, id: BalanceId) -> Option<Balance> {
        let place = self.balances.find(id)?;
        Some(self.balances.whole(place))
    }

    /// All balances, in no particular order.
    pub fn balances(&self) -> impl Iterator<Item = (BalanceId, Balance)> {
        self.balances.iter()
    }

    /// The ids of all balances, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = BalanceId> {
        self.balances.ids()
    }

    /// The ids of all transit balances.
    pub fn transit(&self) -> impl Iterator<Item = BalanceId> {
        self.balances.transit()
    }

    /// What is posted to `id`, if that is a transit balance.
    pub fn in_transit(&self, id: BalanceId) -> Option<(Asset, i128)> {
        let resident = self.balances.get(id)?;
        let class = resident.class();
        (*class.ledger == *TRANSIT_LEDGER).then(|| (class.asset, resident.state().posted))
    }

    /// How many balances there are.
    pub fn resident(&self) -> usize {
        self.balances.len()
    }

    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    pub fn references(&self) -> usize {
        self.seen.len()
    }

    /// The last command decided.
    pub fn applied(&self) -> Option<u64> {
        self.applied
    }

    pub fn log_time_ms(&self) -> i64 {
        self.log_time_ms
    }

    /// The balances changed since the last call, each once.
    pub fn take_touched(&mut self) -> Vec<BalanceId> {
        let mut touched = mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// The holds changed since the last call, each once.
    pub fn take_touched_holds(&mut self) -> Vec<TransactionId> {
        let mut touched = mem::take(&mut self.touched_holds);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Forgets references and ended holds beyond the horizon; changes no later outcome.
    pub fn forget(&mut self) {
        if let Some(setting) = self.setting {
            self.seen.forget(self.log_time_ms, setting.horizon_seconds);
            self.holds.forget(self.log_time_ms, setting.horizon_seconds);
        }
    }

    /// Remembers a reference that was decided at or before the cut this partition started from.
    pub fn remember(&mut self, outcome: &Outcome) {
        if let Some(mark) = outcome.effects.mark {
            self.seen.insert(mark.key, mark.seen(outcome.at_ms));
        }
    }

    /// What a marker says as of the last command; absent before the first one.
    pub fn cut(&self) -> Option<Cut> {
        Some(Cut {
            command_offset: self.applied?,
            log_time_ms: self.log_time_ms,
            version_sum: self.version_sum,
            highest_offset: self.highest_offset,
            posted: self.posted.clone(),
            holds: self.holds.sums(),
            sent: self.sent.clone(),
            received: self.received.clone(),
            closed: self.closed.clone(),
            setting: self.setting?,
            rules: self.rules.clone(),
        })
    }
}
