//! Writing the journal: `transactions`, `entries` and `transaction_references`.

use sqlx::{Connection, PgPool};

use super::copy::copy;
pub use super::part::{Month, Part};
use super::references::claim;
pub use super::references::{Conflict, Reference};
use super::write::{Move, Sink, Written, advance, bounded, fence};

/// Makes the tables' partitions for these months.
pub async fn ensure_months(pool: &PgPool, months: &[Month]) -> Result<(), sqlx::Error> {
    bounded(pool, async |connection| {
        for month in months {
            sqlx::query("select ensure_month($1::timestamptz)")
                .bind(month.first_day())
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    })
    .await
}

/// Writes the parts with their positions, and tells which references stand for two transactions.
pub async fn write(
    pool: &PgPool,
    moves: &[Move],
    parts: &[&Part],
) -> Result<Written<Vec<Conflict>>, sqlx::Error> {
    bounded(pool, async |connection| {
        let mut db_tx = connection.begin().await?;
        if !fence(&mut db_tx, Sink::Journal, moves).await? {
            return Ok(Written::Moved);
        }
        copy(
            &mut db_tx,
            TRANSACTIONS,
            parts.iter().map(|part| &part.transactions),
        )
        .await?;
        copy(&mut db_tx, ENTRIES, parts.iter().map(|part| &part.entries)).await?;
        let references = parts.iter().flat_map(|part| &part.references);
        let conflicts = claim(&mut db_tx, references.collect()).await?;
        advance(&mut db_tx, Sink::Journal, moves).await?;
        db_tx.commit().await?;
        Ok(Written::Done(conflicts))
    })
    .await
}

const TRANSACTIONS: &str = "copy transactions (transaction_id, partition, command_offset, at, \
    ledger, reference, type, status, reason, fingerprint, effective_at, description, metadata, \
    refused_balance, refused_version, reverses) from stdin (format binary)";

const ENTRIES: &str = "copy entries (balance_id, version, transaction_id, partition, \
    command_offset, at, effective_at, direction, amount, asset, posted, held, incoming) \
    from stdin (format binary)";
