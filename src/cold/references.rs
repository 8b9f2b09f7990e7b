//! S4: a reference stands for one transaction in its ledger.
//!
//! A partition sees to that for itself (L4). Two partitions can be given the same reference, on
//! two source balances: that is found here, recorded, and told.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::ledger::TransactionId;
use crate::wire::Time;

/// A reference that a home outcome decided.
#[derive(Clone, Debug)]
pub struct Reference {
    pub ledger: Box<str>,
    pub reference: Box<str>,
    pub transaction: Uuid,
    /// Log time.
    pub at: Time,
}

impl Reference {
    fn order(&self) -> (&str, &str, Time) {
        (&self.ledger, &self.reference, self.at)
    }
}

/// A reference that stands for two transactions.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Conflict {
    pub ledger: String,
    pub reference: String,
    pub kept: Uuid,
    pub other: Uuid,
}

/// Gives every reference to the first transaction that comes with it.
pub(super) async fn claim(
    db: &mut PgConnection,
    mut references: Vec<&Reference>,
) -> Result<Vec<Conflict>, sqlx::Error> {
    // In one order for all writers, so that none waits for another that waits for it.
    references.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    if references.is_empty() {
        return Ok(Vec::new());
    }
    let ledgers: Vec<&str> = references
        .iter()
        .map(|reference| &*reference.ledger)
        .collect();
    let names: Vec<&str> = references
        .iter()
        .map(|reference| &*reference.reference)
        .collect();
    let ids: Vec<Uuid> = references
        .iter()
        .map(|reference| reference.transaction)
        .collect();
    let times: Vec<_> = references
        .iter()
        .map(|reference| reference.at.utc())
        .collect();
    let fresh = sqlx::query(
        "insert into transaction_references (ledger, reference, transaction_id, at) \
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[]) \
         on conflict do nothing",
    )
    .bind(&ledgers)
    .bind(&names)
    .bind(&ids)
    .bind(&times)
    .execute(&mut *db)
    .await?;
    if usize::try_from(fresh.rows_affected()) == Ok(references.len()) {
        return Ok(Vec::new());
    }
    let taken: Vec<Conflict> = sqlx::query_as(
        "select g.ledger, g.reference, r.transaction_id as kept, g.transaction_id as other \
         from unnest($1::text[], $2::text[], $3::uuid[]) \
              as g (ledger, reference, transaction_id) \
         join transaction_references r using (ledger, reference) \
         where r.transaction_id <> g.transaction_id",
    )
    .bind(&ledgers)
    .bind(&names)
    .bind(&ids)
    .fetch_all(&mut *db)
    .await?;
    let (again, conflicts) = taken.into_iter().partition(same_home);
    succeed(db, again).await?;
    record(db, &conflicts).await?;
    Ok(conflicts)
}

fn same_home(taken: &Conflict) -> bool {
    let home = |id| TransactionId::from_uuid(id).map(TransactionId::home);
    home(taken.kept) == home(taken.other)
}

/// One partition decides a reference twice only beyond its dedupe horizon: the latest counts.
async fn succeed(db: &mut PgConnection, again: Vec<Conflict>) -> Result<(), sqlx::Error> {
    if again.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = again.iter().map(|taken| taken.other).collect();
    sqlx::query(
        "update transaction_references r set transaction_id = t.transaction_id, at = t.at \
         from transactions t \
         where t.transaction_id = any($1) and r.ledger = t.ledger and r.reference = t.reference \
           and t.at >= r.at",
    )
    .bind(ids)
    .execute(db)
    .await?;
    Ok(())
}

async fn record(db: &mut PgConnection, conflicts: &[Conflict]) -> Result<(), sqlx::Error> {
    if conflicts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into reference_conflicts (ledger, reference, kept, other, at) \
         select g.*, t.at from unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[]) \
                as g (ledger, reference, kept, other) \
         cross join lateral (select min(at) as at from transactions \
                             where transaction_id = g.other) t \
         on conflict do nothing",
    )
    .bind(
        conflicts
            .iter()
            .map(|c| c.ledger.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        conflicts
            .iter()
            .map(|c| c.reference.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(conflicts.iter().map(|c| c.kept).collect::<Vec<_>>())
    .bind(conflicts.iter().map(|c| c.other).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
