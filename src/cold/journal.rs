//! Outcomes as rows: `transactions`, `entries` and `transaction_references`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::copy::{Rows, copy};
use super::write::{Move, Sink, Written, advance, bounded, fence, long};
use crate::ledger::{Decision, Rejection, TransactionId};
use crate::wire::{EntryBody, OutcomeBody, Time};

/// The rows of some outcomes of one partition.
#[derive(Debug, Default)]
pub struct Part {
    transactions: Rows,
    entries: Rows,
    references: Vec<Reference>,
    /// A log time in each month that rows fall into.
    months: BTreeSet<Month>,
}

/// A month of log time, by any moment in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u32,
}

#[derive(Clone, Debug)]
struct Reference {
    ledger: Box<str>,
    reference: Box<str>,
    transaction: Uuid,
    at: Time,
}

/// S4: a reference that stands for two transactions.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Conflict {
    pub ledger: String,
    pub reference: String,
    pub kept: Uuid,
    pub other: Uuid,
}

impl Part {
    /// Adds what an outcome leaves in cold: its entries, and a transaction if it decided one.
    pub fn add(&mut self, outcome: &OutcomeBody<'_>) {
        if let Some(transaction) = decided(outcome) {
            self.months.insert(Month::of(outcome.at));
            self.transaction(outcome, transaction);
        }
        for entry in &outcome.entries {
            self.months.insert(Month::of(outcome.at));
            self.entry(outcome, entry);
        }
    }

    pub fn rows(&self) -> usize {
        self.transactions.len() + self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.transactions.bytes() + self.entries.bytes()
    }

    pub fn months(&self) -> impl Iterator<Item = Month> {
        self.months.iter().copied()
    }

    fn transaction(&mut self, outcome: &OutcomeBody<'_>, (id, ledger, reference): Named<'_>) {
        let refused = outcome.refused;
        let metadata = outcome.metadata.map(|metadata| json(metadata.get()));
        self.transactions
            .row(15)
            .uuid(Some(id))
            .int(outcome.partition.into())
            .long(Some(long(outcome.offset)))
            .time(Some(outcome.at))
            .text(ledger)
            .text(reference)
            .text(outcome.kind.as_deref().unwrap_or_default())
            .text(&outcome.status)
            .raw(outcome.reason.as_deref().map(str::as_bytes))
            .raw(Some(
                outcome
                    .fingerprint
                    .as_ref()
                    .map_or(&[], |fingerprint| &fingerprint.0),
            ))
            .time(outcome.effective_at)
            .raw(
                outcome
                    .description
                    .as_deref()
                    .map(text)
                    .as_deref()
                    .map(str::as_bytes),
            )
            .json(metadata.as_deref())
            .uuid(refused.map(|refused| refused.balance))
            .long(refused.and_then(|refused| refused.version).map(long));
        let home = TransactionId::from_uuid(id);
        if home.is_some_and(|id| id.home() == outcome.partition && id.offset() == outcome.offset) {
            self.references.push(Reference {
                ledger: ledger.into(),
                reference: reference.into(),
                transaction: id,
                at: outcome.at,
            });
        }
    }

    fn entry(&mut self, outcome: &OutcomeBody<'_>, entry: &EntryBody<'_>) {
        self.entries
            .row(13)
            .uuid(Some(entry.balance))
            .long(Some(long(entry.version)))
            .uuid(outcome.transaction_id)
            .int(outcome.partition.into())
            .long(Some(long(outcome.offset)))
            .time(Some(outcome.at))
            .time(outcome.effective_at)
            .text(&entry.direction)
            .decimal(entry.amount.0)
            .text(&entry.asset)
            .decimal(entry.posted.0)
            .decimal(entry.held.0)
            .decimal(entry.incoming.0);
    }
}

impl Month {
    pub fn of(at: Time) -> Self {
        use chrono::Datelike;
        let day = at.utc();
        Self {
            year: day.year(),
            month: day.month(),
        }
    }

    fn first_day(self) -> String {
        format!("{:04}-{:02}-01T00:00:00Z", self.year, self.month)
    }
}

