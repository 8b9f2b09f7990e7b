//! What the processor counts.

use crate::metrics;
use crate::wire::InvalidKind;

metrics! {
    /// The processor's metrics; `partition` is the partition's number.
    pub struct Metrics {
        /// Records of commands that got their outcome, by its status.
        pub commands: prometheus::IntCounterVec = "steelyard_commands_total", ["partition", "status"];
        /// Rejections by reason.
        pub rejections: prometheus::IntCounterVec = "steelyard_rejections_total", ["reason"];
        /// Outcomes that repeat an earlier decision.
        pub replays: prometheus::IntCounterVec = "steelyard_replays_total", ["partition"];
        /// Records that can never be understood, by slug.
        pub dead_letters: prometheus::IntCounterVec = "steelyard_dead_letters_total", ["reason"];
        /// Records that arrived on the wrong partition and were sent on.
        pub misrouted: prometheus::IntCounterVec = "steelyard_misrouted_total", ["partition"];
        /// Legs beyond the next number: an earlier one is missing. Alarm on any.
        pub leg_gaps: prometheus::IntCounterVec = "steelyard_leg_gaps_total", ["partition"];
        /// Legs sent, and legs sent again after a takeover.
        pub legs: prometheus::IntCounterVec = "steelyard_legs_total", ["partition", "kind"];
        /// Seconds by stage: queue (log time to decision), decide, publish, store, flush, takeover.
        pub stage: prometheus::HistogramVec = "steelyard_stage_seconds", ["stage"],
            buckets crate::telemetry::metrics::LATENCY_BUCKETS;
        /// Seconds of a takeover by phase: claim, hot (claimed), watermark (of cold, with a
        /// standby) or cold (read whole) or log (read whole, without cold), fold, legs (sent
        /// again), install (hot), start (of the commands).
        pub takeover: prometheus::HistogramVec = "steelyard_takeover_seconds", ["phase"],
            buckets crate::telemetry::metrics::LATENCY_BUCKETS;
        /// Whether a standby here has folded everything on the partition's outcomes, as of its last
        /// look; absent where this instance owns the partition or keeps no standby.
        pub standby: prometheus::IntGaugeVec = "steelyard_standby_whole", ["partition"];
        /// Records of a batch.
        pub batch: prometheus::HistogramVec = "steelyard_batch_records", ["stage"],
            buckets [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];
        /// Takeovers by what the state was made of: standby, cold, or the log alone.
        pub bases: prometheus::IntCounterVec = "steelyard_takeover_bases_total", ["from"];
        /// Batches that are decided and not finished yet.
        pub queue: prometheus::IntGaugeVec = "steelyard_queue_batches", ["partition"];
        /// Hot was not what its owner last wrote, by what it was instead.
        pub hot_conflicts: prometheus::IntCounterVec = "steelyard_hot_conflicts_total", ["kind"];
        /// Calls to hot that failed or ran out of time.
        pub hot_errors: prometheus::IntCounterVec = "steelyard_hot_errors_total", ["partition"];
        /// Takeovers, by why the one before ended.
        pub takeovers: prometheus::IntCounterVec = "steelyard_takeovers_total", ["reason"];
        /// Whether a partition waits, beyond what a call takes: for kafka or postgres. For redis
        /// nobody waits: its hot is behind meanwhile.
        pub waits: prometheus::IntGaugeVec = "steelyard_partition_waits", ["partition", "for"];
        /// Broken invariants: the partition has stopped. Page on any.
        pub violations: prometheus::IntCounterVec = "steelyard_invariant_violations_total", ["partition"];
        /// Snapshots published, aggregated from the entries of a flush.
        pub snapshots: prometheus::IntCounterVec = "steelyard_snapshots_total", ["partition"];
        /// Markers published again because the sink passed one over or fell behind.
        pub republished: prometheus::IntCounterVec = "steelyard_republished_total", ["partition"];
        /// The epoch of the ownership of a partition; absent where another instance owns it.
        pub epoch: prometheus::IntGaugeVec = "steelyard_partition_epoch", ["partition"];
        /// The last command applied.
        pub applied: prometheus::IntGaugeVec = "steelyard_partition_applied_offset", ["partition"];
        /// Balances in memory.
        pub balances: prometheus::IntGaugeVec = "steelyard_resident_balances", ["partition"];
        /// Open holds in memory, at their home and elsewhere.
        pub holds: prometheus::IntGaugeVec = "steelyard_open_holds", ["partition"];
        /// Ticks written to expire holds that are due.
        pub ticks: prometheus::IntCounterVec = "steelyard_ticks_total", ["partition"];
        /// References remembered.
        pub references: prometheus::IntGaugeVec = "steelyard_remembered_references", ["partition"];
        /// Money in transit: this partition's side of all transit balances, by asset, in units of
        /// the asset; the sum over all partitions is what is on the wire.
        pub transit: prometheus::GaugeVec = "steelyard_transit_amount", ["partition", "asset"];
    }
}

/// What hot was instead of what its owner last wrote.
pub(super) mod conflict {
    pub(crate) const EMPTY: &str = "empty";
    pub(crate) const LOWER: &str = "lower";
    pub(crate) const NEWER: &str = "newer";
    pub(crate) const OLDER_THAN_COLD: &str = "older-than-cold";
    pub(crate) const ROLLED_BACK: &str = "rolled-back";
    pub(crate) const ALL: [&str; 5] = [EMPTY, LOWER, NEWER, OLDER_THAN_COLD, ROLLED_BACK];
}

impl Metrics {
    /// Shows what has not happened yet as 0: an increase from nothing to 1 is none to Prometheus.
    pub fn show_zeros(&self) {
        for kind in InvalidKind::ALL {
            self.dead_letters.with_label_values(&[kind.slug()]);
        }
        for kind in conflict::ALL {
            self.hot_conflicts.with_label_values(&[kind]);
        }
    }
}
