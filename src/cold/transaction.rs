//! A transaction by its reference: the rows of all its stops, merged into one view.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::holds::{self, HoldRow};
use super::read::{AsOf, EntryRow};
use crate::ledger::{PartitionId, TransactionId};

/// One stop's decision on a transaction.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct StopRow {
    pub transaction_id: Uuid,
    #[sqlx(try_from = "i32")]
    pub partition: PartitionId,
    #[sqlx(try_from = "i64")]
    pub command_offset: u64,
    pub at: DateTime<Utc>,
    pub ledger: String,
    pub reference: String,
    #[sqlx(rename = "type")]
    pub kind: String,
    /// `applied`, `held`, `posted`, `voided`, `expired`, `forwarded`, `rejected` or `returned`.
    pub status: String,
    pub reason: Option<String>,
    /// 16 bytes.
    pub fingerprint: Vec<u8>,
    pub effective_at: Option<DateTime<Utc>>,
    pub description: Option<String>,
    pub metadata: Option<serde_json::Value>,
    /// The balance a rejection speaks of.
    pub refused_balance: Option<Uuid>,
    pub refused_version: Option<i64>,
    /// Of a reversal: what it moves back.
    pub reverses: Option<Uuid>,
}

/// A transaction as far as it is in cold.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionView {
    /// As of the row that decided, or `forwarded` while no stop that decides is in.
    pub status: String,
    pub reason: Option<String>,
    /// The row that decided, or home's; what does not differ between stops is read here.
    pub decider: StopRow,
    /// Every stop's rows, in the order of log time.
    pub stops: Vec<StopRow>,
    /// Every stop's entries, in the order of log time, by balance and version.
    pub entries: Vec<EntryRow>,
    /// Of a hold, or of what was reversed: what its home keeps of it, as far as that is in.
    pub hold: Option<HoldRow>,
    /// The references of the first 100 reversals that were applied, in the order of log time.
    pub reversed_by: Vec<String>,
    /// How far the journal is, by partition of the stops.
    pub as_of: Vec<AsOf>,
}

/// The transaction of `reference` in `ledger` (`organization/ledger`).
pub async fn transaction(
    pool: &PgPool,
    ledger: &str,
    reference: &str,
) -> Result<Option<TransactionView>, sqlx::Error> {
    let mut db_tx = pool
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let id: Option<Uuid> = sqlx::query_scalar(
        "select transaction_id from transaction_references where ledger = $1 and reference = $2",
    )
    .bind(ledger)
    .bind(reference)
    .fetch_optional(&mut *db_tx)
    .await?;
    match id {
        Some(id) => view(&mut db_tx, id).await,
        None => Ok(None),
    }
}

async fn view(db: &mut PgConnection, id: Uuid) -> Result<Option<TransactionView>, sqlx::Error> {
    let stops: Vec<StopRow> = sqlx::query_as(
        "select * from transactions where transaction_id = $1 \
         order by at, partition, command_offset",
    )
    .bind(id)
    .fetch_all(&mut *db)
    .await?;
    let entries: Vec<EntryRow> = sqlx::query_as(
        "select e.* from transactions t \
         join entries e on e.at = t.at and e.partition = t.partition \
              and e.command_offset = t.command_offset \
         where t.transaction_id = $1 \
         order by e.at, e.partition, e.command_offset, e.balance_id, e.version",
    )
    .bind(id)
    .fetch_all(&mut *db)
    .await?;
    let hold = match TransactionId::from_uuid(id) {
        Some(id) => holds::at_home(&mut *db, id).await?,
        None => None,
    };
    let reversed_by = match hold.as_ref().is_some_and(|hold| hold.reversals > 0) {
        true => reversals(&mut *db, id).await?,
        false => Vec::new(),
    };
    let partitions: Vec<i32> = stops.iter().map(|stop| stop.partition.into()).collect();
    let as_of = sqlx::query_as(
        "select partition as as_of_partition, command_offset as as_of_offset, at as as_of_at \
         from sink_positions \
         where sink = 'journal' and partition = any($1) and command_offset is not null \
         order by partition",
    )
    .bind(partitions)
    .fetch_all(&mut *db)
    .await?;
    let entries = entries.into_iter().map(EntryRow::scaled);
    let view = merge(stops, entries.collect(), as_of);
    Ok(view.map(|view| TransactionView {
        hold,
        reversed_by,
        ..view
    }))
}

