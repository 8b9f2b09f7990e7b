//! Latencies, in an HDR histogram, and rates beside them.

use std::ops::Range;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies from a microsecond to an hour, to three digits; longer ones count as an hour.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

const MICROS_MAX: u64 = 3_600_000_000;

/// What is reported of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("these bounds are valid"))
    }
}

impl Latency {
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record((nanos / 1_000).max(1));
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        if self.0.is_empty() {
            return Quantiles::default();
        }
        Quantiles {
            count: self.0.len(),
            p50_ms: at(0.50),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1_000.0,
        }
    }
}

/// Counts events and their latencies. The rate counts what *happened* within the measured span;
/// the latencies are of the commands that were *due* within it, however late they were answered.
#[derive(Clone, Debug)]
pub struct Meter {
    measured: Range<u64>,
    pub latency: Latency,
    pub total: u64,
    pub within: u64,
}

impl Meter {
    pub fn new(measured: Range<u64>) -> Self {
        Self {
            measured,
            latency: Latency::default(),
            total: 0,
            within: 0,
        }
    }

    /// Something that was due at `due` happened at `at`, in nanoseconds from the start.
    pub fn note(&mut self, due: u64, at: u64) {
        self.total += 1;
        if self.measured.contains(&at) {
            self.within += 1;
        }
        if self.measured.contains(&due) {
            self.latency.record(at.saturating_sub(due));
        }
    }

    /// Events per second over the measured span.
    pub fn rate(&self) -> f64 {
        let nanos = self.measured.end.saturating_sub(self.measured.start);
        self.within as f64 * 1e9 / nanos.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_recording_all_in_one() {
        let (mut left, mut right, mut all) =
            (Latency::default(), Latency::default(), Latency::default());
        for millis in 1..=1_000_u64 {
            let side = if millis % 3 == 0 {
                &mut left
            } else {
                &mut right
            };
            side.record(millis * 1_000_000);
            all.record(millis * 1_000_000);
        }
        left.merge(&right);
        assert_eq!(left.quantiles(), all.quantiles());
        assert_eq!(left.quantiles().count, 1_000);
        assert!((left.quantiles().p50_ms - 500.0).abs() < 1.0);
        assert!((left.quantiles().p999_ms - 999.0).abs() < 1.5);
    }

    #[test]
    fn no_latency_is_too_long_or_too_short_to_count() {
        let mut latency = Latency::default();
        latency.record(0);
        latency.record(u64::MAX);
        assert_eq!(latency.quantiles().count, 2);
        assert_eq!(Latency::default().quantiles(), Quantiles::default());
    }

    #[test]
    fn what_happens_is_a_rate_and_what_was_due_is_a_latency() {
        let mut meter = Meter::new(1_000_000_000..3_000_000_000);
        meter.note(900_000_000, 1_100_000_000); // due in the warm-up, happened in the span
        meter.note(2_000_000_000, 2_500_000_000);
        meter.note(2_900_000_000, 4_000_000_000); // due in the span, happened after it
        meter.note(3_100_000_000, 3_200_000_000);
        assert_eq!((meter.total, meter.within), (4, 2));
        assert!((meter.rate() - 1.0).abs() < 1e-9);
        assert_eq!(meter.latency.quantiles().count, 2);
        assert!(meter.latency.quantiles().max_ms > 1_099.0);
    }
}
