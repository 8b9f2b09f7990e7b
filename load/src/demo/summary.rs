//! The day in a table.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::by_http::Clients;
use super::half::Half;
use super::rows::Rows;
use crate::kafka::Drained;
use crate::table::{Table, grouped, millis, rate};

/// What a day came to.
pub struct Summary<'a> {
    pub http: &'a Half,
    pub kafka: &'a Half,
    pub clients: &'a Clients,
    pub took: Duration,
    pub drained: &'a [Drained],
    pub rows: Option<Rows>,
}

impl Summary<'_> {
    /// Prints everything but the audit; true if every payment has one answer.
    pub fn print(&self) -> bool {
        let (http, kafka) = (self.http.track.account(), self.kafka.track.account());
        let both = |of: fn(&crate::measure::Account) -> u64| of(&http) + of(&kafka);
        let mut table = Table::new(&["the day", "", ""]);
        let mut line = |name: &str, value: String, note: String| {
            table.row(vec![name.to_owned(), value, note]);
        };
        let batched = self.clients.batched.load(Ordering::Relaxed);
        let split = format!(
            "{} over HTTP ({} of them in batches), {} from Kafka",
            grouped(http.sent),
            grouped(batched),
            grouped(kafka.sent)
        );
        line("sent", grouped(both(|a| a.sent)), split);
        line("applied", grouped(both(|a| a.applied)), String::new());
        for (reason, count) in merged(&http.rejected, &kafka.rejected) {
            line("rejected", grouped(count), reason);
        }
        let note = "answered as the first time".to_owned();
        line("replayed", grouped(both(|a| a.replayed)), note);
        let retries = self.clients.retries.load(Ordering::Relaxed);
        if retries > 0 {
            line("retried", grouped(retries), "over HTTP".to_owned());
        }
        let unanswered = both(|a| a.sent) - both(|a| a.settled);
        let reasons = merged(&http.refusals, &kafka.refusals);
        if unanswered > 0 {
            line("UNANSWERED", grouped(unanswered), format!("{reasons:?}"));
        }
        let doubled = both(|a| a.doubled);
        if doubled > 0 {
            line("ANSWERED TWICE", grouped(doubled), String::new());
        }
        let settled = both(|a| a.settled);
        let per_second = settled as f64 / self.took.as_secs_f64().max(0.001);
        let seconds = format!("{:.1} s", self.took.as_secs_f64());
        line("payments/s", rate(per_second), seconds);
        self.times(&mut line);
        self.sinks(&mut line);
        println!("\n{}", table.text());
        unanswered == 0 && doubled == 0
    }

    fn times(&self, line: &mut impl FnMut(&str, String, String)) {
        let (http, kafka) = (
            self.http.track.settle_latency(),
            self.kafka.track.settle_latency(),
        );
        let mut all = http.clone();
        all.merge(&kafka);
        let roads = [
            (all, "from sending to the final answer, all"),
            (http, "over HTTP"),
            (kafka, "from Kafka"),
        ];
        for (latency, road) in roads {
            let quantiles = latency.quantiles();
            let value = format!(
                "{} / {}",
                millis(quantiles.p50_ms),
                millis(quantiles.p99_ms)
            );
            line("p50 / p99 ms", value, road.to_owned());
        }
    }

    fn sinks(&self, line: &mut impl FnMut(&str, String, String)) {
        for Drained { sink, after } in self.drained {
            let value = match after {
                Some(after) => format!("{:.2} s", after.as_secs_f64()),
                None => "NOT IN TIME".to_owned(),
            };
            let note = format!("after the last answer, {sink}");
            line("lag drained in", value, note);
        }
        let Some(rows) = self.rows else {
            let note = "the metrics of the sinks could not be read".to_owned();
            return line("rows per outcome", "?".to_owned(), note);
        };
        let share = rows.balances / rows.outcomes.max(1.0);
        let note = format!(
            "{} rows of balances for {} outcomes",
            rate(rows.balances),
            rate(rows.outcomes)
        );
        line("rows per outcome", format!("{share:.3}"), note);
    }
}

fn merged(a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut sum = a.clone();
    for (name, count) in b {
        *sum.entry(name.clone()).or_default() += count;
    }
    sum
}
