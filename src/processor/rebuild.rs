//! What a partition of cold should hold: `outcomes` folded as an owner folds them, and written.
//!
//! From the first outcome where nothing was trimmed; else from cold's own rows as of their
//! watermark, and rows that no outcome has changed since stay as they are. Claims nothing: owners
//! and sinks go on meanwhile.

use anyhow::Context;
use rdkafka::Message;
use sqlx::PgPool;
use uuid::Uuid;

use super::Failure;
use super::restore::Fold;
use crate::cold::{base, rebuild};
use crate::ledger::{Partition, PartitionId};
use crate::log;
use crate::log::reader::{Found, Reader};
use crate::wire::record::{CLAIM_KEY, GENESIS_KEY};
use crate::wire::{MarkerBody, OutcomeBody};

/// What is rebuilt, and from what.
#[derive(Clone, Debug)]
pub struct Source {
    pub log: log::Options,
    pub pool: PgPool,
    pub generation: Uuid,
    pub partition: PartitionId,
    /// P.
    pub count: PartitionId,
}

/// What a rebuilt partition holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub balances: usize,
    /// The last command whose effects are in; absent where none was decided yet.
    pub command_offset: Option<u64>,
    /// Whether `outcomes` begins later than the log, so that cold's own rows were the base.
    pub trimmed: bool,
}

/// What was read of `outcomes`.
struct Read {
    fold: Fold,
    /// The latest claim.
    epoch: u64,
    /// Where the journal begins, if there is any outcome.
    beginning: Option<rebuild::Beginning>,
}

/// Writes the balances of a partition anew, and sends the journal sink back to the first outcome.
/// `progress` is told how many outcomes of how many are read.
///
/// # Errors
/// If the log or Postgres cannot be read, or what is needed was trimmed.
pub async fn cold(
    source: Source,
    progress: impl FnMut(u64, u64) + Send + 'static,
) -> anyhow::Result<Rebuilt> {
    let base = base::base(&source.pool, source.partition).await;
    let base = base.context("postgres")?;
    let reading = source.clone();
    let read = tokio::task::spawn_blocking(move || read(&reading, base, progress));
    let Read {
        fold,
        epoch,
        beginning,
    } = read.await??;
    let (partition, number) = (&fold.partition, source.partition);
    let trimmed = beginning.is_some_and(|beginning| beginning.before.is_some());
    let (Some(cut), Some(beginning)) = (partition.cut(), beginning) else {
        return Ok(Rebuilt {
            balances: 0,
            command_offset: None,
            trimmed,
        });
    };
    let marker = MarkerBody::of(&cut, number, fold.position, epoch);
    let rows = partition.balances();
    let rows: Vec<_> = rows
        .map(|(id, balance)| (id, number, balance, epoch))
        .collect();
    let holds = partition.holds().iter();
    let holds: Vec<_> = holds.map(|(id, hold)| (id, number, hold, epoch)).collect();
    rebuild::balances(&source.pool, &marker, &rows, &holds).await?;
    rebuild::journal(&source.pool, number, source.generation, beginning).await?;
    Ok(Rebuilt {
        balances: rows.len(),
        command_offset: Some(cut.command_offset),
        trimmed,
    })
}

/// Folds everything there is. Blocks.
fn read(
    source: &Source,
    base: base::Base,
    mut progress: impl FnMut(u64, u64),
) -> Result<Read, Failure> {
    if let Some(marker) = &base.marker
        && marker.generation != source.generation
    {
        return Err(Failure::OtherGeneration(marker.generation));
    }
    let topic = source.log.topics().outcomes;
    let reader = Reader::open(&source.log)?;
    let bounds = reader.bounds(&topic, source.partition)?;
    let (low, end) = bounds;
    let beginning = beginning(&reader, &topic, source.partition, bounds)?;
    let mut fold = match beginning.is_some_and(|beginning| beginning.before.is_some()) {
        true => Fold::new(base, source.partition, source.count)?,
        false => {
            let empty = Partition::new(source.partition, source.count);
            Fold::at(empty, None, None, low)
        }
    };
    if fold.hash.is_some() {
        fold.from = fold.from.max(low);
    }
    let (from, mut epoch) = (fold.from, 0);
    reader.read(&topic, source.partition, from, end, |message| {
        let found = Found {
            offset: u64::try_from(message.offset()).unwrap_or(0),
            key: message.key().unwrap_or_default(),
            value: message.payload().unwrap_or_default(),
        };
        progress(found.offset + 1 - from, end - from);
        if found.key == CLAIM_KEY.as_bytes() {
            epoch = found.offset;
        }
        fold.take(found)
    })?;
    Ok(Read {
        fold: fold.ended()?,
        epoch,
        beginning,
    })
}

/// Where the journal of the partition begins.
fn beginning(
    reader: &Reader,
    topic: &str,
    partition: PartitionId,
    (low, end): (u64, u64),
) -> Result<Option<rebuild::Beginning>, Failure> {
    let (mut found, mut bad) = (None, None);
    reader.read(topic, partition, low, end, |message| {
        let key = message.key().unwrap_or_default();
        if key == CLAIM_KEY.as_bytes() || key == GENESIS_KEY.as_bytes() {
            return true;
        }
        match OutcomeBody::parse(message.payload().unwrap_or_default()) {
            Ok(first) => {
                found = Some(rebuild::Beginning {
                    position: low,
                    before: first.follows.map(|offset| (offset, first.prev.0)),
                    at: first.at,
                });
            }
            Err(error) => bad = Some(Failure::BadOutcome(low, error.to_string())),
        }
        false
    })?;
    bad.map_or(Ok(found), Err)
}
