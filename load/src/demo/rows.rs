//! How many rows a day took the sinks, by their own count.

use crate::http::Connection;
use crate::target::Target;

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
