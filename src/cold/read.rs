//! Queries for the API. Every answer says as of when it is.

use chrono::{DateTime, TimeZone, Utc};
use rust_decimal::Decimal;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::ledger::{Asset, PartitionId};

/// How far a projection of a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AsOf {
    #[sqlx(try_from = "i32", rename = "as_of_partition")]
    pub partition: PartitionId,
    /// The last command whose effects are in.
    #[sqlx(try_from = "i64", rename = "as_of_offset")]
    pub command_offset: u64,
    /// Its log time.
    #[sqlx(rename = "as_of_at")]
    pub at: DateTime<Utc>,
}

/// A balance as of its partition's watermark.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct BalanceRow {
    pub id: Uuid,
    /// `organization/ledger`.
    pub ledger: String,
    pub account: String,
    pub key: String,
    pub asset: String,
    pub posted: Decimal,
    pub held: Decimal,
    pub incoming: Decimal,
    /// Absent is unlimited.
    pub floor: Option<Decimal>,
    pub ceiling: Option<Decimal>,
    pub status: String,
    #[sqlx(try_from = "i64")]
    pub version: u64,
    #[sqlx(try_from = "i32")]
    pub partition: PartitionId,
    /// The last command that changed it.
    #[sqlx(try_from = "i64")]
    pub command_offset: u64,
    #[sqlx(try_from = "i64")]
    pub epoch: u64,
}

/// One change of a balance, and the balance after it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct EntryRow {
    pub balance_id: Uuid,
    #[sqlx(try_from = "i64")]
    pub version: u64,
    pub transaction_id: Uuid,
    #[sqlx(try_from = "i32")]
    pub partition: PartitionId,
    #[sqlx(try_from = "i64")]
    pub command_offset: u64,
    pub at: DateTime<Utc>,
    pub effective_at: Option<DateTime<Utc>>,
    pub direction: String,
    pub amount: Decimal,
    pub asset: String,
    pub posted: Decimal,
    pub held: Decimal,
    pub incoming: Decimal,
}

/// Where a page of balances of one account goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceCursor {
    pub asset: String,
    pub key: String,
}

/// Where a page of entries goes on: the last entry of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryCursor {
    pub at: DateTime<Utc>,
    pub version: u64,
    pub balance: Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// Which entries of a balance.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub order: Order,
    pub after: Option<EntryCursor>,
    pub limit: u32,
}

impl BalanceRow {
    fn scaled(mut self) -> Self {
        let limits = self.floor.iter_mut().chain(&mut self.ceiling);
        let sums = [&mut self.posted, &mut self.held, &mut self.incoming];
        scale(&self.asset, sums.into_iter().chain(limits));
        self
    }
}

impl EntryRow {
    pub(super) fn scaled(mut self) -> Self {
        let sums = [&mut self.posted, &mut self.held, &mut self.incoming];
        scale(&self.asset, sums.into_iter().chain([&mut self.amount]));
        self
    }
}

/// Postgres's zero has no decimals; amounts are read as they were written, with their asset's.
fn scale<'a>(asset: &str, amounts: impl Iterator<Item = &'a mut Decimal>) {
    if let Ok(asset) = Asset::parse(asset) {
        amounts.for_each(|amount| amount.rescale(asset.scale().into()));
    }
}

#[derive(sqlx::FromRow)]
struct Stamped {
    #[sqlx(flatten)]
    row: BalanceRow,
    #[sqlx(flatten)]
    as_of: AsOf,
}

