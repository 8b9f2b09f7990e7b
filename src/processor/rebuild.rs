//! What a partition of cold should hold: `outcomes` folded as an owner folds them, and written.
//!
//! From the first outcome where nothing was trimmed; else from what the log alone tells
//! ([`crate::log::alone`]). Where it does not tell, from cold's own rows as of their watermark, and
//! rows that no outcome has changed since stay as they are. Claims nothing: owners and sinks go on
//! meanwhile.

use anyhow::Context;
use rdkafka::Message;
use sqlx::PgPool;
use uuid::Uuid;

use super::fold::Fold;
use super::{Failure, alone};
use crate::cold::{base, rebuild};
use crate::ledger::{Balance, BalanceId, Partition, PartitionId};
use crate::log;
use crate::log::alone::{Error, told};
use crate::log::reader::{Found, Reader};
use crate::log::sift::{Told, Untold};
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

/// What a partition was rebuilt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// All outcomes there ever were.
    Outcomes,
    /// Snapshots and the outcomes that are left, as of this command.
    Snapshots(u64),
    /// Cold's own rows, and why the log alone did not tell.
    Cold(String),
}

/// What a rebuilt partition holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub balances: usize,
    /// The last command whose effects are in; absent where none was decided yet.
    pub command_offset: Option<u64>,
    pub basis: Basis,
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
    let Began {
        low,
        beginning,
        told,
    } = began.await??;
    let (base, basis) = match told {
        None => (None, Basis::Outcomes),
        Some(Ok(told)) => {
            let as_of = told.marker.command_offset;
            (Some(alone::base_of(told, None)), Basis::Snapshots(as_of))
        }
        Some(Err(untold)) => {
            let base = base::base(&source.pool, source.partition).await;
            (Some(base.context("postgres")?), Basis::Cold(untold.0))
        }
    };
    let (number, reading) = (source.partition, source.clone());
    let first = tokio::task::spawn_blocking(move || {
        let folded = begin(&reading, base, low)?;
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
            basis,
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
        whole: !matches!(basis, Basis::Cold(_)),
    };
    locked.write(&state).await?;
    // Retention may have gone on: what it took is in cold alone, and stays there.
    let looking = source.clone();
    let later = tokio::task::spawn_blocking(move || {
        let (reader, topic) = (Reader::open(&looking.log)?, looking.log.topics().outcomes);
        let bounds = reader.bounds(&topic, number)?;
        journal_begins(&reader, &topic, number, bounds)
    });
    let beginning = later.await??.unwrap_or(beginning);
    rebuild::journal(&source.pool, number, source.generation, beginning).await?;
    Ok(Rebuilt {
        balances: state.balances.len(),
        command_offset: Some(cut.command_offset),
        basis,
    })
}

/// What was folded so far, and the latest claim.
struct Folded {
    fold: Fold,
    epoch: u64,
}

/// What is folded on: `base` where there is more than outcomes tell, which are left from `low` on.
fn begin(source: &Source, base: Option<base::Base>, low: u64) -> Result<Folded, Failure> {
    let marker = base.as_ref().and_then(|base| base.marker.as_ref());
    let epoch = marker.map_or(0, |marker| marker.epoch);
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
    Ok(Folded { fold, epoch })
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

/// What is left of a partition on the log.
struct Began {
    /// The first offset of `outcomes`.
    low: u64,
    /// Where the journal begins, if there is any outcome.
    beginning: Option<rebuild::Beginning>,
    /// What the log alone tells, where outcomes are trimmed.
    told: Option<Result<Told, Untold>>,
}

/// Looks where a partition begins. Blocks.
fn beginning(source: &Source) -> Result<Began, Failure> {
    let (reader, topics) = (Reader::open(&source.log)?, source.log.topics());
    let partition = source.partition;
    let bounds = reader.bounds(&topics.outcomes, partition)?;
    let beginning = journal_begins(&reader, &topics.outcomes, partition, bounds)?;
    let trimmed = beginning.is_some_and(|beginning| beginning.before.is_some());
    let told = match trimmed.then(|| told(&reader, &topics, partition, None)) {
        None => None,
        Some(Ok(told)) if told.marker.generation != source.generation => {
            return Err(Failure::OtherGeneration(told.marker.generation));
        }
        Some(Ok(told)) => Some(Ok(told)),
        Some(Err(Error::Untold(untold))) => Some(Err(untold)),
        Some(Err(Error::Read(error))) => return Err(error.into()),
    };
    Ok(Began {
        low: bounds.0,
        beginning,
        told,
    })
}

fn journal_begins(
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
