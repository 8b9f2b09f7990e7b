//! A report as tables for people.

use super::conservation::Findings;
use super::report::Report;
use crate::measure::Quantiles;
use crate::table::{Table, grouped, millis, rate};

impl Report {
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
            "of plain",
        ]);
        let share = |share: Option<f64>| share.map_or(String::new(), |it| format!("{it:.2}"));
        for row in &self.rows {
            let mut cells = vec![row.name.clone(), row.pacing.clone()];
            cells.push(rate(row.accepted_per_second));
            cells.extend(quantiles(&row.accepted));
            cells.push(rate(row.settled_per_second));
            cells.extend(quantiles(&row.settled));
            cells.extend([share(row.of_baseline), share(row.of_plain)]);
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

    pub fn costs(&self) -> Table {
        let mut table = Table::new(&[
            "scenario",
            "loop",
            "send lag p99 ms",
            "sink lag",
            "drained s",
            "cores used by",
        ]);
        for row in &self.rows {
            let mut used: Vec<_> = row.cores.iter().collect();
            used.sort_by(|a, b| b.1.total_cmp(a.1));
            let used = used.into_iter().take(8);
            let used: Vec<_> = used.map(|(name, c)| format!("{name} {c:.2}")).collect();
            let lag = millis(row.sent_after_due.p99_ms);
            let behind = row.sink_lag.map_or_else(String::new, grouped);
            let drained = row.drained_seconds.map(|seconds| format!("{seconds:.1}"));
            table.row(vec![
                row.name.clone(),
                row.pacing.clone(),
                lag,
                behind,
                drained.unwrap_or_default(),
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
