//! Redis and Postgres against the last state.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use steelyard::cold::audit::{BalanceRow, Pinned};
use steelyard::hot::audit::Reader;
use steelyard::hot::key::Keys;
use steelyard::ledger::{Balance, BalanceId, Hold, Partition, PartitionId, TransactionId};
use steelyard::wire::{BalanceBody, MarkerBody};
use uuid::Uuid;

use super::replay::Expected;
use crate::drive::book::Amounts;
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
            compare_cold(number, id, &balance, row)?;
            let value = hot.values(number, &[id]).await?.pop().flatten();
            if let Some(value) = value {
                compare_hot(number, id, &balance, &value)?;
            }
        }
        if let Some((id, row)) = rows.into_iter().next() {
            bail!("cold has a balance that nobody opened: {id} {row:?}");
        }
        compare_holds(partition, &mut cold).await?;
    }
    Ok(count)
}

/// Cold has every open hold, as a takeover would start from it, and no other.
async fn compare_holds(partition: &Partition, cold: &mut Pinned) -> Result<()> {
    let sinks = cold.sinks().await?;
    let marker = sinks.iter().find_map(|sink| sink.marker.as_deref());
    let marker = marker.context("cold has accepted no marker")?;
    let rows = cold.holds(&MarkerBody::parse(marker.as_bytes())?).await?;
    let mut rows: HashMap<TransactionId, Hold> = rows.into_iter().collect();
    rows.retain(|_, hold| hold.stage.is_open());
    for (id, hold) in partition.holds().iter() {
        let row = rows.remove(&id);
        ensure!(
            !hold.stage.is_open() || row.as_ref() == Some(hold),
            "cold has hold {id} of partition {} as {row:?}, it must be {hold:?}",
            partition.id()
        );
    }
    match rows.into_iter().next() {
        Some((id, row)) => bail!("cold has a hold that nobody made: {id} {row:?}"),
        None => Ok(()),
    }
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
    let is = (
        row.version,
        [row.posted, row.held, row.incoming],
        row.status,
    );
    let numbers = |amounts: &Amounts| amounts.each_ref().map(|text| number(text).to_owned());
    let same = is.0 == must.0 && numbers(&is.1) == numbers(&must.1) && is.2 == must.2;
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
fn text(body: &BalanceBody<'_>) -> Result<(i64, Amounts, String)> {
    let word =
        |money| serde_json::to_value(money).map(|it| it.as_str().unwrap_or_default().to_owned());
    Ok((
        i64::try_from(body.version)?,
        [word(body.posted)?, word(body.held)?, word(body.incoming)?],
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
