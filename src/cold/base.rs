//! What a takeover starts from: one consistent read of cold.
//!
//! Everything in a [`Base`] is as of the partition's watermark X: rows of balances change only
//! with it (S1), and references beyond it are left to the fold of `outcomes`. Where the journal
//! is behind X, the fold begins at the journal's position, so that no reference is missed.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use rust_decimal::Decimal;
use sqlx::{Connection, PgConnection, PgPool, Row};
use uuid::Uuid;

use super::holds;
use super::write::{Checkpoint, PositionRow, Sink, decode, long};
use crate::ledger::{
    Balance, BalanceId, Decision, Fingerprint, Hold, PartitionId, Seen, SeenKey, TransactionId,
};
use crate::wire::{BalanceBody, MarkerBody, Money, fingerprint};

/// A partition as cold has it.
#[derive(Debug)]
pub struct Base {
    /// The accepted marker: the cut as of X. Without one there are no balances either.
    pub marker: Option<MarkerBody>,
    pub balances: Vec<(BalanceId, Balance)>,
    pub holds: Vec<(TransactionId, Hold)>,
    /// The journal's next offset on `outcomes`, and the last command it has.
    pub journal: Option<(u64, u64)>,
    /// The hash of that command's outcome.
    pub journal_hash: Option<[u8; 32]>,
    /// References decided up to X, within the horizon. Of a key that comes twice, the later one
    /// counts.
    pub seen: Vec<(SeenKey, Seen)>,
}

/// The longest a base may take: far beyond the largest, it only ends a wait for a connection
/// whose other side is gone.
const BASE_MAX: Duration = Duration::from_secs(300);

/// The longest a single row may take.
const MARKER_MAX: Duration = Duration::from_secs(10);

/// Reads the base of a partition.
pub async fn base(pool: &PgPool, partition: PartitionId) -> Result<Base, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    match tokio::time::timeout(BASE_MAX, read(&mut connection, partition)).await {
        Ok(result) => result,
        Err(_) => {
            drop(connection.detach());
            Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))
        }
    }
}

/// The marker that was accepted last, and nothing else.
pub async fn marker(
    pool: &PgPool,
    partition: PartitionId,
) -> Result<Option<MarkerBody>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let asked = accepted(&mut connection, partition);
    match tokio::time::timeout(MARKER_MAX, asked).await {
        Ok(result) => result,
        Err(_) => {
            drop(connection.detach());
            Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))
        }
    }
}

async fn accepted(
    db: &mut PgConnection,
    partition: PartitionId,
) -> Result<Option<MarkerBody>, sqlx::Error> {
    let found = position(db, Sink::Balances, partition).await?;
    let text = found.and_then(|found| found.marker);
    text.map(|text| MarkerBody::parse(text.as_bytes()).map_err(decode))
        .transpose()
}

async fn read(db: &mut PgConnection, partition: PartitionId) -> Result<Base, sqlx::Error> {
    let mut db_tx = db
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let marker = accepted(&mut db_tx, partition).await?;
    let journal = position(&mut db_tx, Sink::Journal, partition).await?;
    let journal_hash = journal.as_ref().and_then(|at| at.last_hash);
    let journal = journal.and_then(|at| Some((at.position, at.command_offset?)));
    let balances = balances(&mut db_tx, partition).await?;
    let (holds, seen) = match &marker {
        Some(marker) => (
            holds::base(&mut db_tx, marker).await?,
            references(&mut db_tx, partition, marker).await?,
        ),
        None => (Vec::new(), Vec::new()),
    };
    Ok(Base {
        marker,
        balances,
        holds,
        journal,
        journal_hash,
        seen,
    })
}

async fn position(
    db: &mut PgConnection,
    sink: Sink,
    partition: PartitionId,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    let row: Option<PositionRow> = sqlx::query_as(
        "select partition, position, command_offset, at, marker, last_hash \
         from sink_positions where sink = $1 and partition = $2",
    )
    .bind(sink.name())
    .bind(i32::from(partition))
    .fetch_optional(db)
    .await?;
    row.map(Checkpoint::try_from).transpose()
}

