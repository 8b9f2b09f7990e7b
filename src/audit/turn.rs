//! One partition's turn: its outcomes are read once, and cold and hot are compared where they
//! stand.
//!
//! 1. Pin cold: one consistent read, with the watermark X and the journal's position.
//! 2. See where hot stands.
//! 3. Read outcomes up to each of the three, in order, and compare there ([`super::visit`]).
//! 4. Read outcomes to the end, and `commands` up to the last one decided.
//!
//! Cold is pinned before the end of outcomes is looked up, so it is never newer than they are.

use std::sync::Arc;

use sqlx::PgPool;

use super::base::{self, Base};
use super::cursor::{self, Cursor};
use super::look;
use super::report::{Check, Finding};
use super::scan::Scanned;
use super::visit::{self, Cold, NewestEpoch};
use crate::hot;
use crate::ledger::{BalanceId, PartitionId};
use crate::log::reader::Reader;
use crate::log::sift::Told;
use crate::log::{Topics, alone};

/// What every turn reads from.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) reader: Arc<Reader>,
    pub(super) topics: Topics,
    pub(super) hot: hot::audit::Reader,
    pub(super) pool: &'a PgPool,
    pub(super) count: PartitionId,
}

/// One partition to audit.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) number: PartitionId,
    /// Where outcomes ended when the audit began: the receiver's side of transit is taken there.
    pub(super) cut: u64,
    /// The balances that hot has keys for, or why that is not known.
    pub(super) keys: Result<Vec<BalanceId>, String>,
}

/// A store to compare, once the command it stands at is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Balances,
    Journal,
    Hot,
}

/// Cold's two checks, and the newest epoch among its rows.
struct Compared {
    rows: Check,
    entries: Check,
    row_epoch: NewestEpoch,
}

/// What one turn proved.
pub(super) async fn turn(sources: &mut Sources<'_>, place: Place) -> anyhow::Result<Scanned> {
    let number = place.number;
    let mut cold = Cold::pin(sources.pool, number).await;
    let stands = sources.hot.standing(number).await;
    let stands = stands.ok().and_then(|standing| standing.offset);
    let (reader, topic) = (sources.reader.clone(), sources.topics.outcomes.clone());
    let bounds = tokio::task::spawn_blocking(move || reader.bounds(&topic, number));
    let (low, end) = bounds.await??;
    let Base {
        command,
        position,
        mut scan,
    } = match low {
        0 => Base::start(&place, sources.count),
        _ => {
            let told = told(sources, number, &cold).await?;
            base::trimmed(&place, sources.count, (low, told), &mut cold).await
        }
    };
    scan.marker = cold.as_ref().ok().and_then(Cold::marker_at);
    let cursor = Cursor {
        reader: sources.reader.clone(),
        topics: sources.topics.clone(),
        partition: number,
        next: position,
        end,
        scan,
    };
    let (cursor, compared) = compare(sources, &place, cursor, &mut cold, (stands, command)).await?;
    let watermark = cold.ok().and_then(|cold| cold.watermark());
    let mut cursor = cursor.advance(None).await?;
    // An epoch before the base is of a claim that was trimmed.
    let claimed = cursor.scan.newest_claim().unwrap_or(0).max(position);
    let values = cursor.scan.hot.take().map(|values| values.finish(claimed));
    let marker = cursor.scan.marker;
    let mut scanned = cursor.scan.finish();
    let decided = decided(sources, number, command, &scanned).await?;
    let rows = late(compared.rows, number, compared.row_epoch, claimed);
    let rows = marked(rows, number, marker, watermark);
    scanned.checks.extend([decided, rows, compared.entries]);
    scanned.checks.extend(values);
    Ok(scanned)
}

/// What the log alone tells, as of where both parts of cold stand or before.
async fn told(
    sources: &Sources<'_>,
    number: PartitionId,
    cold: &Result<Cold, sqlx::Error>,
) -> anyhow::Result<Result<Told, alone::Error>> {
    let stands = cold.as_ref().ok();
    let stands = stands.map(|cold| cold.watermark().min(cold.journaled()).unwrap_or(0));
    let (reader, topics) = (sources.reader.clone(), sources.topics.clone());
    let telling = move || alone::told(&reader, &topics, number, stands);
    Ok(tokio::task::spawn_blocking(telling).await?)
}

