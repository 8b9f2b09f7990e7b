//! What a takeover starts from: one consistent read of cold.
//!
//! Everything in a [`Base`] is as of the partition's watermark X: rows of balances change only
//! with it (S1), and references beyond it are left to the fold of `outcomes`. Where the journal
//! is behind X, the fold begins at the journal's position, so that no reference is missed.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use sqlx::{Connection, PgConnection, PgPool};

use super::fields::copied;
use super::holds;
use super::write::{Checkpoint, PositionRow, Sink, decode};
use crate::ledger::{
    Balance, BalanceId, Decision, Fingerprint, Hold, PartitionId, Seen, SeenKey, TransactionId,
};
use crate::wire::{BalanceBody, MarkerBody, Money, fingerprint};

/// A partition as cold has it.
#[derive(Debug, Default)]
pub struct Base {
    /// The accepted marker: the cut as of X. Without one there are no balances either. What an
    /// older binary did not say in it is taken from the rows.
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
    let mut marker = accepted(&mut db_tx, partition).await?;
    let journal = position(&mut db_tx, Sink::Journal, partition).await?;
    let journal_hash = journal.as_ref().and_then(|at| at.last_hash);
    let journal = journal.and_then(|at| Some((at.position, at.command_offset?)));
    let balances = balances(&mut db_tx, partition).await?;
    let (mut holds, mut seen) = (Vec::new(), Vec::new());
    if let Some(marker) = &mut marker {
        holds = holds::base(&mut db_tx, marker).await?;
        seen = references(&mut db_tx, partition, marker).await?;
        if marker.holds.changes.is_none() {
            marker.holds.changes = Some(holds::changes_of(&mut db_tx, partition).await?);
        }
    }
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
    let query = format!(
        "select id, ledger, account, key, asset, posted, held, incoming, floor, ceiling, status, \
                version, command_offset, epoch \
         from balances where partition = {partition}"
    );
    let mut ledgers: HashSet<Arc<str>> = HashSet::new();
    let mut balances = Vec::new();
    copied(db, &query, |row| {
        let number = |number: i64| u64::try_from(number).map_err(decode);
        let (id, ledger, account) = (row.uuid()?, row.text()?, row.text()?);
        let (key, asset) = (row.text()?, row.text()?);
        let amounts = [row.decimal()?, row.decimal()?, row.decimal()?].map(Money);
        let limits = [row.maybe_decimal()?, row.maybe_decimal()?];
        let [floor, ceiling] = limits.map(|limit| limit.map(Money));
        let status = row.text()?;
        let [posted, held, incoming] = amounts;
        let body = BalanceBody {
            id,
            ledger: (&*ledger).into(),
            account: (&*account).into(),
            key: (&*key).into(),
            asset: (&*asset).into(),
            posted,
            held,
            incoming,
            floor,
            ceiling,
            status: (&*status).into(),
            version: number(row.long()?)?,
            command_offset: number(row.long()?)?,
            partition,
            epoch: number(row.long()?)?,
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
        Ok(())
    })
    .await?;
    Ok(balances)
}

/// What the partition remembers by its decisions up to the marker's command, in the order of the
/// decisions: a walked transaction has several, and rows come in any order.
async fn references(
    db: &mut PgConnection,
    partition: PartitionId,
    marker: &MarkerBody,
) -> Result<Vec<(SeenKey, Seen)>, sqlx::Error> {
    let from = marker
        .horizon()
        .to_rfc3339_opts(SecondsFormat::Millis, true);
    let query = format!(
        "select transaction_id, at, ledger, reference, status, reason, fingerprint, \
                command_offset \
         from transactions where partition = {partition} and command_offset <= {} \
              and at >= '{from}' and status <> 'expired'",
        marker.command_offset
    );
    let (mut seen, mut latest, mut in_order) = (Vec::new(), i64::MIN, true);
    copied(db, &query, |row| {
        let id = TransactionId::from_uuid(row.uuid()?);
        let id = id.ok_or_else(|| decode("a transaction id of another form"))?;
        let at_ms = row.time()?.timestamp_millis();
        let key = fingerprint::seen_key(&row.text()?, &row.text()?);
        let key = match id.home() == partition {
            true => key,
            false => key.at_stop(id),
        };
        let (status, reason) = (row.text()?, row.maybe_text()?);
        let decision = match Decision::from_wire(&status, reason.as_deref()) {
            Some(Decision::Returned(reason)) => Decision::Rejected(reason),
            Some(decision) => decision,
            None => return Err(decode("a decision that is unknown")),
        };
        let fingerprint = <[u8; 16]>::try_from(&*row.bytes()?).map_err(decode)?;
        let offset = row.long()?;
        in_order &= offset >= latest;
        latest = offset;
        let mark = Seen::new(Fingerprint(fingerprint), id, at_ms, decision);
        seen.push((offset, key, mark));
        Ok(())
    })
    .await?;
    if !in_order {
        seen.sort_by_key(|(offset, ..)| *offset);
    }
    let seen = seen.into_iter();
    Ok(seen.map(|(_, key, mark)| (key, mark)).collect())
}
