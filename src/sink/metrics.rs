//! What the sinks count.

crate::metrics! {
    /// What the sinks count.
    pub struct SinkMetrics {
        /// Outcomes written to cold.
        pub outcomes: prometheus::IntCounterVec = "steelyard_sink_outcomes_total", ["partition"];
        /// Records of `outcomes` that were not written: copies by a second owner, records after a
        /// hole.
        pub skipped: prometheus::IntCounterVec = "steelyard_sink_skipped_outcomes_total", ["reason"];
        /// Rejections of a reference that was used with other content.
        pub reused: prometheus::IntCounter = "steelyard_sink_reused_references_total";
        /// References that were used for two transactions in two partitions (S4).
        pub conflicts: prometheus::IntCounter = "steelyard_sink_reference_conflicts_total";
        /// Snapshots read.
        pub snapshots: prometheus::IntCounterVec = "steelyard_sink_snapshots_total", ["partition"];
        /// Rows of balances written; fewer than snapshots and outcomes as heat rises.
        pub balance_rows: prometheus::IntCounterVec = "steelyard_sink_balance_rows_total", ["partition"];
        /// Commands whose effects are in balances.
        pub synced: prometheus::IntCounterVec = "steelyard_sink_synced_commands_total", ["partition"];
        /// Aggregation: commands that came into balances for each row written, since the start.
        pub aggregation: prometheus::GaugeVec = "steelyard_sink_aggregation_ratio", ["partition"];
        /// Snapshots older than their row or than another snapshot; their owner publishes again.
        pub stale_snapshots: prometheus::IntCounterVec = "steelyard_sink_stale_snapshots_total", ["partition"];
        /// Markers by what became of them (S2).
        pub markers: prometheus::IntCounterVec = "steelyard_sink_markers_total", ["result"];
        /// Records that could not be read.
        pub malformed: prometheus::IntCounterVec = "steelyard_sink_malformed_total", ["sink"];
        /// Rows of one write.
        pub batch_rows: prometheus::HistogramVec = "steelyard_sink_batch_rows", ["sink"],
            buckets [1.0, 10.0, 100.0, 1000.0, 5000.0, 10000.0, 50000.0, 100000.0];
        /// How long one write took.
        pub write_seconds: prometheus::HistogramVec = "steelyard_sink_write_seconds", ["sink"],
            buckets crate::telemetry::metrics::LATENCY_BUCKETS;
        /// The next offset to read of the sink's topic, as cold has it.
        pub position: prometheus::IntGaugeVec = "steelyard_sink_position", ["sink", "partition"];
        /// The last command whose effects are in cold.
        pub watermark: prometheus::IntGaugeVec = "steelyard_sink_watermark", ["sink", "partition"];
        /// How old that command is while later ones have arrived; 0 if none has.
        pub age: prometheus::GaugeVec = "steelyard_sink_watermark_age_seconds", ["sink", "partition"];
        /// Seconds since a marker was accepted while snapshots arrive; 0 otherwise.
        pub unaccepted: prometheus::GaugeVec = "steelyard_sink_unaccepted_seconds", ["partition"];
        /// 1 while the sink waits for Postgres.
        pub waiting: prometheus::IntGaugeVec = "steelyard_sink_waiting", ["sink"];
        /// 1 while the sink has stopped a partition because an invariant is broken.
        pub halted: prometheus::IntGaugeVec = "steelyard_sink_halted", ["sink", "partition"];
        /// Times that hot could not be told what is in cold.
        pub hot_failures: prometheus::IntCounter = "steelyard_sink_hot_failures_total";
    }
}
