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