/// A balance, and the watermark of its partition.
pub async fn balance(
    db: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<(BalanceRow, AsOf)>, sqlx::Error> {
    let found: Option<Stamped> = sqlx::query_as(
        "select b.*, p.partition as as_of_partition, p.command_offset as as_of_offset, \
                p.at as as_of_at \
         from balances b \
         join sink_positions p on p.sink = 'balances' and p.partition = b.partition \
         where b.id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    Ok(found.map(|found| (found.row.scaled(), found.as_of)))
}

/// Those of `ids` that are there.
pub async fn balances_by_id(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<BalanceRow>, sqlx::Error> {
    let query = "select * from balances where id = any($1) order by partition";
    let found: Vec<BalanceRow> = sqlx::query_as(query).bind(ids).fetch_all(pool).await?;
    Ok(found.into_iter().map(BalanceRow::scaled).collect())
}

/// The balances of an account in a ledger (`organization/ledger`), by asset and key.
pub async fn balances(
    pool: &PgPool,
    (ledger, account): (&str, &str),
    after: Option<&BalanceCursor>,
    limit: u32,
) -> Result<Vec<(BalanceRow, AsOf)>, sqlx::Error> {
    let (asset, key) = after.map_or(("", ""), |after| (&after.asset, &after.key));
    let found: Vec<Stamped> = sqlx::query_as(
        "select b.*, p.partition as as_of_partition, p.command_offset as as_of_offset, \
                p.at as as_of_at \
         from balances b \
         join sink_positions p on p.sink = 'balances' and p.partition = b.partition \
         where b.ledger = $1 and b.account = $2 and (b.asset, b.key) > ($3, $4) \
         order by b.asset, b.key limit $5",
    )
    .bind(ledger)
    .bind(account)
    .bind(asset)
    .bind(key)
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    Ok(found
        .into_iter()
        .map(|found| (found.row.scaled(), found.as_of))
        .collect())
}

/// The state of a balance at log time `at`: its last entry then.
pub async fn balance_at(
    pool: &PgPool,
    id: Uuid,
    at: DateTime<Utc>,
) -> Result<Option<EntryRow>, sqlx::Error> {
    let found: Option<EntryRow> = sqlx::query_as(
        "select * from entries where balance_id = $1 and at <= $2 \
         order by at desc, version desc limit 1",
    )
    .bind(id)
    .bind(at)
    .fetch_optional(pool)
    .await?;
    Ok(found.map(EntryRow::scaled))
}

/// A page of the entries of some balances, by log time; those of one balance by version.
pub async fn entries(
    pool: &PgPool,
    ids: &[Uuid],
    page: Page,
) -> Result<Vec<EntryRow>, sqlx::Error> {
    // Each balance gives a page of its own, by its index; the repeated bound on `at` alone is what
    // lets months be left out.
    let query = match page.order {
        Order::NewestFirst => {
            "select e.* from unnest($1::uuid[]) as part (id) cross join lateral ( \
               select * from entries where balance_id = part.id and at <= $2 \
                 and (at, version, balance_id) < ($2, $3, $4) \
               order by at desc, version desc limit $5) e \
             order by at desc, version desc, balance_id desc limit $5"
        }
        Order::OldestFirst => {
            "select e.* from unnest($1::uuid[]) as part (id) cross join lateral ( \
               select * from entries where balance_id = part.id and at >= $2 \
                 and (at, version, balance_id) > ($2, $3, $4) \
               order by at, version limit $5) e \
             order by at, version, balance_id limit $5"
        }
    };
    let after = page.after.unwrap_or_else(|| outermost(page.order));
    let found: Vec<EntryRow> = sqlx::query_as(query)
        .bind(ids)
        .bind(after.at)
        .bind(i64::try_from(after.version).unwrap_or(i64::MAX))
        .bind(after.balance)
        .bind(i64::from(page.limit))
        .fetch_all(pool)
        .await?;
    Ok(found.into_iter().map(EntryRow::scaled).collect())
}

/// Beyond the first entry in this order.
fn outermost(order: Order) -> EntryCursor {
    let year = match order {
        Order::NewestFirst => 9999,
        Order::OldestFirst => 1,
    };
    let at = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single();
    EntryCursor {
        at: at.unwrap_or_default(),
        version: 0,
        balance: Uuid::nil(),
    }
}

/// How far the balances of a partition are; absent before the first accepted marker.
pub async fn watermark(pool: &PgPool, partition: PartitionId) -> Result<Option<AsOf>, sqlx::Error> {
    as_of(pool, "balances", partition).await
}

/// How far the entries and transactions of a partition are; absent before the first one.
pub async fn journaled(pool: &PgPool, partition: PartitionId) -> Result<Option<AsOf>, sqlx::Error> {
    as_of(pool, "journal", partition).await
}

/// The accepted marker of every partition that has one, in order.
pub async fn markers(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select marker from sink_positions where sink = 'balances' and marker is not null \
         order by partition",
    )
    .fetch_all(pool)
    .await
}

async fn as_of(
    pool: &PgPool,
    sink: &str,
    partition: PartitionId,
) -> Result<Option<AsOf>, sqlx::Error> {
    sqlx::query_as(
        "select partition as as_of_partition, command_offset as as_of_offset, at as as_of_at \
         from sink_positions where sink = $1 and partition = $2 and command_offset is not null",
    )
    .bind(sink)
    .bind(i32::from(partition))
    .fetch_optional(pool)
    .await
}