type Named<'a> = (Uuid, &'a str, &'a str);

/// The transaction that an outcome decided: a repeat, a reused reference or a record without
/// effect decides none.
fn decided<'a>(outcome: &'a OutcomeBody<'_>) -> Option<Named<'a>> {
    match outcome.decision() {
        Ok(Decision::Applied | Decision::Forwarded | Decision::Returned(_)) => {}
        Ok(Decision::Rejected(rejection)) if rejection != Rejection::ReferenceReused => {}
        Ok(Decision::Rejected(_) | Decision::Ignored(_)) | Err(_) => return None,
    }
    if outcome.replay_of.is_some() {
        return None;
    }
    let named = (
        outcome.transaction_id,
        outcome.ledger.as_deref(),
        outcome.reference.as_deref(),
    );
    match named {
        (Some(id), Some(ledger), Some(reference)) => Some((id, ledger, reference)),
        _ => None,
    }
}

/// Postgres has no NUL in text; a client's note may.
fn text(note: &str) -> Cow<'_, str> {
    match note.contains('\0') {
        true => note.replace('\0', "\u{fffd}").into(),
        false => note.into(),
    }
}

/// The same of JSON, where it stands as an escape of six bytes after an even run of backslashes.
fn json(note: &str) -> Cow<'_, str> {
    if !note.contains("\\u0000") {
        return note.into();
    }
    let mut clean = String::with_capacity(note.len());
    let mut rest = note;
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        let (escape, tail) = match rest[at..].strip_prefix("\\u0000") {
            Some(tail) => ("\\ufffd", tail),
            None => rest[at..].split_at(2),
        };
        clean.push_str(escape);
        rest = tail;
    }
    clean.push_str(rest);
    clean.into()
}

/// Makes the tables' partitions for these months.
pub async fn ensure_months(pool: &PgPool, months: &[Month]) -> Result<(), sqlx::Error> {
    bounded(pool, async |connection| {
        for month in months {
            sqlx::query("select ensure_month($1::timestamptz)")
                .bind(month.first_day())
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    })
    .await
}

/// Writes the parts with their positions, and tells which references stand for two transactions.
pub async fn write(
    pool: &PgPool,
    moves: &[Move],
    parts: &[&Part],
) -> Result<Written<Vec<Conflict>>, sqlx::Error> {
    bounded(pool, async |connection| {
        let mut db_tx = connection.begin().await?;
        if !fence(&mut db_tx, Sink::Journal, moves).await? {
            return Ok(Written::Moved);
        }
        copy(
            &mut db_tx,
            TRANSACTIONS,
            parts.iter().map(|part| &part.transactions),
        )
        .await?;
        copy(&mut db_tx, ENTRIES, parts.iter().map(|part| &part.entries)).await?;
        let references = parts.iter().flat_map(|part| &part.references);
        let conflicts = claim(&mut db_tx, references.collect()).await?;
        advance(&mut db_tx, Sink::Journal, moves).await?;
        db_tx.commit().await?;
        Ok(Written::Done(conflicts))
    })
    .await
}

const TRANSACTIONS: &str = "copy transactions (transaction_id, partition, command_offset, at, \
    ledger, reference, type, status, reason, fingerprint, effective_at, description, metadata, \
    refused_balance, refused_version) from stdin (format binary)";

const ENTRIES: &str = "copy entries (balance_id, version, transaction_id, partition, \
    command_offset, at, effective_at, direction, amount, asset, posted, held, incoming) \
    from stdin (format binary)";

/// S4: gives every reference to the first transaction that comes with it.
async fn claim(
    db: &mut PgConnection,
    references: Vec<&Reference>,
) -> Result<Vec<Conflict>, sqlx::Error> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    let ledgers: Vec<&str> = references
        .iter()
        .map(|reference| &*reference.ledger)
        .collect();
    let names: Vec<&str> = references
        .iter()
        .map(|reference| &*reference.reference)
        .collect();
    let ids: Vec<Uuid> = references
        .iter()
        .map(|reference| reference.transaction)
        .collect();
    let times: Vec<_> = references
        .iter()
        .map(|reference| reference.at.utc())
        .collect();
    let fresh = sqlx::query(
        "insert into transaction_references (ledger, reference, transaction_id, at) \
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[]) \
         on conflict do nothing",
    )
    .bind(&ledgers)
    .bind(&names)
    .bind(&ids)
    .bind(&times)
    .execute(&mut *db)
    .await?;
    if usize::try_from(fresh.rows_affected()) == Ok(references.len()) {
        return Ok(Vec::new());
    }
    let taken: Vec<Conflict> = sqlx::query_as(
        "select g.ledger, g.reference, r.transaction_id as kept, g.transaction_id as other \
         from unnest($1::text[], $2::text[], $3::uuid[]) \
              as g (ledger, reference, transaction_id) \
         join transaction_references r using (ledger, reference) \
         where r.transaction_id <> g.transaction_id",
    )
    .bind(&ledgers)
    .bind(&names)
    .bind(&ids)
    .fetch_all(&mut *db)
    .await?;
    let (again, conflicts) = taken.into_iter().partition(same_home);
    succeed(db, again).await?;
    record(db, &conflicts).await?;
    Ok(conflicts)
}

