//! What an audit reads of cold: one partition in one consistent read. Writes nothing.
//!
//! Amounts and versions come as they stand: what does not fit is for the audit to tell.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::holds;
use super::write::decode;
use crate::ledger::{Hold, PartitionId, TransactionId};
use crate::wire::MarkerBody;

/// A consistent read of one partition.
#[derive(Debug)]
pub struct Pinned {
    db_tx: Transaction<'static, Postgres>,
    partition: PartitionId,
}

/// How far a sink is.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SinkRow {
    pub sink: String,
    pub position: i64,
    pub command_offset: Option<i64>,
    pub marker: Option<String>,
    pub last_hash: Option<Vec<u8>>,
    pub generation: Uuid,
}

/// A balance; amounts as text.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct BalanceRow {
    pub id: Uuid,
    pub ledger: String,
    pub account: String,
    pub key: String,
    pub asset: String,
    pub posted: String,
    pub held: String,
    pub incoming: String,
    pub floor: Option<String>,
    pub ceiling: Option<String>,
    pub status: String,
    pub version: i64,
    pub command_offset: i64,
    pub epoch: i64,
}

/// The entries of a balance, in sum, and the last of them.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct EntriesRow {
    pub balance_id: Uuid,
    pub entries: i64,
    /// Different versions, the lowest and the highest of them.
    pub versions: i64,
    pub first: i64,
    pub last: i64,
    /// What all entries together did to posted, held and incoming.
    pub posted_sum: String,
    pub held_sum: String,
    pub incoming_sum: String,
    /// Of the last entry; absent if the latest in time is not the highest in version.
    pub command_offset: Option<i64>,
    pub asset: Option<String>,
    pub posted: Option<String>,
    pub held: Option<String>,
    pub incoming: Option<String>,
}

/// How many transactions have one status and reason.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StatusRow {
    pub status: String,
    pub reason: Option<String>,
    pub transactions: i64,
}

/// A reference with two transactions, as the journal sink recorded it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ConflictRow {
    pub ledger: String,
    pub reference: String,
    pub kept: Uuid,
    pub other: Uuid,
}

impl Pinned {
    /// Opens a read of `partition` as it is now.
    pub async fn open(pool: &PgPool, partition: PartitionId) -> Result<Self, sqlx::Error> {
        let begin = "begin isolation level repeatable read read only";
        let mut db_tx = pool.begin_with(begin).await?;
        // The first statement takes the snapshot.
        sqlx::query("select 1").execute(&mut *db_tx).await?;
        Ok(Self { db_tx, partition })
    }

    /// The sinks' positions.
    pub async fn sinks(&mut self) -> Result<Vec<SinkRow>, sqlx::Error> {
        sqlx::query_as(
            "select sink, position, command_offset, marker, last_hash, generation \
             from sink_positions where partition = $1",
        )
        .bind(i32::from(self.partition))
        .fetch_all(&mut *self.db_tx)
        .await
    }

