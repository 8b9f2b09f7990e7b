//! Flush: one snapshot per touched balance, then a marker, then the consumer offset.
//!
//! A marker is written only when every outcome and every leg up to its command is acknowledged,
//! so what a sink accepts can never be newer than the log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::batch::Touched;
use crate::ledger::{BalanceId, Cut, PartitionId};
use crate::log::producer::{Acks, Append, AppendFailed};
use crate::wire::MarkerBody;
use crate::wire::record::{marker_key, snapshot_key};

/// How long a marker may stay without being accepted before its balances are published again.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(300);

/// What is to be published, and what was since the sink's watermark.
pub(super) struct Books {
    /// Every balance touched since the watermark X, in its latest state.
    since: HashMap<BalanceId, Touched>,
    dirty: HashSet<BalanceId>,
    accepted: Option<u64>,
    /// The last marker that was published, and when the sink last moved.
    marked: Option<u64>,
    moved: Instant,
    patience: Duration,
}

/// One flush on its way.
pub(super) struct Flush {
    pub(super) snapshots: Vec<Touched>,
    pub(super) cut: Cut,
    /// Where on `outcomes` the cut's outcome is.
    pub(super) position: u64,
    /// Acknowledgements of the legs up to the cut.
    pub(super) legs: Vec<Arc<Acks>>,
}

impl Books {
    /// Starts from what was touched since the accepted watermark; all of it is published again.
    pub(super) fn new(touched: Vec<Touched>, accepted: Option<u64>) -> Self {
        let dirty = touched.iter().map(|balance| balance.id).collect();
        let since = touched
            .into_iter()
            .map(|balance| (balance.id, balance))
            .collect();
        Self {
            since,
            dirty,
            accepted,
            marked: None,
            moved: Instant::now(),
            patience: PATIENCE_MIN,
        }
    }

    pub(super) fn touch(&mut self, balance: Touched) {
        self.dirty.insert(balance.id);
        self.since.insert(balance.id, balance);
    }

    /// The sink's watermark, as hot says: what it covers need not be kept.
    pub(super) fn accept(&mut self, accepted: u64) {
        if self.accepted.is_some_and(|known| known >= accepted) {
            return;
        }
        self.accepted = Some(accepted);
        self.moved = Instant::now();
        self.patience = PATIENCE_MIN;
        let dirty = &self.dirty;
        self.since
            .retain(|id, balance| balance.offset > accepted || dirty.contains(id));
    }

    /// Everything touched since the watermark, for hot to be installed anew.
    pub(super) fn since(&self) -> impl Iterator<Item = Touched> + '_ {
        self.since.values().cloned()
    }

    /// Whether the sink passed a marker over or fell far behind: then everything since its
    /// watermark is to be published again, at growing intervals (S2).
    pub(super) fn publish_again(&mut self) -> bool {
        let behind = self
            .marked
            .is_some_and(|marked| self.accepted.is_some_and(|x| x < marked));
        if !behind || self.moved.elapsed() < self.patience {
            return false;
        }
        self.moved = Instant::now();
        self.patience = (self.patience * 2).min(PATIENCE_MAX);
        self.dirty.extend(self.since.keys().copied());
        true
    }

    /// Takes what is to be published for a marker at `offset`.
    pub(super) fn take(&mut self, offset: u64) -> Vec<Touched> {
        if self
            .marked
            .is_none_or(|marked| self.accepted.is_none_or(|x| x >= marked))
        {
            // The sink was up to date until now: its patience starts with this marker.
            self.moved = Instant::now();
        }
        self.marked = Some(offset);
        let ids = std::mem::take(&mut self.dirty);
        ids.iter()
            .filter_map(|id| self.since.get(id).cloned())
            .collect()
    }

    /// The sink's watermark, as far as it is known.
    pub(super) fn accepted(&self) -> Option<u64> {
        self.accepted
    }

    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }
}

/// Publishes a flush. The command offset it covers.
pub(super) async fn publish(
    shared: Arc<Shared>,
    partition: PartitionId,
    epoch: u64,
    flush: Flush,
) -> Result<u64, AppendFailed> {
    let started = Instant::now();
    for acks in &flush.legs {
        acks.wait().await?;
    }
    let producer = shared.producer().map_err(|_| AppendFailed)?;
    let topic = &shared.topics.snapshots;
    let number = Some(i32::from(partition));
    let acks = Acks::open();
    for balance in &flush.snapshots {
        let key = snapshot_key(balance.id);
        let json = balance
            .text
            .iter()
            .position(|byte| *byte == b' ')
            .map_or(0, |at| at + 1);
        let value = &balance.text[json..];
        let append = Append {
            topic,
            partition: number,
            key: key.as_bytes(),
            value,
            headers: None,
        };
        producer.append(append, &acks).await?;
    }
    acks.wait().await?;
    let marker = MarkerBody::of(&flush.cut, partition, flush.position, epoch);
    let value = serde_json::to_vec(&marker).expect("a marker is plain JSON");
    let key = marker_key(partition);
    let append = Append {
        topic,
        partition: number,
        key: key.as_bytes(),
        value: &value,
        headers: None,
    };
    producer.append_one(append).await?;
    let count = flush.snapshots.len() as u64;
    shared
        .metrics
        .snapshots
        .with_label_values(&[&partition.to_string()])
        .inc_by(count);
    shared
        .metrics
        .stage
        .with_label_values(&["flush"])
        .observe(started.elapsed().as_secs_f64());
    Ok(flush.cut.command_offset)
}
