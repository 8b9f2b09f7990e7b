//! Balances by the dates their entries take effect, and the periods that are closed.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgPool;
use uuid::Uuid;

use crate::ledger::Direction;

/// What one partition's balances say of a ledger's closed period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Closed {
    /// Nothing may take effect before that any more; absent where nothing is closed.
    pub before: Option<DateTime<Utc>>,
    /// Log time of the partition's watermark.
    pub at: DateTime<Utc>,
}

/// What is closed of `ledger` (`organization/ledger`), for each partition with a watermark.
pub async fn closed(pool: &PgPool, ledger: &str) -> Result<Vec<Closed>, sqlx::Error> {
    sqlx::query_as(
        "select (marker::jsonb -> 'closed' ->> $1)::timestamptz as before, at \
         from sink_positions where sink = 'balances' and marker is not null",
    )
    .bind(ledger)
    .fetch_all(pool)
    .await
}

/// What a balance had posted by everything that took effect up to `date`: as of that moment in log
/// time, and with what was dated to the other side of it since or before.
pub async fn posted_by(
    pool: &PgPool,
    id: Uuid,
    date: DateTime<Utc>,
) -> Result<Decimal, sqlx::Error> {
    let moving = |sign: i128| -> Vec<&'static str> {
        let all = Direction::ALL.into_iter();
        let moving = all.filter(|direction| direction.posted_change(1) == sign);
        moving.map(Direction::slug).collect()
    };
    sqlx::query_scalar(
        "with moved as ( \
           select at, effective_at, case when direction = any($3) then amount \
                                         when direction = any($4) then -amount else 0 end as sum \
           from entries \
           where balance_id = $1 \
             and (effective_at <= $2 and at > $2 or effective_at > $2 and at <= $2) \
         ) \
         select coalesce((select posted from entries where balance_id = $1 and at <= $2 \
                          order by at desc, version desc limit 1), 0) \
              + coalesce((select sum(sum) from moved where effective_at <= $2), 0) \
              - coalesce((select sum(sum) from moved where effective_at > $2), 0)",
    )
    .bind(id)
    .bind(date)
    .bind(moving(1))
    .bind(moving(-1))
    .fetch_one(pool)
    .await
}