    /// All balances, one after the other.
    pub async fn balances(&mut self, mut each: impl FnMut(BalanceRow)) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query_as(
            "select id, ledger, account, key, asset, posted::text, held::text, incoming::text, \
                    floor::text, ceiling::text, status, version, command_offset, epoch \
             from balances where partition = $1",
        )
        .bind(i32::from(self.partition))
        .fetch(&mut *self.db_tx);
        while let Some(row) = rows.try_next().await? {
            each(row);
        }
        Ok(())
    }

    /// The holds that a takeover from `marker` would start from.
    pub async fn holds(
        &mut self,
        marker: &MarkerBody,
    ) -> Result<Vec<(TransactionId, Hold)>, sqlx::Error> {
        holds::base(&mut self.db_tx, marker).await
    }

    /// The entries of every balance, in sum, up to command `upto`.
    pub async fn entries(
        &mut self,
        upto: u64,
        mut each: impl FnMut(EntriesRow),
    ) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query_as(
            "select c.balance_id, c.entries, c.versions, c.first, c.last, \
                    c.posted_sum::text, c.held_sum::text, c.incoming_sum::text, \
                    e.command_offset, e.asset, e.posted::text, e.held::text, e.incoming::text \
             from (select balance_id, count(*) as entries, count(distinct version) as versions, \
                          min(version) as first, max(version) as last, max(at) as at, \
                          sum(case when direction in ('debit', 'post', 'force') then -amount \
                                   when direction in ('credit', 'settle') then amount \
                                   else 0 end) as posted_sum, \
                          sum(case when direction = 'hold' then amount \
                                   when direction in ('post', 'void') then -amount \
                                   else 0 end) as held_sum, \
                          sum(case direction when 'reserve' then amount when 'settle' then -amount \
                                             when 'release' then -amount else 0 end) \
                              as incoming_sum \
                   from entries where partition = $1 and command_offset <= $2 \
                   group by balance_id) c \
             left join entries e \
                  on e.balance_id = c.balance_id and e.at = c.at and e.version = c.last",
        )
        .bind(i32::from(self.partition))
        .bind(i64::try_from(upto).unwrap_or(i64::MAX))
        .fetch(&mut *self.db_tx);
        while let Some(row) = rows.try_next().await? {
            each(row);
        }
        Ok(())
    }

    /// Transactions of commands after `base` up to `upto`, by status and reason.
    pub async fn transactions(
        &mut self,
        base: Option<u64>,
        upto: u64,
    ) -> Result<Vec<StatusRow>, sqlx::Error> {
        sqlx::query_as(
            "select status, reason, count(*) as transactions from transactions \
             where partition = $1 and command_offset > $2 and command_offset <= $3 \
             group by status, reason",
        )
        .bind(i32::from(self.partition))
        .bind(before(base))
        .bind(i64::try_from(upto).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.db_tx)
        .await
    }

    /// Rows of commands after `upto`, where the journal stands: there must be none.
    pub async fn rows_after(&mut self, upto: Option<u64>) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(
            "select (select count(*) from transactions \
                     where partition = $1 and command_offset > $2) \
                  + (select count(*) from entries where partition = $1 and command_offset > $2)",
        )
        .bind(i32::from(self.partition))
        .bind(before(upto))
        .fetch_one(&mut *self.db_tx)
        .await
    }
}

/// A reference, and the transaction that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ReferenceRow {
    pub ledger: String,
    pub reference: String,
    pub transaction_id: Uuid,
}

/// A consistent read of all references.
#[derive(Debug)]
pub struct References(Transaction<'static, Postgres>);

impl References {
    /// Opens a read of references as they are now; by partition, the last command in the journal.
    pub async fn open(pool: &PgPool) -> Result<(Self, BTreeMap<PartitionId, u64>), sqlx::Error> {
        let begin = "begin isolation level repeatable read read only";
        let mut db_tx = pool.begin_with(begin).await?;
        let journaled: Vec<(i32, i64)> = sqlx::query_as(
            "select partition, command_offset from sink_positions \
             where sink = 'journal' and command_offset is not null",
        )
        .fetch_all(&mut *db_tx)
        .await?;
        let mut stands = BTreeMap::new();
        for (partition, offset) in journaled {
            let partition = PartitionId::try_from(partition).map_err(decode)?;
            stands.insert(partition, u64::try_from(offset).map_err(decode)?);
        }
        Ok((Self(db_tx), stands))
    }

    /// All of them, one after the other.
    pub async fn rows(&mut self, mut each: impl FnMut(ReferenceRow)) -> Result<(), sqlx::Error> {
        let query = "select ledger, reference, transaction_id from transaction_references";
        let mut rows = sqlx::query_as(query).fetch(&mut *self.0);
        while let Some(row) = rows.try_next().await? {
            each(row);
        }
        Ok(())
    }
}

/// The bound that all offsets after `offset` are above.
fn before(offset: Option<u64>) -> i64 {
    offset.map_or(-1, |offset| i64::try_from(offset).unwrap_or(i64::MAX))
}

/// The versions that cold has now of `ids`.
pub async fn versions(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    sqlx::query_as("select id, version from balances where id = any($1)")
        .bind(ids)
        .fetch_all(pool)
        .await
}

/// How many references have two transactions, and the first of them.
pub async fn conflicts(pool: &PgPool) -> Result<(i64, Option<ConflictRow>), sqlx::Error> {
    let count = sqlx::query_scalar("select count(*) from reference_conflicts");
    let count: i64 = count.fetch_one(pool).await?;
    let first = sqlx::query_as(
        "select ledger, reference, kept, other from reference_conflicts \
         order by at, ledger, reference limit 1",
    );
    Ok((count, first.fetch_optional(pool).await?))
}
