//! Looks at hot while its owner may be at work, and compares it with the outcomes.

use std::collections::HashSet;
use std::time::Duration;

use super::cursor::Cursor;
use super::hot::Values;
use super::report::{Check, Finding};
use super::turn::{Place, Sources};
use crate::cold::audit::versions;
use crate::cold::read::watermark;
use crate::hot::audit::{READ_MAX, Standing};
use crate::ledger::{BalanceId, Partition, PartitionId};

/// How often hot is looked at again when it is being installed, and how long between.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// How often the fold runs after a position that moves on.
const CHASES: usize = 3;

/// Hot's values. `limit` is the next command where another store must be compared.
pub(super) async fn hot(
    sources: &mut Sources<'_>,
    mut cursor: Cursor,
    place: &Place,
    limit: Option<u64>,
) -> anyhow::Result<Cursor> {
    for look in 1..=LOOKS {
        let mut values = Values::new(place.number);
        let read = hot_once(sources, cursor, place, limit, &mut values).await?;
        cursor = read.0;
        let told = match read.1 {
            Ok(Seen::Moving) if look < LOOKS => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Ok(Seen::Whole) => None,
            Ok(Seen::Moving) => Some("hot is not installed; readers are sent to cold"),
            Ok(Seen::Empty) => Some("hot is empty; readers are sent to cold"),
            Err(error) => {
                values.check().cannot_tell(error);
                None
            }
        };
        if let Some(told) = told {
            values = Values::new(place.number);
            let note = format!("partition {}: {told}", place.number);
            values.check().note(note);
        }
        cursor.scan.hot = Some(values);
        break;
    }
    Ok(cursor)
}

/// How hot was while it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Installed, by one owner all the time.
    Whole,
    /// Somebody claimed it, and has not installed it.
    Moving,
    /// Nobody has claimed it since it was emptied.
    Empty,
}

type Look = (Cursor, Result<Seen, String>);

/// One look at hot.
async fn hot_once(
    sources: &mut Sources<'_>,
    mut cursor: Cursor,
    place: &Place,
    limit: Option<u64>,
    values: &mut Values,
) -> anyhow::Result<Look> {
    let number = place.number;
    let mut before = Standing::default();
    for _ in 0..CHASES {
        before = match sources.hot.standing(number).await {
            Ok(standing) => standing,
            Err(error) => return Ok((cursor, Err(format!("redis: {error}")))),
        };
        let until = before
            .offset
            .map(|offset| limit.map_or(offset, |limit| limit.min(offset)));
        let Some(until) = until.filter(|until| cursor.scan.chain.last() < Some(*until)) else {
            break;
        };
        cursor = cursor.advance(Some(until)).await?;
    }
    if !before.installed || before.offset.is_none() {
        let seen = before.epoch.map_or(Seen::Empty, |_| Seen::Moving);
        return Ok((cursor, Ok(seen)));
    }
    let Some(state) = cursor.scan.books.state() else {
        let why = format!("partition {number}: the fold stopped");
        return Ok((cursor, Err(why)));
    };
    position(&before, &cursor, state, limit, values.check());
    values.epoch(before.epoch);
    let read = read_values(sources, place, state, values).await;
    let after = sources.hot.standing(number).await;
    let whole = match (read, after) {
        (Ok(()), Ok(after)) => after.installed && after.epoch == before.epoch,
        (Err(error), _) => return Ok((cursor, Err(error))),
        (_, Err(error)) => return Ok((cursor, Err(format!("redis: {error}")))),
    };
    let told = match whole {
        true => absent(sources, number, before.accepted, values).await,
        false => return Ok((cursor, Ok(Seen::Moving))),
    };
    Ok((cursor, told.map(|()| Seen::Whole)))
}

/// Compares hot's position with the log.
fn position(
    standing: &Standing,
    cursor: &Cursor,
    state: &Partition,
    limit: Option<u64>,
    check: &mut Check,
) {
    let mut miss = |what: String| check.miss(Finding::new(state.id(), what).at(state.applied()));
    let log = state
        .setting()
        .map(|setting| setting.generation.to_string());
    if standing.generation.is_some() && standing.generation != log {
        let other = standing.generation.as_deref().unwrap_or_default();
        miss(format!("hot is of another log, {other}"));
    }
    let read_so_far = limit.is_none_or(|limit| standing.offset <= Some(limit));
    if read_so_far && standing.offset > cursor.scan.chain.last() {
        let offset = standing.offset.unwrap_or(0);
        miss(format!(
            "hot stands at command {offset}, beyond the last outcome"
        ));
    }
}

async fn read_values(
    sources: &mut Sources<'_>,
    place: &Place,
    state: &Partition,
    values: &mut Values,
) -> Result<(), String> {
    let keys = place.keys.as_ref().map_err(Clone::clone)?;
    let known: HashSet<BalanceId> = state.ids().collect();
    let more = keys.iter().filter(|id| !known.contains(id));
    let ids: Vec<BalanceId> = known.iter().chain(more).copied().collect();
    read_some(sources, state, &ids, values).await?;
    let older = std::mem::take(&mut values.older);
    if !older.is_empty() {
        // A large batch is written in parts: what is older than its position may be on the way.
        tokio::time::sleep(PAUSE).await;
        read_some(sources, state, &older, values).await?;
        values.insist(state);
    }
    Ok(())
}

async fn read_some(
    sources: &mut Sources<'_>,
    state: &Partition,
    ids: &[BalanceId],
    values: &mut Values,
) -> Result<(), String> {
    for ids in ids.chunks(READ_MAX) {
        let read = sources.hot.values(state.id(), ids).await;
        let read = read.map_err(|error| format!("redis: {error}"))?;
        for (id, value) in ids.iter().zip(read) {
            values.take(state, *id, value);
        }
    }
    Ok(())
}

/// A balance may be absent from hot only if cold has its version; hot may not say that cold
/// accepted more than it did.
async fn absent(
    sources: &Sources<'_>,
    number: PartitionId,
    accepted: Option<u64>,
    values: &mut Values,
) -> Result<(), String> {
    let cold = |error: sqlx::Error| format!("postgres: {error}");
    let absent = std::mem::take(&mut values.absent);
    for some in absent.chunks(READ_MAX) {
        let ids: Vec<_> = some.iter().map(|(id, _)| id.uuid()).collect();
        let found = versions(sources.pool, &ids).await.map_err(cold)?;
        for (id, version) in some {
            let row = found.iter().find(|(uuid, _)| *uuid == id.uuid());
            values.in_cold(*id, *version, row.map(|(_, version)| *version));
        }
    }
    let now = watermark(sources.pool, number).await.map_err(cold)?;
    let now = now.map(|as_of| as_of.command_offset);
    if accepted > now {
        let what = format!("hot says that cold accepted {accepted:?}, cold stands at {now:?}");
        values.check().miss(Finding::new(number, what));
    }
    Ok(())
}
