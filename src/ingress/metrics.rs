//! What the ingress counts.

use crate::telemetry::metrics::LATENCY_BUCKETS;

crate::metrics! {
    /// The ingress's metrics.
    pub struct IngressMetrics {
        /// Requests answered, by route and HTTP status.
        pub requests: prometheus::IntCounterVec = "steelyard_ingress_requests_total", ["route", "status"];
        /// Time from a request's head to its answer.
        pub request_seconds: prometheus::HistogramVec = "steelyard_ingress_request_seconds", ["route"], buckets LATENCY_BUCKETS;
        /// Commands by what became of them here: applied, rejected, replayed, pending, unknown or
        /// refused.
        pub commands: prometheus::IntCounterVec = "steelyard_ingress_commands_total", ["outcome"];
        /// Time until Kafka acknowledged a command.
        pub publish_seconds: prometheus::Histogram = "steelyard_ingress_publish_seconds", buckets LATENCY_BUCKETS;
        /// Time from a command's publishing to its outcome.
        pub wait_seconds: prometheus::Histogram = "steelyard_ingress_wait_seconds", buckets LATENCY_BUCKETS;
        /// Commands whose outcome is awaited.
        pub waiters: prometheus::IntGauge = "steelyard_ingress_waiters";
        /// Claims by what was found: fresh, pending, done, other, contested or unknown.
        pub claims: prometheus::IntCounterVec = "steelyard_ingress_claims_total", ["result"];
        /// Final answers that could not be noted in claims.
        pub claims_dropped: prometheus::IntCounter = "steelyard_ingress_claims_dropped_total";
        /// Replies by whose they were: awaited, late (nobody waits any more), foreign (of another
        /// instance) or broken.
        pub replies: prometheus::IntCounterVec = "steelyard_ingress_replies_total", ["result"];
        /// Open connections.
        pub connections: prometheus::IntGauge = "steelyard_ingress_connections";
        /// Balances read, by source.
        pub balance_reads: prometheus::IntCounterVec = "steelyard_ingress_balance_reads_total", ["source"];
    }
}
