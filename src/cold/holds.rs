//! Holds as rows: like balances, changed only as a marker is accepted (S1).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::base::marker;
use super::read::{self, AsOf, BalanceRow};
use super::write::{decode, long};
use crate::ledger::{Hold, PartitionId, Stage, TransactionId};
use crate::wire::{Decoder, HoldBody, MarkerBody, Time};

/// Most rows of one statement.
const CHUNK: usize = 10_000;

/// A hold as one partition keeps it.
pub type Key = (TransactionId, PartitionId);

/// A hold to be written, and which ownership published it.
pub type Row<'a> = (TransactionId, PartitionId, &'a Hold, u64);

/// What of a row a newer one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    pub version: u64,
    pub open: bool,
    /// Whether a marker sums its version up.
    pub summed: bool,
}

/// What a marker says of the holds of a partition, of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub open: i128,
    pub versions: i128,
    /// The versions of all of them.
    pub changes: i128,
}

/// A hold as a client may read it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct HoldRow {
    pub id: Uuid,
    pub reference: String,
    pub state: String,
    pub expires_at: Option<DateTime<Utc>>,
    pub postings: serde_json::Value,
    /// How many reversals have set out.
    pub reversals: i64,
}

/// A hold at its home, which alone knows when it expires and what may still be posted.
pub(super) async fn at_home(
    db: &mut PgConnection,
    id: TransactionId,
) -> Result<Option<HoldRow>, sqlx::Error> {
    sqlx::query_as(
        "select id, reference, state, expires_at, postings, reversals from holds \
         where id = $1 and partition = $2",
    )
    .bind(id.uuid())
    .bind(i32::from(id.home()))
    .fetch_optional(db)
    .await
}

/// The first `limit` open holds of a balance in `partition` behind `after`, oldest first; when one
/// expires is known to its home, as far as that is in.
async fn open_of(
    db: &mut PgConnection,
    balance: Uuid,
    partition: PartitionId,
    (after, limit): (Option<Uuid>, u32),
) -> Result<Vec<HoldRow>, sqlx::Error> {
    let side = |side: &str| serde_json::json!([{ side: balance }]);
    sqlx::query_as(
        "select h.id, h.reference, h.state, coalesce(h.expires_at, o.expires_at) as expires_at, \
                h.postings, h.reversals \
         from holds h \
         left join lateral (select expires_at from holds o \
                            where o.id = h.id and o.expires_at is not null limit 1) o on true \
         where h.partition = $1 and h.state in ('pending', 'open') \
           and (h.postings @> $2 or h.postings @> $3) \
           and ($5::uuid is null or h.id > $5) \
         order by h.id limit $4",
    )
    .bind(i32::from(partition))
    .bind(side("source"))
    .bind(side("destination"))
    .bind(i64::from(limit))
    .bind(after)
    .fetch_all(db)
    .await
}

/// A balance and its first `limit` open holds behind `after`, as of one moment.
pub async fn of_balance(
    pool: &PgPool,
    balance: Uuid,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Option<(BalanceRow, AsOf, Vec<HoldRow>)>, sqlx::Error> {
    let begin = "begin isolation level repeatable read read only";
    let mut db_tx = pool.begin_with(begin).await?;
    let Some((row, as_of)) = read::balance(&mut *db_tx, balance).await? else {
        return Ok(None);
    };
    let holds = open_of(&mut db_tx, balance, row.partition, (after, limit)).await?;
    Ok(Some((row, as_of, holds)))
}

/// Sums up the rows of a partition: those that are open or reversed are read. What all of them sum
/// to the accepted marker says, as it was accepted on that; only where an older binary wrote that
/// marker are all of them read.
pub(super) async fn sums(pool: &PgPool, partition: PartitionId) -> Result<Sums, sqlx::Error> {
    let marker = marker(pool, partition).await?;
    let changes = match marker.and_then(|marker| marker.holds.changes) {
        Some(changes) => changes,
        None => changes_of(&mut *pool.acquire().await?, partition).await?,
    };
    let (open, versions): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where state in ('pending', 'open')), \
                coalesce(sum(version), 0)::bigint from holds \
         where partition = $1 and (state in ('pending', 'open') or reversals > 0)",
    )
    .bind(i32::from(partition))
    .fetch_one(pool)
    .await?;
    Ok(Sums {
        open: open.into(),
        versions: versions.into(),
        changes: changes.into(),
    })
}

/// Sums up the versions of all rows of a partition.
pub(super) async fn changes_of(
    db: &mut PgConnection,
    partition: PartitionId,
) -> Result<u64, sqlx::Error> {
    let query = "select coalesce(sum(version), 0)::bigint from holds where partition = $1";
    let sum: i64 = sqlx::query_scalar(query)
        .bind(i32::from(partition))
        .fetch_one(db)
        .await?;
    u64::try_from(sum).map_err(decode)
}

