//! What the sinks' transactions have in common: rows and positions move together (S3).
//!
//! A position is a fence as well. A write names the positions it starts from; if cold stands
//! elsewhere, either this very write is in already, its acknowledgement lost, or another instance
//! has the partition. In both cases nothing is written, and the positions are to be read again.

use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::ledger::PartitionId;
use crate::wire::Time;

/// The longest one write may take before its connection is given up.
const WRITE_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    Journal,
    Balances,
}

impl Sink {
    /// The name in `sink_positions`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Balances => "balances",
        }
    }
}

/// How far a sink is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub partition: PartitionId,
    /// The next offset to read of the sink's own topic.
    pub position: u64,
    /// The last command whose effects are in.
    pub command_offset: Option<u64>,
    /// Its log time.
    pub at: Option<Time>,
    /// Of the balances: the accepted marker, whole.
    pub marker: Option<String>,
    /// Of the journal: the hash of the last outcome.
    pub last_hash: Option<[u8; 32]>,
}

/// A partition's step from one position to the next.
#[derive(Clone, Debug)]
pub struct Move {
    pub from: u64,
    pub to: Checkpoint,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Written<T> {
    Done(T),
    /// Cold stands elsewhere.
    Moved,
}

/// The generation of a log other than `generation` that cold was filled from, if there is one.
pub async fn foreign_generation(
    pool: &PgPool,
    generation: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar("select generation from sink_positions where generation <> $1 limit 1")
        .bind(generation)
        .fetch_optional(pool)
        .await
}

/// The positions of `partitions`; one without any starts at the topic's first record.
pub async fn checkpoints(
    pool: &PgPool,
    sink: Sink,
    partitions: &[PartitionId],
    generation: Uuid,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let partitions: Vec<i32> = partitions.iter().map(|p| i32::from(*p)).collect();
    sqlx::query(
        "insert into sink_positions (sink, partition, position, generation) \
         select $1, p, 0, $3 from unnest($2::int[]) p on conflict do nothing",
    )
    .bind(sink.name())
    .bind(&partitions)
    .bind(generation)
    .execute(pool)
    .await?;
    let rows: Vec<PositionRow> = sqlx::query_as(
        "select partition, position, command_offset, at, marker, last_hash \
         from sink_positions where sink = $1 and partition = any($2) order by partition",
    )
    .bind(sink.name())
    .bind(&partitions)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Checkpoint::try_from).collect()
}

#[derive(sqlx::FromRow)]
pub(super) struct PositionRow {
    partition: i32,
    position: i64,
    command_offset: Option<i64>,
    at: Option<DateTime<Utc>>,
    marker: Option<String>,
    last_hash: Option<Vec<u8>>,
}

impl TryFrom<PositionRow> for Checkpoint {
    type Error = sqlx::Error;

    fn try_from(row: PositionRow) -> Result<Self, sqlx::Error> {
        let hash = row.last_hash.map(|hash| {
            let length = hash.len();
            <[u8; 32]>::try_from(hash).map_err(|_| decode(format!("a hash of {length} bytes")))
        });
        Ok(Self {
            partition: PartitionId::try_from(row.partition).map_err(decode)?,
            position: u64::try_from(row.position).map_err(decode)?,
            command_offset: row
                .command_offset
                .map(u64::try_from)
                .transpose()
                .map_err(decode)?,
            at: row.at.map(|at| Time(at.timestamp_millis())),
            marker: row.marker,
            last_hash: hash.transpose()?,
        })
    }
}

/// Something in cold that this binary did not write.
pub(super) fn decode(error: impl Into<sqlx::error::BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// A number for a `bigint` column.
pub(super) fn long(number: u64) -> i64 {
    i64::try_from(number).expect("offsets and versions have at most 63 bits")
}

/// Runs one attempt of a write on its own connection; one that hangs is cut off.
pub(super) async fn bounded<T>(
    pool: &PgPool,
    attempt: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    match tokio::time::timeout(WRITE_MAX, attempt(&mut connection)).await {
        Ok(result) => result,
        Err(_) => {
            drop(connection.detach());
            Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))
        }
    }
}

/// Locks the positions of `moves`; whether cold stands where all of them start.
pub(super) async fn fence(
    db: &mut PgConnection,
    sink: Sink,
    moves: &[Move],
) -> Result<bool, sqlx::Error> {
    let partitions: Vec<i32> = moves.iter().map(|step| step.to.partition.into()).collect();
    let stand: Vec<(i32, i64)> = sqlx::query_as(
        "select partition, position from sink_positions \
         where sink = $1 and partition = any($2) order by partition for update",
    )
    .bind(sink.name())
    .bind(partitions)
    .fetch_all(db)
    .await?;
    let starts = |step: &Move| stand.contains(&(step.to.partition.into(), long(step.from)));
    Ok(moves.iter().all(starts))
}

/// Moves the positions; the caller holds their locks.
pub(super) async fn advance(
    db: &mut PgConnection,
    sink: Sink,
    moves: &[Move],
) -> Result<(), sqlx::Error> {
    let to = || moves.iter().map(|step| &step.to);
    let moved = sqlx::query(
        "update sink_positions p set position = m.position, command_offset = m.command_offset, \
                at = m.at, marker = m.marker, last_hash = m.last_hash, updated_at = now() \
         from unnest($2::int[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::text[], \
                     $7::bytea[]) \
              as m (partition, position, command_offset, at, marker, last_hash) \
         where p.sink = $1 and p.partition = m.partition",
    )
    .bind(sink.name())
    .bind(to().map(|to| i32::from(to.partition)).collect::<Vec<_>>())
    .bind(to().map(|to| long(to.position)).collect::<Vec<_>>())
    .bind(
        to().map(|to| to.command_offset.map(long))
            .collect::<Vec<_>>(),
    )
    .bind(to().map(|to| to.at.map(Time::utc)).collect::<Vec<_>>())
    .bind(to().map(|to| to.marker.as_deref()).collect::<Vec<_>>())
    .bind(
        to().map(|to| to.last_hash.as_ref().map(|hash| &hash[..]))
            .collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    assert!(
        usize::try_from(moved.rows_affected()) == Ok(moves.len()),
        "S3: every position moves with its rows"
    );
    Ok(())
}
