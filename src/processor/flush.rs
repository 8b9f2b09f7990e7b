//! Flush: one snapshot per touched balance and hold, then a marker, then the consumer offset.
//!
//! A marker is written only when every outcome and every leg up to its command is acknowledged,
//! so what a sink accepts can never be newer than the log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use foldhash::fast::FixedState;

use super::batch::Touched;
use super::ports::{Outbox, World};
use crate::ledger::{Cut, PartitionId};
use crate::log::producer::{Acks, Append, AppendFailed};
use crate::telemetry::failpoint::{self, Point};
use crate::wire::record::marker_key;
use crate::wire::{MarkerBody, Subject};

/// How long a marker may stay without being accepted before its balances are published again.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(300);

/// What is to be published, and what was since the sink's watermark.
pub(super) struct Books {
    /// Every balance and hold touched since the watermark X, in its latest state.
    since: HashMap<Subject, Touched, FixedState>,
    dirty: HashSet<Subject, FixedState>,
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
    pub(super) fn new(touched: Vec<Touched>, accepted: Option<u64>, now: Instant) -> Self {
        let dirty = touched.iter().map(|touched| touched.subject).collect();
        let since = touched
            .into_iter()
            .map(|touched| (touched.subject, touched))
            .collect();
        Self {
            since,
            dirty,
            accepted,
            marked: None,
            moved: now,
            patience: PATIENCE_MIN,
        }
    }

    pub(super) fn touch(&mut self, touched: Touched) {
        self.dirty.insert(touched.subject);
        self.since.insert(touched.subject, touched);
    }

    /// The sink's watermark, as hot says: what it covers need not be kept.
    pub(super) fn accept(&mut self, accepted: u64, now: Instant) {
        if self.accepted.is_some_and(|known| known >= accepted) {
            return;
        }
        self.accepted = Some(accepted);
        self.moved = now;
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
    pub(super) fn publish_again(&mut self, now: Instant) -> bool {
        if !self.is_behind() || now.saturating_duration_since(self.moved) < self.patience {
            return false;
        }
        self.moved = now;
        self.patience = (self.patience * 2).min(PATIENCE_MAX);
        self.dirty.extend(self.since.keys().copied());
        true
    }

    /// Takes what is to be published for a marker at `offset`.
    pub(super) fn take(&mut self, offset: u64, now: Instant) -> Vec<Touched> {
        if !self.is_behind() {
            // The sink was up to date until now: its patience starts with this marker.
            self.moved = now;
        }
        self.marked = Some(offset);
        let ids = std::mem::take(&mut self.dirty);
        ids.iter()
            .filter_map(|id| self.since.get(id).cloned())
            .collect()
    }

    /// Whether a marker was published that the sink has not accepted, as far as is known.
    fn is_behind(&self) -> bool {
        self.marked.is_some() && self.accepted < self.marked
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
pub(super) async fn publish<W: World>(
    shared: Arc<Shared<W>>,
    producer: Arc<W::Outbox>,
    partition: PartitionId,
    epoch: u64,
    flush: Flush,
) -> Result<u64, AppendFailed> {
    let started = shared.world.now();
    for acks in &flush.legs {
        acks.wait().await?;
    }
    let topic = &shared.topics.snapshots;
    let number = Some(i32::from(partition));
    let acks = Acks::open();
    for touched in &flush.snapshots {
        let key = touched.subject.key();
        let json = touched
            .text
            .iter()
            .position(|byte| *byte == b' ')
            .map_or(0, |at| at + 1);
        let value = &touched.text[json..];
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
    failpoint::pass(Point::BeforeMarker);
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
        .observe((shared.world.now() - started).as_secs_f64());
    Ok(flush.cut.command_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::BalanceId;

    fn touched(offset: u64) -> Touched {
        Touched {
            subject: Subject::Balance(BalanceId::new(uuid::Uuid::from_u128(offset.into()))),
            offset,
            text: bytes::Bytes::from_static(b"1 {}"),
        }
    }

    /// Whatever the sink had accepted before, a marker that it passes over is followed by another
    /// one, after everything since the watermark.
    #[test]
    fn what_was_passed_over_is_published_again() {
        let now = Instant::now();
        for accepted in [None, Some(3)] {
            let mut books = Books::new(vec![touched(5)], accepted, now);
            assert_eq!(books.take(6, now).len(), 1);
            books.patience = Duration::ZERO;
            books.touch(touched(7));
            assert_eq!(books.take(8, now).len(), 1);
            assert!(books.publish_again(now), "since {accepted:?}");
            assert_eq!(books.take(8, now).len(), 2);
            books.accept(8, now);
            assert!(!books.publish_again(now));
        }
    }

    #[test]
    fn patience_starts_with_the_first_marker_that_waits() {
        let now = Instant::now();
        let mut books = Books::new(Vec::new(), None, now);
        let long_ago = now.checked_sub(PATIENCE_MIN * 2).unwrap();
        books.moved = long_ago;
        books.touch(touched(5));
        books.take(5, now);
        assert!(!books.publish_again(now), "the sink has had no time yet");
        books.moved = long_ago;
        books.take(6, now);
        assert!(books.publish_again(now), "another marker is no other start");
    }
}
