//! Fills cold with balances and references that nobody has opened, and makes the markers match.
//!
//! Every balance is empty and has one version, so the sums of posted stay zero; references hang on
//! transactions just below the watermark. Nobody may run meanwhile who would write over it.

use std::ops::Range;

use anyhow::Result;
use sqlx::PgPool;
use steelyard::wire::MarkerBody;

use crate::world::World;

/// Rows of one statement.
const ROWS: u64 = 500_000;

/// Adds balances and references, by number, to every partition of a world at rest.
pub(super) async fn fill(
    world: &World,
    balances: Range<u64>,
    references: Range<u64>,
) -> Result<()> {
    let pool = world.cold().connect()?;
    for partition in 0..world.partitions {
        let number = i32::from(partition);
        for from in balances.clone().step_by(usize::try_from(ROWS)?) {
            add_balances(&pool, number, (from, balances.end.min(from + ROWS))).await?;
        }
        for from in references.clone().step_by(usize::try_from(ROWS)?) {
            add_references(&pool, number, (from, references.end.min(from + ROWS))).await?;
        }
        correct(&pool, number, balances.end - balances.start).await?;
    }
    sqlx::query("analyze").execute(&pool).await?;
    Ok(())
}

async fn add_balances(pool: &PgPool, partition: i32, rows: (u64, u64)) -> Result<()> {
    sqlx::query(
        "insert into balances \
         select gen_random_uuid(), 'default/chaos', 'stuffed-' || $1 || '-' || n, 'default', \
                'USD/2', 0, 0, 0, 0, null, 'open', 1, $1, 1, 0 \
         from generate_series($2::bigint, $3::bigint - 1) n",
    )
    .bind(partition)
    .bind(i64::try_from(rows.0)?)
    .bind(i64::try_from(rows.1)?)
    .execute(pool)
    .await?;
    Ok(())
}

async fn add_references(pool: &PgPool, partition: i32, rows: (u64, u64)) -> Result<()> {
    sqlx::query(
        "insert into transactions (transaction_id, partition, command_offset, at, ledger, \
                reference, type, status, fingerprint) \
         select t.transaction_id, $1, t.command_offset, t.at - n * interval '1 microsecond', \
                t.ledger, 'stuffed-' || $1 || '-' || n, t.type, 'applied', t.fingerprint \
         from (select * from transactions where partition = $1 and status = 'applied' \
               order by command_offset limit 1) t, \
              generate_series($2::bigint + 1, $3::bigint) n",
    )
    .bind(partition)
    .bind(i64::try_from(rows.0)?)
    .bind(i64::try_from(rows.1)?)
    .execute(pool)
    .await?;
    Ok(())
}

/// The marker of a partition counts the versions that were added.
async fn correct(pool: &PgPool, partition: i32, balances: u64) -> Result<()> {
    let text: String = sqlx::query_scalar(
        "select marker from sink_positions where sink = 'balances' and partition = $1",
    )
    .bind(partition)
    .fetch_one(pool)
    .await?;
    let mut marker = MarkerBody::parse(text.as_bytes())?;
    marker.version_sum += balances;
    sqlx::query("update sink_positions set marker = $2 where sink = 'balances' and partition = $1")
        .bind(partition)
        .bind(serde_json::to_string(&marker)?)
        .execute(pool)
        .await?;
    Ok(())
}
