//! Writing a partition of cold anew, from what was folded out of `outcomes`.
//!
//! Both parts leave the sink's position at another place than where it stood, so that a sink at
//! work finds its fence moved and reads on from cold (S3).

use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::balances::{Row, upsert};
use super::holds;
use super::write::{Checkpoint, Move, Sink, advance, checkpoints, decode, long};
use crate::ledger::PartitionId;
use crate::wire::{MarkerBody, Time};

/// Why a partition of balances was not written anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    #[error("cold is at command {watermark} already, and what was read of outcomes ends at {read}")]
    Older { watermark: u64, read: u64 },
}

/// What a partition is to hold.
#[derive(Debug)]
pub struct State<'a> {
    /// The cut that the rows are.
    pub marker: MarkerBody,
    pub balances: Vec<Row<'a>>,
    pub holds: Vec<holds::Row<'a>>,
    /// Whether these are all holds there ever were; else ended ones that are not named stay.
    pub whole: bool,
}

/// The balances of a partition, which no sink writes meanwhile.
#[derive(Debug)]
pub struct Locked {
    db_tx: Transaction<'static, Postgres>,
    stored: Checkpoint,
    position: u64,
    watermark: Option<u64>,
}

impl Locked {
    /// Waits for a sink's write to end, and keeps it from the next one. Whatever cold has accepted
    /// is on the log by now.
    pub async fn new(
        pool: &PgPool,
        partition: PartitionId,
        generation: Uuid,
    ) -> Result<Self, sqlx::Error> {
        let stored = checkpoint(pool, Sink::Balances, partition, generation).await?;
        let mut db_tx = pool.begin().await?;
        let (position, watermark) = locked(&mut db_tx, Sink::Balances, partition).await?;
        Ok(Self {
            db_tx,
            stored,
            position,
            watermark,
        })
    }

    /// Replaces every balance, and the holds: rows and watermark in one transaction (S1), never
    /// back (S2).
    pub async fn write(mut self, state: &State<'_>) -> Result<(), Error> {
        let (marker, position) = (&state.marker, self.position);
        let read = marker.command_offset;
        if let Some(watermark) = self.watermark.filter(|watermark| *watermark > read) {
            return Err(Error::Older { watermark, read });
        }
        let db = &mut *self.db_tx;
        sqlx::query("delete from balances where partition = $1")
            .bind(i32::from(marker.partition))
            .execute(&mut *db)
            .await?;
        upsert(db, &state.balances).await?;
        holds::replace(db, marker.partition, &state.holds, state.whole).await?;
        let text = serde_json::to_string(marker).expect("a marker is plain JSON");
        let to = Checkpoint {
            // Reading one record twice costs nothing; the first one is the genesis record.
            position: position.checked_sub(1).unwrap_or(1),
            command_offset: Some(read),
            at: Some(marker.at),
            marker: Some(text),
            ..self.stored
        };
        advance(db, Sink::Balances, &[Move { from: position, to }]).await?;
        self.db_tx.commit().await?;
        Ok(())
    }
}

/// Where the journal of a partition begins again: at the first outcome that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The first offset of `outcomes`.
    pub position: u64,
    /// The command before the first outcome, and the hash of its outcome; absent where nothing
    /// was trimmed.
    pub before: Option<(u64, [u8; 32])>,
    /// Log time of the first outcome.
    pub at: Time,
}

/// Removes what the journal holds of a partition from `beginning` on; a journal sink writes it
/// again. Until it has, those transactions and entries are not found.
pub async fn journal(
    pool: &PgPool,
    partition: PartitionId,
    generation: Uuid,
    beginning: Beginning,
) -> Result<(), sqlx::Error> {
    let stored = checkpoint(pool, Sink::Journal, partition, generation).await?;
    let before = beginning.before.map(|(offset, _)| offset);
    let mut connection = pool.acquire().await?;
    let mut db_tx = connection.begin().await?;
    let (from, _) = locked(&mut db_tx, Sink::Journal, partition).await?;
    forget_references(&mut db_tx, partition, before).await?;
    for query in [
        "delete from transactions where partition = $1 and command_offset > $2",
        "delete from entries where partition = $1 and command_offset > $2",
    ] {
        sqlx::query(query)
            .bind(i32::from(partition))
            .bind(before.map_or(-1, long))
            .execute(&mut *db_tx)
            .await?;
    }
    let to = Checkpoint {
        position: beginning.position,
        command_offset: before,
        at: before.map(|_| beginning.at),
        last_hash: beginning.before.map(|(_, hash)| hash),
        ..stored
    };
    advance(&mut db_tx, Sink::Journal, &[Move { from, to }]).await?;
    db_tx.commit().await
}

/// The references of transactions whose home is the partition, of commands after `before`: both
/// stand in their id.
async fn forget_references(
    db: &mut PgConnection,
    partition: PartitionId,
    before: Option<u64>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from transaction_references r using \
                (select ledger, reference, uuid_send(transaction_id) as id \
                 from transaction_references) g \
         where r.ledger = g.ledger and r.reference = g.reference \
           and ((('x' || encode(substring(id from 1 for 6), 'hex'))::bit(48)::bigint << 12) \
                | ((get_byte(id, 6) & 15) << 8) | get_byte(id, 7)) > $2 \
           and ((get_byte(id, 8) & 63) << 10) | (get_byte(id, 9) << 2) | (get_byte(id, 10) >> 6) \
               = $1",
    )
    .bind(i32::from(partition))
    .bind(before.map_or(-1, long))
    .execute(db)
    .await?;
    Ok(())
}

async fn checkpoint(
    pool: &PgPool,
    sink: Sink,
    partition: PartitionId,
    generation: Uuid,
) -> Result<Checkpoint, sqlx::Error> {
    let found = checkpoints(pool, sink, &[partition], generation).await?;
    let found = found.into_iter().next();
    found.ok_or(sqlx::Error::RowNotFound)
}

/// Locks a position; where it stands, and the last command that is in.
async fn locked(
    db: &mut PgConnection,
    sink: Sink,
    partition: PartitionId,
) -> Result<(u64, Option<u64>), sqlx::Error> {
    let (position, offset): (i64, Option<i64>) = sqlx::query_as(
        "select position, command_offset from sink_positions \
         where sink = $1 and partition = $2 for update",
    )
    .bind(sink.name())
    .bind(i32::from(partition))
    .fetch_one(db)
    .await?;
    let offset = offset.map(u64::try_from).transpose().map_err(decode)?;
    Ok((u64::try_from(position).map_err(decode)?, offset))
}
