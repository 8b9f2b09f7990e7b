//! Caught up: hot, balances and journal stand at the last command there is.

use std::time::{Duration, Instant};

use rdkafka::Message;

use super::report::{Check, Finding};
use super::turn::Sources;
use crate::cold::read::{journaled, watermark};
use crate::ledger::PartitionId;
use crate::log::reader::{ReadError, Reader};

const PAUSE: Duration = Duration::from_millis(250);
/// How far back the last record is looked for: the offsets at the end may be of control records.
const TAIL: u64 = 64;

/// Waits, up to `bound`, until every store has caught up with `commands`.
pub(super) async fn until_caught_up(
    sources: &mut Sources<'_>,
    partitions: &[PartitionId],
    bound: Duration,
) -> anyhow::Result<Check> {
    let started = Instant::now();
    let mut ends: Vec<(u64, Option<u64>)> = Vec::new();
    loop {
        let (reader, known) = (sources.reader.clone(), ends);
        let topic = sources.topics.commands.clone();
        ends = tokio::task::spawn_blocking(move || lasts(&reader, &topic, &known)).await??;
        let mut check = Check::new("caught-up", "stores");
        for number in partitions {
            let last = ends.get(usize::from(*number)).and_then(|(_, last)| *last);
            look(sources, *number, last, &mut check).await;
        }
        let behind = check.differences > 0 || check.untold.is_some();
        if !behind || started.elapsed() >= bound {
            check.note(format!("after {:.1} s", started.elapsed().as_secs_f64()));
            return Ok(check);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(
    sources: &mut Sources<'_>,
    number: PartitionId,
    last: Option<u64>,
    check: &mut Check,
) {
    let offset = |as_of: crate::cold::read::AsOf| as_of.command_offset;
    let hot = sources.hot.standing(number).await;
    let hot = hot.map(|standing| standing.offset.filter(|_| standing.installed));
    let balances = watermark(sources.pool, number).await;
    let journal = journaled(sources.pool, number).await;
    let stores = [
        ("hot", hot.map_err(|error| format!("redis: {error}"))),
        (
            "cold's balances",
            balances.map(|as_of| as_of.map(offset)).map_err(cold),
        ),
        (
            "cold's journal",
            journal.map(|as_of| as_of.map(offset)).map_err(cold),
        ),
    ];
    for (name, stands) in stores {
        check.examined += 1;
        match stands {
            Ok(stands) if stands < last => {
                let what = format!("{name} stands at {stands:?}, commands at {last:?}");
                check.miss(Finding::new(number, what));
            }
            Ok(_) => {}
            Err(error) => check.cannot_tell(error),
        }
    }
}

fn cold(error: sqlx::Error) -> String {
    format!("postgres: {error}")
}

/// The end of every partition of `commands`, and its last record; `known` saves looking again.
fn lasts(
    reader: &Reader,
    topic: &str,
    known: &[(u64, Option<u64>)],
) -> Result<Vec<(u64, Option<u64>)>, ReadError> {
    let bounds = reader.all_bounds(topic)?;
    let mut lasts = Vec::new();
    for (number, (low, end)) in (0..).zip(bounds) {
        let found = known.get(usize::from(number));
        if let Some(found) = found.filter(|(before, _)| *before == end) {
            lasts.push(*found);
            continue;
        }
        let mut last = None;
        let from = low.max(end.saturating_sub(TAIL));
        reader.read(topic, number, from, end, |message| {
            last = u64::try_from(message.offset()).ok();
            true
        })?;
        lasts.push((end, last));
    }
    Ok(lasts)
}
