//! Everything together: the partitions' checks added up, and the proofs over several of them.

use sqlx::PgPool;

use super::history;
use super::once::{self, Once, Twice};
use super::references::{self, Spans};
use super::report::{Check, Finding, Report};
use super::scan::Scanned;
use super::transit::{self, Shore};
use super::turn::Sources;
use crate::cold::audit::conflicts;
use crate::ledger::Setting;
use crate::log::reader::Reader;

/// What all partitions together prove.
#[derive(Debug, Default)]
pub(super) struct Whole {
    checks: Vec<Check>,
    shores: Vec<Shore>,
    once: Once,
    spans: Spans,
    setting: Option<Setting>,
}

impl Whole {
    pub(super) fn add(&mut self, checks: impl IntoIterator<Item = Check>) {
        for check in checks {
            match self
                .checks
                .iter_mut()
                .find(|known| known.name == check.name)
            {
                Some(known) => known.absorb(check),
                None => self.checks.push(check),
            }
        }
    }

    pub(super) fn take(&mut self, scanned: Scanned) {
        self.add(scanned.checks);
        self.shores.extend(scanned.shore);
        if let (Some(first), Some(last)) = (scanned.decided.first(), scanned.decided.last()) {
            self.spans.insert(scanned.partition, (first, last));
        }
        self.once.absorb(scanned.once);
        self.setting = self.setting.or(scanned.setting);
    }

    /// The proofs over several partitions, and the history of what was found.
    pub(super) async fn finish(mut self, sources: &Sources<'_>) -> anyhow::Result<Report> {
        let twice = self.join();
        let mut check = once::check(&self.once, &twice);
        if twice.is_empty() {
            conflicting(sources.pool, &mut check).await;
        }
        let found = references::check(sources.pool, &self.once, &self.spans).await;
        self.add([check, found]);
        self.checks
            .sort_by_key(|check| ORDER.iter().position(|name| *name == check.name));
        let (reader, topic) = (sources.reader.clone(), sources.topics.outcomes.clone());
        let told = tokio::task::spawn_blocking(move || {
            with_history((&reader, &topic), self.checks, &twice)
        });
        Ok(Report::new(told.await??))
    }

    /// Joins what was gathered by partition: references, and the two sides of transit.
    fn join(&mut self) -> Vec<Twice> {
        let mut transit = Check::new("transit", "pairs");
        transit::pairs(&self.shores, &mut transit);
        self.add([transit]);
        let horizon = self
            .setting
            .map_or(u64::MAX, |setting| setting.horizon_seconds);
        let generation = self.setting.map(|setting| setting.generation);
        self.once.finish();
        self.once.twice(horizon, generation.unwrap_or_default())
    }
}

/// The order of the report.
const ORDER: [&str; 13] = [
    "caught-up",
    "chain",
    "commands",
    "fold",
    "versions",
    "zero-sum",
    "transit",
    "once",
    "cold",
    "journal",
    "references",
    "hot",
    "replay",
];

/// References with two transactions that the journal sink recorded, where the log shows none:
/// it may have been trimmed, or some partitions left out.
async fn conflicting(pool: &PgPool, check: &mut Check) {
    match conflicts(pool).await {
        Ok((0, _)) | Ok((_, None)) => {}
        Ok((count, Some(row))) => {
            let what = format!(
                "cold recorded {count} references with two transactions (S4), first {} of {}: {} \
                 and {}",
                row.reference, row.ledger, row.kept, row.other
            );
            check.miss(Finding {
                partition: None,
                ..Finding::new(0, what)
            });
        }
        Err(error) => check.cannot_tell(format!("postgres: {error}")),
    }
}

fn with_history(
    log: (&Reader, &str),
    mut checks: Vec<Check>,
    twice: &[Twice],
) -> anyhow::Result<Vec<Check>> {
    for check in &mut checks {
        let Some(first) = &mut check.first else {
            continue;
        };
        let more = match (check.name, twice.first()) {
            ("once", Some(twice)) => history::of_transactions(log, [twice.first, twice.second])?,
            _ => history::of_balance(log, first)?,
        };
        first.history.extend(more);
    }
    Ok(checks)
}