/// Reads on to where each store stands, and compares it there. `stands` is hot's command and the
/// base's.
async fn compare(
    sources: &mut Sources<'_>,
    place: &Place,
    mut cursor: Cursor,
    cold: &mut Result<Cold, sqlx::Error>,
    (hot, base): (Option<u64>, Option<u64>),
) -> anyhow::Result<(Cursor, Compared)> {
    let mut stops = vec![(hot.unwrap_or(u64::MAX), Stop::Hot)];
    if let Ok(cold) = cold {
        stops.push((cold.watermark().unwrap_or(0), Stop::Balances));
        stops.push((cold.journaled().unwrap_or(0), Stop::Journal));
    }
    stops.sort_unstable();
    let mut compared = Compared {
        rows: Check::new("cold", "rows"),
        entries: Check::new("journal", "entries"),
        row_epoch: None,
    };
    let Compared {
        rows,
        entries,
        row_epoch,
    } = &mut compared;
    for (at, (_, stop)) in stops.iter().enumerate() {
        match (stop, &mut *cold) {
            (Stop::Hot, _) => {
                let limit = stops.get(at + 1).map(|(offset, _)| *offset);
                cursor = look::hot(sources, cursor, place, limit).await?;
            }
            (Stop::Balances, Ok(cold)) => {
                (cursor, *row_epoch) = visit::balances(cursor, cold, rows).await?;
            }
            (Stop::Journal, Ok(cold)) => {
                cursor = visit::journal(cursor, cold, base, entries).await?;
            }
            (Stop::Balances | Stop::Journal, Err(_)) => {}
        }
    }
    if let Err(error) = cold {
        rows.cannot_tell(format!("postgres: {error}"));
        entries.cannot_tell(format!("postgres: {error}"));
    }
    Ok((cursor, compared))
}

/// No row may be of an epoch that nobody claimed.
fn late(mut rows: Check, number: PartitionId, newest: NewestEpoch, claimed: u64) -> Check {
    if let Some((epoch, id)) = newest.filter(|(epoch, _)| *epoch > claimed) {
        let what = format!("in cold is of epoch {epoch}, the newest claim is {claimed}");
        rows.miss(Finding::new(number, what).of(id));
    }
    rows
}

/// The marker must name the place of its own outcome: a takeover starts there.
fn marked(
    mut rows: Check,
    number: PartitionId,
    marker: Option<(u64, Option<u64>)>,
    watermark: Option<u64>,
) -> Check {
    if let Some((at, found)) = marker.filter(|(_, found)| *found != watermark) {
        let what = match found {
            Some(found) => format!("the marker names record {at}, the outcome of command {found}"),
            None => format!("the marker names record {at}, which is no outcome"),
        };
        rows.miss(Finding::new(number, what).at(watermark));
    }
    rows
}

/// Commands: every record up to the last one decided has its outcome.
async fn decided(
    sources: &Sources<'_>,
    number: PartitionId,
    base: Option<u64>,
    scanned: &Scanned,
) -> anyhow::Result<Check> {
    let mut check = Check::new("commands", "records");
    let decided = scanned.decided.clone();
    let Some(last) = decided.last() else {
        return Ok(check);
    };
    let (reader, topic) = (sources.reader.clone(), sources.topics.commands.clone());
    let from = base.map_or(0, |base| base + 1);
    let reading = move || cursor::commands(&reader, &topic, number, from, last);
    let (from, records) = tokio::task::spawn_blocking(reading).await??;
    compare_commands(number, &records, &decided.starting(from), &mut check);
    Ok(check)
}

fn compare_commands(
    number: PartitionId,
    records: &super::runs::Runs,
    decided: &super::runs::Runs,
    check: &mut Check,
) {
    check.examined = records.count();
    let sides = [
        (records.beyond(decided), "commands have no outcome"),
        (
            decided.beyond(records),
            "outcomes are of commands that are not there",
        ),
    ];
    for ((count, first), what) in sides {
        if count > 0 {
            let what = format!("{count} {what}, the first is the one named");
            check.miss(Finding::new(number, what).at(first));
        }
    }
}
