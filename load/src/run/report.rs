//! What a run found out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::conservation::Findings;
use super::floors::Floor;
use crate::measure::{Quantiles, Track};

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: String,
    /// `open`: so many a second. `closed`: so many unanswered.
    pub pacing: String,
    pub accepted_per_second: f64,
    pub settled_per_second: f64,
    /// Settled, as a share of what the baseline's closed loop did in the same run.
    pub of_baseline: Option<f64>,
    /// Settled, as a share of what transfers at home did in the same run.
    pub of_plain: Option<f64>,
    pub accepted: Quantiles,
    pub settled: Quantiles,
    /// How long after they were due the commands were sent.
    pub sent_after_due: Quantiles,
    #[serde(flatten)]
    pub counts: Counts,
    /// Records the sinks had to write yet when the last outcome was there.
    pub sink_lag: Option<u64>,
    /// How long that took them; nothing if it took too long, or none runs.
    pub drained_seconds: Option<f64>,
    /// Cores used by program.
    pub cores: BTreeMap<String, f64>,
}

/// Over the whole phase, warm-up included.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    pub sent: u64,
    pub dropped: u64,
    pub late: u64,
    pub queue_full: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub unknown: u64,
    pub applied: u64,
    pub rejected: BTreeMap<String, u64>,
    pub replayed: u64,
    pub lost: u64,
    pub double: u64,
    /// Why something was refused or unknown.
    pub refusals: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub ledger: String,
    pub partitions: u16,
    pub processors: usize,
    /// How this program was built; a debug build measures itself.
    pub build: &'static str,
    pub seconds: u64,
    pub rows: Vec<Row>,
    pub conservation: Findings,
    pub floors: Vec<Floor>,
}

impl Row {
    pub fn new(name: String, track: &Track, cores: BTreeMap<String, f64>) -> Self {
        let account = track.account();
        Self {
            name,
            pacing: track.schedule.pacing.to_string(),
            accepted_per_second: track.accepted_per_second(),
            settled_per_second: track.settled_per_second(),
            of_baseline: None,
            of_plain: None,
            accepted: track.accept_latency().quantiles(),
            settled: track.settle_latency().quantiles(),
            sent_after_due: track.send_latency().quantiles(),
            counts: Counts {
                sent: account.sent,
                dropped: account.dropped,
                late: account.late,
                queue_full: account.queue_full,
                acknowledged: account.accepted,
                refused: account.refused,
                unknown: account.unknown,
                applied: account.applied,
                rejected: account.rejected,
                replayed: account.replayed,
                lost: account.lost,
                double: account.doubled,
                refusals: account.refusals,
            },
            sink_lag: None,
            drained_seconds: None,
            cores,
        }
    }

    /// Nothing lost, nothing double, everything that was planned was sent and answered.
    pub fn is_clean(&self) -> bool {
        let Counts {
            dropped,
            refused,
            unknown,
            lost,
            double,
            ..
        } = self.counts;
        [dropped, refused, unknown, lost, double] == [0; 5]
    }
}

impl Report {
    /// Whether nothing was lost, doubled or made up, and every floor was met.
    pub fn passes(&self) -> bool {
        let kept = |row: &Row| row.counts.lost == 0 && row.counts.double == 0;
        self.rows.iter().all(kept)
            && self.conservation.holds()
            && self.floors.iter().all(|floor| floor.met)
    }
}