fn same_home(taken: &Conflict) -> bool {
    let home = |id| TransactionId::from_uuid(id).map(TransactionId::home);
    home(taken.kept) == home(taken.other)
}

/// One partition decides a reference twice only beyond its dedupe horizon: the latest counts.
async fn succeed(db: &mut PgConnection, again: Vec<Conflict>) -> Result<(), sqlx::Error> {
    if again.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = again.iter().map(|taken| taken.other).collect();
    sqlx::query(
        "update transaction_references r set transaction_id = t.transaction_id, at = t.at \
         from transactions t \
         where t.transaction_id = any($1) and r.ledger = t.ledger and r.reference = t.reference \
           and t.at >= r.at",
    )
    .bind(ids)
    .execute(db)
    .await?;
    Ok(())
}

async fn record(db: &mut PgConnection, conflicts: &[Conflict]) -> Result<(), sqlx::Error> {
    if conflicts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into reference_conflicts (ledger, reference, kept, other, at) \
         select g.*, t.at from unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[]) \
                as g (ledger, reference, kept, other) \
         cross join lateral (select min(at) as at from transactions \
                             where transaction_id = g.other) t \
         on conflict do nothing",
    )
    .bind(
        conflicts
            .iter()
            .map(|c| c.ledger.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        conflicts
            .iter()
            .map(|c| c.reference.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(conflicts.iter().map(|c| c.kept).collect::<Vec<_>>())
    .bind(conflicts.iter().map(|c| c.other).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_of_utc() {
        let table = [
            ("2026-11-30T23:59:59.999Z", "2026-11-01T00:00:00Z"),
            ("2026-12-01T00:00:00.000Z", "2026-12-01T00:00:00Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-01T00:00:00Z"),
        ];
        for (at, month) in table {
            let at = chrono::DateTime::parse_from_rfc3339(at).unwrap();
            assert_eq!(Month::of(Time(at.timestamp_millis())).first_day(), month);
        }
    }

    #[test]
    fn what_postgres_cannot_hold_is_replaced() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        let table = [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#"{"a":"\u0000"}"#, r#"{"a":"\ufffd"}"#),
            (
                r#"{"\u0000\u0000":"\\\u0000x"}"#,
                r#"{"\ufffd\ufffd":"\\\ufffdx"}"#,
            ),
            (r#"{"a":"\\u0000"}"#, r#"{"a":"\\u0000"}"#),
            (
                r#"{"a":"\"\\\\u0000\u0000é"}"#,
                r#"{"a":"\"\\\\u0000\ufffdé"}"#,
            ),
        ];
        for (given, expected) in table {
            assert_eq!(json(given), expected);
            let plain: serde_json::Value = serde_json::from_str(&json(given)).unwrap();
            assert!(!plain.to_string().contains("\\u0000") || given.contains("\\\\u0000"));
        }
    }
}