/// How the rows of `keys` stand.
pub(super) async fn stands(
    db: &mut PgConnection,
    keys: &[Key],
) -> Result<HashMap<Key, Stand>, sqlx::Error> {
    let mut stands = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(CHUNK) {
        let rows: Vec<(Uuid, i32, i64, String, bool)> = sqlx::query_as(
            "select h.id, h.partition, h.version, h.state, h.reversals > 0 from holds h \
             join unnest($1::uuid[], $2::int[]) as k (id, partition) using (id, partition)",
        )
        .bind(keys.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, p)| i32::from(*p)).collect::<Vec<_>>())
        .fetch_all(&mut *db)
        .await?;
        for (id, partition, version, state, reversed) in rows {
            let id = TransactionId::from_uuid(id);
            let id = id.ok_or_else(|| decode("a hold's id of another form"))?;
            let partition = PartitionId::try_from(partition).map_err(decode)?;
            let open = Stage::from_slug(&state).is_some_and(Stage::is_open);
            let stand = Stand {
                version: u64::try_from(version).map_err(decode)?,
                open,
                summed: open || reversed,
            };
            stands.insert((id, partition), stand);
        }
    }
    Ok(stands)
}

/// A newer version wins, an older one changes nothing.
pub(super) async fn upsert(db: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(CHUNK) {
        insert(&mut *db, rows).await?;
    }
    Ok(())
}

/// Replaces the holds of a partition: all of them, or those that `rows` name and the open ones.
pub(super) async fn replace(
    db: &mut PgConnection,
    partition: PartitionId,
    rows: &[Row<'_>],
    whole: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from holds where partition = $1 \
         and ($2 or state in ('pending', 'open') or id = any($3))",
    )
    .bind(i32::from(partition))
    .bind(whole)
    .bind(rows.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>())
    .execute(&mut *db)
    .await?;
    upsert(db, rows).await
}

async fn insert(db: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    let each = || rows.iter().map(|(_, _, hold, _)| *hold);
    let time = |ms: i64| Time(ms).utc();
    sqlx::query(
        "insert into holds (id, partition, ledger, reference, state, expires_at, postings, \
                            version, command_offset, at, epoch, reversals) \
         select * from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], \
                $6::timestamptz[], $7::jsonb[], $8::bigint[], $9::bigint[], $10::timestamptz[], \
                $11::bigint[], $12::bigint[]) \
         on conflict (id, partition) do update set state = excluded.state, \
                postings = excluded.postings, version = excluded.version, \
                command_offset = excluded.command_offset, at = excluded.at, \
                epoch = excluded.epoch, reversals = excluded.reversals \
         where excluded.version > holds.version",
    )
    .bind(rows.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|(_, partition, ..)| i32::from(*partition))
            .collect::<Vec<_>>(),
    )
    .bind(each().map(|hold| &*hold.ledger).collect::<Vec<&str>>())
    .bind(each().map(|hold| &*hold.reference).collect::<Vec<&str>>())
    .bind(each().map(|hold| hold.stage.slug()).collect::<Vec<_>>())
    .bind(
        each()
            .map(|hold| hold.expires_at_ms.map(time))
            .collect::<Vec<_>>(),
    )
    .bind(
        rows.iter()
            .map(|(id, _, hold, _)| postings(*id, hold))
            .collect::<Result<Vec<_>, _>>()?,
    )
    .bind(each().map(|hold| long(hold.version)).collect::<Vec<_>>())
    .bind(each().map(|hold| long(hold.offset)).collect::<Vec<_>>())
    .bind(each().map(|hold| time(hold.at_ms)).collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|(.., epoch)| long(*epoch))
            .collect::<Vec<_>>(),
    )
    .bind(each().map(|hold| long(hold.reversals)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

fn postings(id: TransactionId, hold: &Hold) -> Result<serde_json::Value, sqlx::Error> {
    serde_json::to_value(HoldBody::of(id, hold).postings).map_err(decode)
}

/// The holds that a takeover has to know: the open ones, and those that ended within the dedupe
/// horizon.
pub(super) async fn base(
    db: &mut PgConnection,
    marker: &MarkerBody,
) -> Result<Vec<(TransactionId, Hold)>, sqlx::Error> {
    let mut rows = sqlx::query(
        "select * from holds where partition = $1 and (state in ('pending', 'open') or at >= $2)",
    )
    .bind(i32::from(marker.partition))
    .bind(marker.horizon())
    .fetch(db);
    let mut decoder = Decoder::new();
    let mut holds = Vec::new();
    while let Some(row) = rows.try_next().await? {
        holds.push(hold_of(&row, &mut decoder)?);
    }
    Ok(holds)
}

/// A whole row as a hold.
pub(super) fn hold_of(
    row: &PgRow,
    decoder: &mut Decoder,
) -> Result<(TransactionId, Hold), sqlx::Error> {
    let number = |column: &str| u64::try_from(row.get::<i64, _>(column)).map_err(decode);
    let ms = |at: DateTime<Utc>| Time(at.timestamp_millis());
    let postings = row.get::<serde_json::Value, _>("postings").to_string();
    let body = HoldBody {
        id: row.get("id"),
        ledger: row.get::<&str, _>("ledger").into(),
        reference: row.get::<&str, _>("reference").into(),
        state: row.get::<&str, _>("state").into(),
        expires_at: row.get::<Option<DateTime<Utc>>, _>("expires_at").map(ms),
        reversals: number("reversals")?,
        version: number("version")?,
        postings: serde_json::from_str(&postings).map_err(decode)?,
        command_offset: number("command_offset")?,
        at: ms(row.get("at")),
        partition: None,
        epoch: None,
    };
    body.to_ledger(decoder).map_err(decode)
}
