//! References: cold finds the transaction of every reference (S4).
//!
//! Compared are those whose transaction began in the outcomes that were read, up to where the
//! journal stands. Of a reference that its partition has decided again, beyond the dedupe horizon,
//! the latest counts (L4). Of one that two partitions have decided whichever came first does; that
//! there are two is for [`super::once`] to tell.

use std::collections::BTreeMap;

use sqlx::PgPool;

use super::once::{Home, Once};
use super::report::{Check, Finding};
use crate::cold::audit::{ReferenceRow, References};
use crate::ledger::{PartitionId, TransactionId};
use crate::wire::fingerprint::seen_key;

/// By partition, the first and the last command whose outcomes were read.
pub(super) type Spans = BTreeMap<PartitionId, (u64, u64)>;

/// Compares cold's references with what began in `once`.
pub(super) async fn check(pool: &PgPool, once: &Once, spans: &Spans) -> Check {
    let mut check = Check::new("references", "references");
    if let Err(error) = compare(pool, once, spans, &mut check).await {
        check.cannot_tell(format!("postgres: {error}"));
    }
    check
}

async fn compare(
    pool: &PgPool,
    once: &Once,
    spans: &Spans,
    check: &mut Check,
) -> Result<(), sqlx::Error> {
    let (mut references, journaled) = References::open(pool).await?;
    let mut rows = Rows {
        spans,
        once,
        journaled,
        found: vec![false; once.homes().len()],
    };
    references.rows(|row| rows.take(&row, check)).await?;
    rows.lost(check);
    Ok(())
}

/// Cold's rows, against the transactions that began.
struct Rows<'a> {
    spans: &'a Spans,
    once: &'a Once,
    /// By partition, the last command in the journal.
    journaled: BTreeMap<PartitionId, u64>,
    /// Of each home decision, whether its reference is there.
    found: Vec<bool>,
}

impl Rows<'_> {
    fn take(&mut self, row: &ReferenceRow, check: &mut Check) {
        let place = self.once.of(seen_key(&row.ledger, &row.reference));
        let homes = self.once.homes().get(place.clone()).unwrap_or_default();
        let id = TransactionId::from_uuid(row.transaction_id);
        let wrong = match id {
            None => Some("which is no transaction's id".to_owned()),
            Some(id) => self.wrong(homes, id),
        };
        self.found.get_mut(place).unwrap_or_default().fill(true);
        if let Some(wrong) = wrong {
            let (reference, ledger) = (&row.reference, &row.ledger);
            let what = format!(
                "reference {reference} of {ledger} points in cold to {}, {wrong}",
                row.transaction_id
            );
            let home = id.map_or(0, TransactionId::home);
            let finding = Finding::new(home, what).at(id.map(TransactionId::offset));
            check.miss(finding);
        }
    }

    /// What is wrong with a row that says `id`, given what began under its reference.
    fn wrong(&self, homes: &[Home], id: TransactionId) -> Option<String> {
        let same = homes.iter().filter(|home| home.partition == id.home());
        let mut later = same.filter(|home| self.is_journaled(home) && home.offset > id.offset());
        if let Some(later) = later.next_back() {
            let command = later.offset;
            return Some(format!("and began again with command {command}"));
        }
        let is_it = |home: &Home| (home.partition, home.offset) == (id.home(), id.offset());
        let span = self.spans.get(&id.home());
        let was_read = span.is_some_and(|(first, last)| (*first..=*last).contains(&id.offset()));
        let strange = was_read && !homes.iter().any(is_it);
        strange.then(|| "which did not begin under it".to_owned())
    }

    fn is_journaled(&self, home: &Home) -> bool {
        self.journaled.get(&home.partition) >= Some(&home.offset)
    }

    /// All rows were taken.
    fn lost(&self, check: &mut Check) {
        let homes = self.once.homes().iter().zip(&self.found);
        for (home, found) in homes.filter(|(home, _)| self.is_journaled(home)) {
            check.examined += 1;
            if !found {
                let what = "the reference of the transaction that began here is not in cold";
                let finding = Finding::new(home.partition, what);
                check.miss(finding.at(Some(home.offset)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LEDGER: &str = "default/main";

    /// What is told of rows, each a reference with the home and the command of its transaction.
    /// Outcomes of partitions 0 and 1 were read from command 10 to 99, the journal stands at 50.
    fn told(began: &[(&str, PartitionId, u64)], rows: &[(&str, PartitionId, u64)]) -> Vec<String> {
        let homes: Vec<_> = began
            .iter()
            .map(|(reference, partition, offset)| {
                (seen_key(LEDGER, reference), *partition, *offset)
            })
            .collect();
        let once = Once::of_homes(&homes);
        let spans = [(0, (10, 99)), (1, (10, 99))].into();
        let mut all = Vec::new();
        let mut rest = Rows {
            spans: &spans,
            once: &once,
            journaled: [(0, 50), (1, 50)].into(),
            found: vec![false; homes.len()],
        };
        for (reference, home, offset) in rows {
            let mut check = Check::new("references", "references");
            let row = ReferenceRow {
                ledger: LEDGER.to_owned(),
                reference: (*reference).to_owned(),
                transaction_id: TransactionId::new(*home, *offset, Uuid::nil()).uuid(),
            };
            rest.take(&row, &mut check);
            all.extend(check.first);
        }
        let mut check = Check::new("references", "references");
        rest.lost(&mut check);
        all.extend(check.first);
        all.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn what_is_as_it_was_decided_is_not_told() {
        let began = [("a", 0, 20), ("b", 1, 20), ("c", 0, 51)];
        assert!(told(&began, &[("a", 0, 20), ("b", 1, 20)]).is_empty());
        // Of another partition, before what was read, and of an audit that left it out.
        assert!(told(&[], &[("a", 0, 9), ("b", 2, 20)]).is_empty());
        // In two partitions whichever came first counts, in one the latest.
        let twice = [("a", 0, 20), ("a", 1, 30), ("b", 0, 21), ("b", 0, 40)];
        for first in [(0, 20), (1, 30)] {
            assert!(told(&twice, &[("a", first.0, first.1), ("b", 0, 40)]).is_empty());
        }
        // What the journal has not written yet may stand as it was.
        assert!(told(&[("a", 0, 20), ("a", 0, 60)], &[("a", 0, 20)]).is_empty());
    }

    #[test]
    fn what_is_lost_or_points_elsewhere_is_told() {
        for (began, rows, what) in [
            (vec![("a", 0, 20)], vec![], "is not in cold"),
            (
                vec![("a", 0, 20), ("b", 0, 21)],
                vec![("a", 0, 20)],
                "is not in cold",
            ),
            (
                vec![("a", 0, 20), ("b", 0, 21)],
                vec![("a", 0, 21), ("b", 0, 21)],
                "did not begin",
            ),
            (vec![], vec![("a", 1, 20)], "did not begin"),
            (
                vec![("a", 0, 20), ("a", 0, 40)],
                vec![("a", 0, 20)],
                "again with command 40",
            ),
            (
                vec![("a", 0, 20)],
                vec![("a", 0, 9)],
                "again with command 20",
            ),
        ] {
            let told = told(&began, &rows);
            assert!(
                told.len() == 1 && told[0].contains(what),
                "{told:?}, not {what}"
            );
        }
    }
}
