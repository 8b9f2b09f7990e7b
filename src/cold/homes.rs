//! How far the homes of transactions are in, and what they keep of holds: what a dry run stands on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sqlx::PgPool;
use uuid::Uuid;

use super::holds::hold_of;
use crate::ledger::{Hold, PartitionId, Setting, TransactionId};
use crate::wire::Decoder;

/// A partition as of its watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Home {
    #[sqlx(try_from = "i32")]
    pub partition: PartitionId,
    /// X: the last command whose effects are in.
    #[sqlx(try_from = "i64")]
    pub command_offset: u64,
    /// Its log time.
    pub at: DateTime<Utc>,
    /// Of the log.
    pub generation: Uuid,
    #[sqlx(try_from = "i64")]
    pub horizon_seconds: u64,
}

/// Some homes, and what they keep.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    /// Those that have a watermark.
    pub known: BTreeMap<PartitionId, Home>,
    pub holds: BTreeMap<TransactionId, Hold>,
}

impl Home {
    pub fn setting(&self) -> Setting {
        Setting {
            generation: self.generation,
            horizon_seconds: self.horizon_seconds,
        }
    }
}

/// How `partitions` stand, and what the homes of `ids` keep of them, as of one moment.
pub async fn homes(
    pool: &PgPool,
    partitions: &[PartitionId],
    ids: &[TransactionId],
) -> Result<Homes, sqlx::Error> {
    let begin = "begin isolation level repeatable read read only";
    let mut db_tx = pool.begin_with(begin).await?;
    let partitions: Vec<i32> = partitions.iter().map(|id| i32::from(*id)).collect();
    let known: Vec<Home> = sqlx::query_as(
        "select partition, command_offset, at, generation, \
                (marker::jsonb ->> 'horizon_seconds')::bigint as horizon_seconds \
         from sink_positions \
         where sink = 'balances' and marker is not null and partition = any($1)",
    )
    .bind(partitions)
    .fetch_all(&mut *db_tx)
    .await?;
    let mut rows = sqlx::query(
        "select * from holds \
         join unnest($1::uuid[], $2::int[]) as home (id, partition) using (id, partition)",
    )
    .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(
        ids.iter()
            .map(|id| i32::from(id.home()))
            .collect::<Vec<_>>(),
    )
    .fetch(&mut *db_tx);
    let (mut decoder, mut holds) = (Decoder::new(), BTreeMap::new());
    while let Some(row) = rows.try_next().await? {
        let (id, hold) = hold_of(&row, &mut decoder)?;
        holds.insert(id, hold);
    }
    let known = known.into_iter().map(|home| (home.partition, home));
    Ok(Homes {
        known: known.collect(),
        holds,
    })
}