async fn balances(
    db: &mut PgConnection,
    partition: PartitionId,
) -> Result<Vec<(BalanceId, Balance)>, sqlx::Error> {
    let mut rows = sqlx::query(
        "select id, ledger, account, key, asset, posted, held, incoming, floor, ceiling, status, \
                version, command_offset, epoch \
         from balances where partition = $1",
    )
    .bind(i32::from(partition))
    .fetch(db);
    let mut ledgers: HashSet<Arc<str>> = HashSet::new();
    let mut balances = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let number = |at: usize| u64::try_from(row.get::<i64, _>(at)).map_err(decode);
        let money = |at: usize| Money(row.get::<Decimal, _>(at));
        let limit = |at: usize| row.get::<Option<Decimal>, _>(at).map(Money);
        let body = BalanceBody {
            id: row.get::<Uuid, _>(0),
            ledger: row.get::<&str, _>(1).into(),
            account: row.get::<&str, _>(2).into(),
            key: row.get::<&str, _>(3).into(),
            asset: row.get::<&str, _>(4).into(),
            posted: money(5),
            held: money(6),
            incoming: money(7),
            floor: limit(8),
            ceiling: limit(9),
            status: row.get::<&str, _>(10).into(),
            version: number(11)?,
            command_offset: number(12)?,
            partition,
            epoch: number(13)?,
        };
        let ledger = match ledgers.get(&*body.ledger) {
            Some(known) => known.clone(),
            None => {
                let ledger: Arc<str> = (*body.ledger).into();
                ledgers.insert(ledger.clone());
                ledger
            }
        };
        balances.push(body.to_ledger(ledger).map_err(decode)?);
    }
    Ok(balances)
}

/// What the partition remembers by its decisions up to the marker's command, in the order of the
/// decisions: a walked transaction has several, and rows come in any order.
async fn references(
    db: &mut PgConnection,
    partition: PartitionId,
    marker: &MarkerBody,
) -> Result<Vec<(SeenKey, Seen)>, sqlx::Error> {
    let mut rows = sqlx::query(
        "select transaction_id, at, ledger, reference, status, reason, fingerprint, \
                command_offset \
         from transactions where partition = $1 and command_offset <= $2 and at >= $3 \
              and status <> 'expired'",
    )
    .bind(i32::from(partition))
    .bind(long(marker.command_offset))
    .bind(horizon(marker))
    .fetch(db);
    let mut seen = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let key = fingerprint::seen_key(row.get(2), row.get(3));
        let id = TransactionId::from_uuid(row.get(0));
        let id = id.ok_or_else(|| decode("a transaction id of another form"))?;
        let key = match id.home() == partition {
            true => key,
            false => key.at_stop(id),
        };
        let decision = match Decision::from_wire(row.get(4), row.get(5)) {
            Some(Decision::Returned(reason)) => Decision::Rejected(reason),
            Some(decision) => decision,
            None => return Err(decode("a decision that is unknown")),
        };
        let fingerprint = <[u8; 16]>::try_from(row.get::<&[u8], _>(6)).map_err(decode)?;
        let at_ms = row.get::<DateTime<Utc>, _>(1).timestamp_millis();
        let offset: i64 = row.get(7);
        let mark = Seen::new(Fingerprint(fingerprint), id, at_ms, decision);
        seen.push((offset, key, mark));
    }
    seen.sort_by_key(|(offset, ..)| *offset);
    let seen = seen.into_iter();
    Ok(seen.map(|(_, key, mark)| (key, mark)).collect())
}

/// The log time before which no reference counts any more; earlier by up to a second.
pub(super) fn horizon(marker: &MarkerBody) -> DateTime<Utc> {
    let span = i64::try_from(marker.horizon_seconds).unwrap_or(i64::MAX);
    let span = span.saturating_mul(1000).saturating_add(1000);
    DateTime::from_timestamp_millis(marker.at.0.saturating_sub(span))
        .filter(|from| *from > DateTime::UNIX_EPOCH)
        .unwrap_or(DateTime::UNIX_EPOCH)
}
