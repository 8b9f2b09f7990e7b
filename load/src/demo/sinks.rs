//! What the sinks do with a day: how soon they have caught up, and how many rows it took them.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::http::Connection;
use crate::kafka::{Group, Road};
use crate::target::Target;

/// A sink's consumer group and when it had nothing left to do.
#[derive(Debug)]
pub struct Drained {
    pub sink: &'static str,
    /// Nothing if it was not in time.
    pub after: Option<Duration>,
}

/// Between two looks at the lag, and how long it may take.
const LOOK: Duration = Duration::from_millis(50);
const DRAINS: Duration = Duration::from_secs(120);

/// Waits until both sinks' groups have committed everything there is.
pub async fn drain(road: &Road, since: Instant) -> Result<Vec<Drained>> {
    let mut waiting = Vec::new();
    let sinks = [
        ("journal-sink", &road.topics.outcomes),
        ("balance-sink", &road.topics.snapshots),
    ];
    for (sink, topic) in sinks {
        let name = road.options.group(sink);
        let group = Group::watch(&road.options, &name, topic, road.partitions)?;
        waiting.push((sink, group, None));
    }
    while since.elapsed() < DRAINS && waiting.iter().any(|(.., after)| after.is_none()) {
        road.stop.check()?;
        for (_, group, after) in &mut waiting {
            if after.is_none() && group.lag()? == Some(0) {
                *after = Some(since.elapsed());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    let drained = waiting.into_iter();
    Ok(drained
        .map(|(sink, _, after)| Drained { sink, after })
        .collect())
}

/// What the sinks have counted since they started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rows {
    pub balances: f64,
    pub outcomes: f64,
}

impl Rows {
    /// Nothing where the metrics cannot be read.
    pub async fn read(target: &Target) -> Option<Self> {
        let mut connection = Connection::new(target.ops().ok()?);
        let answer = connection.get("/metrics").await.ok()?;
        let text = std::str::from_utf8(&answer.body).ok()?;
        Some(Self {
            balances: sum(text, "steelyard_sink_balance_rows_total")?,
            outcomes: sum(text, "steelyard_sink_outcomes_total")?,
        })
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            balances: self.balances - before.balances,
            outcomes: self.outcomes - before.outcomes,
        }
    }
}

/// Sum of a metric over its labels; nothing if there is no such metric.
fn sum(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labelled) => labelled.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_whitespace().next()?.parse::<f64>().ok()
    });
    samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP rows_total Rows.\n# TYPE rows_total counter\n\
            rows_total{partition=\"0\"} 12\nrows_total{partition=\"1\",x=\"}\"} 30 1700000000\n\
            rows_total_other 9\nplain 7\n";
        assert_eq!(sum(text, "rows_total"), Some(42.0));
        assert_eq!(sum(text, "plain"), Some(7.0));
        assert_eq!(sum(text, "absent"), None);
    }
}
