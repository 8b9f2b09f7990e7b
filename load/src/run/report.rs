//! What a run found out, as values, as tables and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::conservation::Findings;
use super::floors::Floor;
use crate::measure::{Quantiles, Track};
use crate::table::{Table, grouped, millis, rate};

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
    pub accepted: Quantiles,
    pub settled: Quantiles,
    /// How long after they were due the commands were sent.
    pub sent_after_due: Quantiles,
    #[serde(flatten)]
    pub counts: Counts,
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

    pub fn rates(&self) -> Table {
        let mut table = Table::new(&[
            "scenario",
            "loop",
            "accepted/s",
            "p50 ms",
            "p99",
            "p99.9",
            "settled/s",
            "p50 ms",
            "p99",
            "p99.9",
            "of baseline",
        ]);
        for row in &self.rows {
            let mut cells = vec![row.name.clone(), row.pacing.clone()];
            cells.push(rate(row.accepted_per_second));
            cells.extend(quantiles(&row.accepted));
            cells.push(rate(row.settled_per_second));
            cells.extend(quantiles(&row.settled));
            cells.push(
                row.of_baseline
                    .map_or(String::new(), |share| format!("{share:.2}")),
            );
            table.row(cells);
        }
        table
    }

    pub fn counts(&self) -> Table {
        let mut table = Table::new(&[
            "scenario",
            "loop",
            "sent",
            "applied",
            "rejected",
            "lost",
            "double",
            "replayed",
            "refused",
            "unknown",
            "dropped",
            "late",
            "queue full",
        ]);
        for row in &self.rows {
            let counts = &row.counts;
            let rejected = counts.rejected.values().sum();
            let numbers = [
                counts.sent,
                counts.applied,
                rejected,
                counts.lost,
                counts.double,
                counts.replayed,
                counts.refused,
                counts.unknown,
                counts.dropped,
                counts.late,
                counts.queue_full,
            ];
            let mut cells = vec![row.name.clone(), row.pacing.clone()];
            cells.extend(numbers.map(grouped));
            table.row(cells);
        }
        table
    }

    pub fn cores(&self) -> Table {
        let mut table = Table::new(&["scenario", "loop", "send lag p99 ms", "cores used by"]);
        for row in &self.rows {
            let mut used: Vec<_> = row.cores.iter().collect();
            used.sort_by(|a, b| b.1.total_cmp(a.1));
            let used = used.into_iter().take(8);
            let used: Vec<_> = used.map(|(name, c)| format!("{name} {c:.2}")).collect();
            let lag = millis(row.sent_after_due.p99_ms);
            table.row(vec![
                row.name.clone(),
                row.pacing.clone(),
                lag,
                used.join(", "),
            ]);
        }
        table
    }

    pub fn floors(&self) -> Table {
        let mut table = Table::new(&["floor", "needed", "got", ""]);
        for floor in &self.floors {
            let verdict = if floor.met { "met" } else { "MISSED" };
            let number = |number: f64| match floor.share {
                true => format!("{number:.2}"),
                false => rate(number),
            };
            let cells = [number(floor.needed), number(floor.got), verdict.to_owned()];
            table.row([vec![floor.name.clone()], cells.to_vec()].concat());
        }
        table
    }

    /// The sentence on money.
    pub fn money(&self) -> String {
        let Findings {
            outcomes,
            copies,
            entries,
            gaps,
            sum,
            balances,
            versions,
        } = self.conservation;
        let verdict = match self.conservation.holds() {
            true => "conserved",
            false => "NOT CONSERVED",
        };
        format!(
            "money: {verdict}: {balances} balances at {versions} versions sum to {sum}, {gaps} \
             gaps, over {entries} entries in {outcomes} outcomes ({copies} copies)"
        )
    }

    /// What was refused, by reason, if anything was.
    pub fn refusals(&self) -> Vec<String> {
        let rows = self
            .rows
            .iter()
            .filter(|row| !row.counts.refusals.is_empty());
        rows.map(|row| format!("{} {}: {:?}", row.name, row.pacing, row.counts.refusals))
            .collect()
    }
}

fn quantiles(quantiles: &Quantiles) -> [String; 3] {
    [quantiles.p50_ms, quantiles.p99_ms, quantiles.p999_ms].map(millis)
}
