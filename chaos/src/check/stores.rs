//! Redis and Postgres against the last state.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use steelyard::cold::audit::{BalanceRow, Pinned};
use steelyard::hot::audit::Reader;
use steelyard::hot::key::Keys;
use steelyard::ledger::{Balance, BalanceId, PartitionId};
use steelyard::wire::BalanceBody;
use uuid::Uuid;

use super::replay::Expected;
use crate::world::World;

/// How many balances there are.
///
/// # Errors
/// The first balance that differs, with its entries.
pub async fn check(world: &World, expected: &Expected) -> Result<usize> {
    let pool = world.cold().connect()?;
    let mut hot = Reader::new(world.hot().connect()?, Keys::new(&world.name));
    let mut count = 0;
    for partition in &expected.partitions {
        let number = partition.id();
        let mut rows: HashMap<Uuid, BalanceRow> = HashMap::new();
        let mut cold = Pinned::open(&pool, number).await?;
        cold.balances(|row| drop(rows.insert(row.id, row))).await?;
        for (id, balance) in partition.balances() {
            count += 1;
            let row = rows.remove(&id.uuid());
            compare_cold(number, id, balance, row)?;
            let value = hot.values(number, &[id]).await?.pop().flatten();
            if let Some(value) = value {
                compare_hot(number, id, balance, &value)?;
            }
        }
        if let Some((id, row)) = rows.into_iter().next() {
            bail!("cold has a balance that nobody opened: {id} {row:?}");
        }
    }
    Ok(count)
}

fn compare_cold(
    partition: PartitionId,
    id: BalanceId,
    balance: &Balance,
    row: Option<BalanceRow>,
) -> Result<()> {
    let must = text(&BalanceBody::of(id, balance, partition, 0))?;
    let Some(row) = row else {
        bail!("{id} of partition {partition} is not in cold; it must be {must:?}");
    };
    let is = (row.version, row.posted, row.incoming, row.status);
    let same = is.0 == must.0 && number(&is.1) == number(&must.1) && is.3 == must.3;
    ensure!(
        same,
        "cold has {id} of partition {partition} as {is:?}, it must be {must:?}"
    );
    Ok(())
}

fn compare_hot(
    partition: PartitionId,
    id: BalanceId,
    balance: &Balance,
    value: &[u8],
) -> Result<()> {
    let must = text(&BalanceBody::of(id, balance, partition, 0))?;
    let at = value.iter().position(|byte| *byte == b' ').unwrap_or(0);
    let is = text(&BalanceBody::parse(
        value.get(at + 1..).unwrap_or_default(),
    )?)?;
    ensure!(
        is == must,
        "hot has {id} of partition {partition} as {is:?}, it must be {must:?}"
    );
    Ok(())
}

/// What both stores say of a balance in words.
fn text(body: &BalanceBody<'_>) -> Result<(i64, String, String, String)> {
    let word =
        |money| serde_json::to_value(money).map(|it| it.as_str().unwrap_or_default().to_owned());
    Ok((
        i64::try_from(body.version)?,
        word(body.posted)?,
        word(body.incoming)?,
        body.status.to_string(),
    ))
}

/// A number without the zeros that a column may add.
fn number(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_column_may_add_zeros() {
        assert_eq!(number("12.50"), number("12.500000"));
        assert_eq!(number("100"), "100");
        assert_ne!(number("10.0"), number("100"));
    }
}
