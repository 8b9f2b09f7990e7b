//! Balances as rows: an exact cut of a partition, changed only as a marker is accepted (S1).

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::holds;
use super::write::{Move, Sink, Written, advance, bounded, decode, fence, long};
use crate::ledger::amount::{decimal_of, minor_of};
use crate::ledger::{Asset, Balance, BalanceId, PartitionId};

/// Most rows of one statement.
const CHUNK: usize = 10_000;

/// What a marker is compared with, of the rows of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub versions: i128,
    /// The highest command offset among the balances.
    pub highest: Option<u64>,
    /// By asset, in minor units.
    pub posted: BTreeMap<Asset, i128>,
    pub holds: holds::Sums,
}

/// What of a row a newer one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    pub version: u64,
    pub posted: i128,
}

/// A balance to be written, and which ownership published it.
pub type Row<'a> = (BalanceId, PartitionId, &'a Balance, u64);

/// Sums up the rows of a partition.
pub async fn sums(pool: &PgPool, partition: PartitionId) -> Result<Sums, sqlx::Error> {
    let rows: Vec<(String, Decimal, i64, i64)> = sqlx::query_as(
        "select asset, sum(posted), sum(version)::bigint, max(command_offset) \
         from balances where partition = $1 group by asset",
    )
    .bind(i32::from(partition))
    .fetch_all(pool)
    .await?;
    let mut sums = Sums {
        holds: holds::sums(pool, partition).await?,
        ..Sums::default()
    };
    for (asset, posted, versions, highest) in rows {
        let asset = Asset::parse(&asset).map_err(decode)?;
        let posted = minor_of(posted, asset.scale()).map_err(decode)?;
        sums.versions += i128::from(versions);
        sums.highest = sums
            .highest
            .max(Some(u64::try_from(highest).map_err(decode)?));
        sums.posted.insert(asset, posted);
    }
    Ok(sums)
}

/// What is to be written: rows, and the positions that move with them.
#[derive(Debug)]
pub struct Verdict<'a> {
    pub rows: Vec<Row<'a>>,
    pub holds: Vec<holds::Row<'a>>,
    pub moves: Vec<Move>,
}

/// How rows stand before a write.
#[derive(Debug, Default)]
pub struct Stands {
    pub balances: HashMap<BalanceId, Stand>,
    pub holds: HashMap<holds::Key, holds::Stand>,
}

/// Reads how the rows of `ids` and `keys` stand, lets `judge` decide what is written, and writes
/// that, all in one transaction that holds the positions of `moves`.
pub async fn write<'a>(
    pool: &PgPool,
    moves: &[Move],
    (ids, keys): (&[Uuid], &[holds::Key]),
    judge: impl FnOnce(&Stands) -> Verdict<'a>,
) -> Result<Written<()>, sqlx::Error> {
    bounded(pool, async |connection| {
        let mut db_tx = connection.begin().await?;
        if !fence(&mut db_tx, Sink::Balances, moves).await? {
            return Ok(Written::Moved);
        }
        let stands = Stands {
            balances: stands(&mut db_tx, ids).await?,
            holds: holds::stands(&mut db_tx, keys).await?,
        };
        let verdict = judge(&stands);
        upsert(&mut db_tx, &verdict.rows).await?;
        holds::upsert(&mut db_tx, &verdict.holds).await?;
        if !verdict.moves.is_empty() {
            advance(&mut db_tx, Sink::Balances, &verdict.moves).await?;
        }
        db_tx.commit().await?;
        Ok(Written::Done(()))
    })
    .await
}

async fn stands(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<BalanceId, Stand>, sqlx::Error> {
    let mut stands = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(CHUNK) {
        let rows: Vec<(Uuid, i64, Decimal, String)> =
            sqlx::query_as("select id, version, posted, asset from balances where id = any($1)")
                .bind(ids)
                .fetch_all(&mut *db)
                .await?;
        for (id, version, posted, asset) in rows {
            let scale = Asset::parse(&asset).map_err(decode)?.scale();
            let stand = Stand {
                version: u64::try_from(version).map_err(decode)?,
                posted: minor_of(posted, scale).map_err(decode)?,
            };
            stands.insert(BalanceId::new(id), stand);
        }
    }
    Ok(stands)
}

/// A newer version wins, an older one changes nothing.
pub(super) async fn upsert(db: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(CHUNK) {
        upsert_some(db, rows).await?;
    }
    Ok(())
}

async fn upsert_some(db: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    let money = |balance: &Balance, minor| decimal_of(minor, balance.asset.scale());
    let limit = |balance: &Balance, minor: Option<i128>| minor.map(|minor| money(balance, minor));
    let each = || rows.iter().map(|(_, _, balance, _)| *balance);
    sqlx::query(
        "insert into balances (id, ledger, account, key, asset, posted, held, incoming, floor, \
                               ceiling, status, version, partition, command_offset, epoch) \
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], \
                $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], \
                $11::text[], $12::bigint[], $13::int[], $14::bigint[], $15::bigint[]) \
         on conflict (id) do update set posted = excluded.posted, held = excluded.held, \
                incoming = excluded.incoming, floor = excluded.floor, \
                ceiling = excluded.ceiling, status = excluded.status, \
                version = excluded.version, command_offset = excluded.command_offset, \
                epoch = excluded.epoch \
         where excluded.version > balances.version",
    )
    .bind(rows.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>())
    .bind(each().map(|b| &*b.ledger).collect::<Vec<&str>>())
    .bind(each().map(Balance::account).collect::<Vec<_>>())
    .bind(each().map(Balance::key).collect::<Vec<_>>())
    .bind(each().map(|b| b.asset.to_string()).collect::<Vec<_>>())
    .bind(each().map(|b| money(b, b.state.posted)).collect::<Vec<_>>())
    .bind(each().map(|b| money(b, b.state.held)).collect::<Vec<_>>())
    .bind(
        each()
            .map(|b| money(b, b.state.incoming))
            .collect::<Vec<_>>(),
    )
    .bind(each().map(|b| limit(b, b.floor)).collect::<Vec<_>>())
    .bind(each().map(|b| limit(b, b.ceiling)).collect::<Vec<_>>())
    .bind(each().map(|b| b.status.slug()).collect::<Vec<_>>())
    .bind(each().map(|b| long(b.state.version)).collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|(_, partition, ..)| i32::from(*partition))
            .collect::<Vec<_>>(),
    )
    .bind(each().map(|b| long(b.offset)).collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|(.., epoch)| long(*epoch))
            .collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}
