//! One partition's metrics, looked up once: the hot path only adds.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::Metrics;
use crate::ledger::outcome::Ignored;
use crate::ledger::{Asset, BalanceId, Decision, Outcome, Partition, PartitionId};
use crate::telemetry::clock;

/// Statuses of the wire, in the order of their counters.
const STATUSES: [&str; 9] = [
    "applied",
    "held",
    "posted",
    "voided",
    "expired",
    "forwarded",
    "rejected",
    "returned",
    "ignored",
];

pub(super) struct Gauges {
    partition: PartitionId,
    metrics: Metrics,
    statuses: Vec<IntCounter>,
    replays: IntCounter,
    queue: Histogram,
    decide: Histogram,
    records: Histogram,
    /// This partition's transit balances, and their sum by asset.
    transit: HashMap<BalanceId, i128>,
    in_transit: HashMap<Asset, i128>,
}

impl Gauges {
    pub(super) fn new(metrics: &Metrics, partition: &Partition) -> Self {
        let label = partition.id().to_string();
        let status = |status: &str| {
            metrics
                .commands
                .with_label_values(&[label.as_str(), status])
        };
        let mut gauges = Self {
            partition: partition.id(),
            statuses: STATUSES.into_iter().map(status).collect(),
            replays: metrics.replays.with_label_values(&[&label]),
            queue: metrics.stage.with_label_values(&["queue"]),
            decide: metrics.stage.with_label_values(&["decide"]),
            records: metrics.batch.with_label_values(&["decide"]),
            metrics: metrics.clone(),
            transit: HashMap::new(),
            in_transit: HashMap::new(),
        };
        let ids: Vec<BalanceId> = partition.transit().collect();
        gauges.in_transit(partition, &ids);
        gauges
    }

    /// One record got its outcome.
    pub(super) fn decided(&self, outcome: &Outcome, at_ms: i64) {
        let status = outcome.decision.status();
        if let Some(at) = STATUSES.iter().position(|known| *known == status) {
            self.statuses[at].inc();
        }
        let waited = clock::now_ms().saturating_sub(at_ms).max(0);
        self.queue.observe(waited as f64 / 1000.0);
        if outcome.replay_of.is_some() {
            self.replays.inc();
        }
        let partition = self.partition;
        let label = || partition.to_string();
        match outcome.decision {
            Decision::Rejected(rejection) if outcome.replay_of.is_none() => {
                self.metrics
                    .rejections
                    .with_label_values(&[rejection.slug()])
                    .inc();
            }
            Decision::Ignored(Ignored::LegGap) => {
                self.metrics.leg_gaps.with_label_values(&[&label()]).inc();
                tracing::error!(
                    partition,
                    offset = outcome.offset,
                    "a leg is missing before this"
                );
            }
            Decision::Ignored(Ignored::Misrouted) => {
                self.metrics.misrouted.with_label_values(&[&label()]).inc();
            }
            Decision::Applied
            | Decision::Held
            | Decision::Posted
            | Decision::Voided
            | Decision::Expired
            | Decision::Forwarded
            | Decision::Rejected(_)
            | Decision::Returned(_)
            | Decision::Ignored(_) => {}
        }
        tracing::debug!(
            partition,
            offset = outcome.offset,
            reference = outcome.command.as_ref().map(|command| &*command.reference),
            balance.id = outcome
                .command
                .as_ref()
                .map(|c| tracing::field::display(c.decider())),
            status,
            reason = outcome.decision.reason(),
            traceparent = outcome
                .command
                .as_ref()
                .and_then(|c| c.note.trace.as_deref()),
            "decided"
        );
    }

    /// A turn of `records` took `time`.
    pub(super) fn turned(&self, records: usize, time: Duration) {
        self.decide.observe(time.as_secs_f64());
        self.records.observe(records as f64);
    }

    /// Follows the transit balances among `ids`.
    pub(super) fn in_transit(&mut self, partition: &Partition, ids: &[BalanceId]) {
        for id in ids {
            let Some((asset, posted)) = partition.in_transit(*id) else {
                continue;
            };
            let before = self.transit.insert(*id, posted).unwrap_or(0);
            let sum = self.in_transit.entry(asset).or_default();
            *sum += posted - before;
            let units = *sum as f64 / 10_f64.powi(i32::from(asset.scale()));
            let labels = [self.partition.to_string(), asset.to_string()];
            self.metrics.transit.with_label_values(&labels).set(units);
        }
    }
}