/// Most reversals that a view names.
const REVERSALS_MAX: i64 = 100;

/// The references of the first reversals of a transaction that were applied.
async fn reversals(db: &mut PgConnection, id: Uuid) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select reference from transactions where reverses = $1 and status = 'applied' \
         group by reference order by min(at), reference limit $2",
    )
    .bind(id)
    .bind(REVERSALS_MAX)
    .fetch_all(db)
    .await
}

/// The rows of one transaction as one view; none of no rows.
pub fn merge(
    stops: Vec<StopRow>,
    entries: Vec<EntryRow>,
    as_of: Vec<AsOf>,
) -> Option<TransactionView> {
    let decider = stops
        .iter()
        .enumerate()
        .max_by_key(|(at, stop)| (weight(stop), Reverse(*at)))
        .map(|(_, stop)| stop.clone())?;
    let status = match decider.status.as_str() {
        "returned" => "rejected".to_owned(),
        "held" if !decider.is_home() => "forwarded".to_owned(),
        status => status.to_owned(),
    };
    Some(TransactionView {
        status,
        reason: decider.reason.clone(),
        decider,
        stops,
        entries,
        hold: None,
        reversed_by: Vec::new(),
        as_of,
    })
}

impl StopRow {
    fn is_home(&self) -> bool {
        let id = TransactionId::from_uuid(self.transaction_id);
        id.is_some_and(|id| id.home() == self.partition)
    }
}

/// How much a row decides. The stop that refused knows more than the ones that took back; that the
/// last stop accepts a hold decides it only when home has heard of it, for a post before that is
/// refused.
fn weight(stop: &StopRow) -> u8 {
    match stop.status.as_str() {
        "held" if !stop.is_home() => 0,
        "rejected" => 4,
        "returned" => 3,
        "expired" => 2,
        "applied" | "held" | "posted" | "voided" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(partition: PartitionId, status: &str) -> StopRow {
        StopRow {
            transaction_id: TransactionId::new(0, 7, Uuid::nil()).uuid(),
            partition,
            command_offset: 7,
            at: DateTime::UNIX_EPOCH,
            ledger: "default/main".to_owned(),
            reference: "order-1".to_owned(),
            kind: "transfer".to_owned(),
            status: status.to_owned(),
            reason: (status != "applied").then(|| "insufficient-funds".to_owned()),
            fingerprint: vec![0; 16],
            effective_at: None,
            description: None,
            metadata: None,
            refused_balance: None,
            refused_version: None,
            reverses: None,
        }
    }

    #[test]
    fn the_deciding_row_gives_the_status() {
        let table: [(&[&str], &str, PartitionId); 11] = [
            (&["applied"], "applied", 0),
            (&["rejected"], "rejected", 0),
            (&["forwarded"], "forwarded", 0),
            (&["forwarded", "applied"], "applied", 1),
            (&["forwarded", "forwarded", "applied"], "applied", 2),
            (&["forwarded", "applied", "applied"], "applied", 1),
            (&["forwarded", "returned", "rejected"], "rejected", 2),
            (&["forwarded", "returned"], "rejected", 1),
            // A hold is answered by home alone, after the last stop.
            (&["held"], "held", 0),
            (&["forwarded", "held"], "forwarded", 0),
            (&["forwarded", "forwarded", "held", "held@home"], "held", 0),
        ];
        for (statuses, expected, decider) in table {
            let stops = statuses.iter().zip(0..);
            let stops = stops.map(|(status, at)| match status.strip_suffix("@home") {
                Some(status) => stop(0, status),
                None => stop(at, status),
            });
            let view = merge(stops.collect(), Vec::new(), Vec::new()).unwrap();
            assert_eq!(view.status, expected, "{statuses:?}");
            assert_eq!(view.decider.partition, decider, "{statuses:?}");
            assert_eq!(view.stops.len(), statuses.len());
        }
    }

    #[test]
    fn no_rows_are_no_transaction() {
        assert!(merge(Vec::new(), Vec::new(), Vec::new()).is_none());
    }
}
