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
use super::fold::Fold;
use crate::cold::{base, rebuild};
use crate::ledger::{Balance, BalanceId, Partition, PartitionId};
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

/// Writes the balances of a partition anew, and sends the journal sink back to the first outcome.
/// `progress` is told how many outcomes of how many are read.
///
/// # Errors
/// If the log or Postgres cannot be read, or what is needed was trimmed.
pub async fn cold(
    source: Source,
    progress: impl FnMut(u64, u64) + Send + 'static,
) -> anyhow::Result<Rebuilt> {
    let looking = source.clone();
    let began = tokio::task::spawn_blocking(move || beginning(&looking));
    let beginning = began.await??;
    let trimmed = beginning.is_some_and(|beginning| beginning.before.is_some());
    let base = match trimmed {
        true => {
            let base = base::base(&source.pool, source.partition).await;
            Some(base.context("postgres")?)
        }
        false => None,
    };
    let (number, reading) = (source.partition, source.clone());
    let first = tokio::task::spawn_blocking(move || {
        let folded = begin(&reading, base)?;
        read(&reading, folded, progress)
    });
    let folded = first.await??;
    // A sink at work is past that by now: what came meanwhile is read while it is kept waiting.
    let locked = rebuild::Locked::new(&source.pool, number, source.generation);
    let locked = locked.await.context("postgres")?;
    let reading = source.clone();
    let rest = tokio::task::spawn_blocking(move || read(&reading, folded, |_, _| {}));
    let Folded { fold, epoch } = rest.await??;
    let fold = fold.ended()?;
    let partition = &fold.partition;
    let (Some(cut), Some(beginning)) = (partition.cut(), beginning) else {
        return Ok(Rebuilt {
            balances: 0,
            command_offset: None,
            trimmed,
        });
    };
    let balances: Vec<(BalanceId, Balance)> = partition.balances().collect();
    let holds = partition.holds().iter();
    let state = rebuild::State {
        marker: MarkerBody::of(&cut, number, fold.position, epoch),
        balances: balances
            .iter()
            .map(|(id, balance)| (*id, number, balance, epoch))
            .collect(),
        holds: holds.map(|(id, hold)| (id, number, hold, epoch)).collect(),
        whole: !trimmed,
    };
    locked.write(&state).await?;
    rebuild::journal(&source.pool, number, source.generation, beginning).await?;
    Ok(Rebuilt {
        balances: state.balances.len(),
        command_offset: Some(cut.command_offset),
        trimmed,
    })
}

/// What was folded so far, and the latest claim.
struct Folded {
    fold: Fold,
    epoch: u64,
}

/// What is folded on: `base` where there is more than outcomes tell. Blocks.
fn begin(source: &Source, base: Option<base::Base>) -> Result<Folded, Failure> {
    let reader = Reader::open(&source.log)?;
    let (low, _) = reader.bounds(&source.log.topics().outcomes, source.partition)?;
    let mut fold = match base {
        Some(base) => Fold::new(base, source.partition, source.count)?,
        None => {
            let empty = Partition::new(source.partition, source.count);
            Fold::at(empty, None, low)
        }
    };
    if fold.hash.is_some() {
        fold.from = fold.from.max(low);
    }
    Ok(Folded { fold, epoch: 0 })
}

/// Folds on, up to the end of outcomes as it is now. Blocks.
fn read(
    source: &Source,
    folded: Folded,
    mut progress: impl FnMut(u64, u64),
) -> Result<Folded, Failure> {
    let topic = source.log.topics().outcomes;
    let reader = Reader::open(&source.log)?;
    let (_, end) = reader.bounds(&topic, source.partition)?;
    let Folded {
        mut fold,
        mut epoch,
    } = folded;
    let from = fold.from;
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
    match fold.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(Folded { fold, epoch }),
    }
}

/// Where the journal of the partition begins, if there is any outcome. Blocks.
fn beginning(source: &Source) -> Result<Option<rebuild::Beginning>, Failure> {
    let (reader, topic) = (Reader::open(&source.log)?, source.log.topics().outcomes);
    let partition = source.partition;
    let (low, end) = reader.bounds(&topic, partition)?;
    let (mut found, mut bad) = (None, None);
    reader.read(&topic, partition, low, end, |message| {
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
