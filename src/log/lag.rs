//! Consumer lag, published: as metrics, and in the operators' overview.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::meter::{Lag, Meter, seconds};
use super::status::Status;
use crate::ledger::PartitionId;
use crate::telemetry::clock;
use crate::telemetry::ops::Overview;

/// How often it is measured.
pub const INTERVAL: Duration = Duration::from_secs(5);

crate::metrics! {
    /// How far consumer groups are behind.
    pub struct Metrics {
        /// Records between a group's committed offset and the end of the partition.
        pub records: prometheus::IntGaugeVec = "steelyard_consumer_lag_records", ["group", "topic", "partition"];
        /// Age of the oldest record that a group has not read; 0 when there is none.
        pub seconds: prometheus::GaugeVec = "steelyard_consumer_lag_seconds", ["group", "topic", "partition"];
        /// 1 for the status a group has on a partition (ok, warn, stall, stop, rewind), else 0.
        pub status: prometheus::IntGaugeVec = "steelyard_consumer_status", ["group", "topic", "partition", "status"];
        /// When lag was last measured, in seconds since the epoch.
        pub measured: prometheus::Gauge = "steelyard_consumer_lag_timestamp_seconds";
    }
}

/// Measures until stopped.
///
/// # Errors
/// If the clients cannot be built.
pub async fn run(
    options: Options,
    partitions: PartitionId,
    metrics: Metrics,
    overview: Overview,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut meter = Meter::new(&options, partitions)?;
    loop {
        let looked = tokio::task::spawn_blocking(move || {
            let now_ms = clock::now_ms();
            let lags = meter.measure(now_ms);
            (meter, lags, now_ms)
        });
        let (returned, lags, now_ms) = looked.await?;
        meter = returned;
        match lags {
            Ok(lags) => {
                publish(&metrics, &lags, now_ms);
                overview.set("consumers", to_json(&lags, now_ms));
            }
            Err(error) => tracing::warn!(error = %error, "consumer lag cannot be measured"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn publish(metrics: &Metrics, lags: &[Lag], now_ms: i64) {
    for lag in lags {
        let partition = lag.partition.to_string();
        let labels = [&*lag.group, &*lag.topic, &*partition];
        metrics.records.with_label_values(&labels).set(lag.records);
        metrics.seconds.with_label_values(&labels).set(lag.seconds);
        for status in Status::ALL {
            let labels = [&*lag.group, &*lag.topic, &*partition, status.slug()];
            let gauge = metrics.status.with_label_values(&labels);
            gauge.set(i64::from(status == lag.status));
        }
    }
    metrics.measured.set(seconds(now_ms));
}

/// What the overview shows of them.
pub fn to_json(lags: &[Lag], now_ms: i64) -> Value {
    let partitions = lags.iter().map(|lag| {
        json!({
            "group": lag.group,
            "topic": lag.topic,
            "partition": lag.partition,
            "committed": lag.committed,
            "end": lag.end,
            "lag_records": lag.records,
            "lag_seconds": lag.seconds,
            "status": lag.status.slug(),
            "owner": lag.owner,
        })
    });
    let worst = lags.iter().map(|lag| lag.status).max();
    json!({
        "measured_at": chrono::DateTime::from_timestamp_millis(now_ms),
        "status": worst.unwrap_or(Status::Ok).slug(),
        "partitions": partitions.collect::<Vec<_>>(),
    })
}
