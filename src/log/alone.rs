//! Reads what the log alone tells of a partition, for who compares it or writes it elsewhere.
//!
//! Claims nothing: owners go on meanwhile. What they publish while it is read is of commands after
//! the marker's, and does not count. It costs a read of all that is on `snapshots` and `outcomes`.

use rdkafka::Message;

use super::Topics;
use super::markers::Markers;
use super::reader::{Found, ReadError, Reader};
use super::sift::{Sift, Told, Untold};
use crate::ledger::PartitionId;

/// Why the log alone does not tell.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("kafka: {0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Untold(#[from] Untold),
}

/// The partition as of its newest marker, or the newest of command `upto` and before. Blocks.
///
/// # Errors
/// If the log cannot be read, or what is left of it does not tell.
pub fn told(
    reader: &Reader,
    topics: &Topics,
    partition: PartitionId,
    upto: Option<u64>,
) -> Result<Told, Error> {
    let (snapshots, outcomes) = (&topics.snapshots, &topics.outcomes);
    let (_, end) = reader.bounds(outcomes, partition)?;
    let written = reader.bounds(snapshots, partition)?;
    let mut markers = Markers::new(partition, written, end).upto(upto.unwrap_or(u64::MAX));
    while let Some((from, end)) = markers.stretch() {
        reader.read(snapshots, partition, from, end, |message| {
            markers.take(found(message))
        })?;
    }
    if let Some(bad) = markers.bad {
        return Err(Untold(bad).into());
    }
    let marker = markers
        .newest
        .ok_or_else(|| Untold("no marker is left".to_owned()))?;
    let mut sift = Sift::new(marker, partition);
    let (from, to) = written;
    reader.read(snapshots, partition, from, to, |message| {
        sift.snapshot(found(message))
    })?;
    // Retention may have gone on meanwhile.
    let (low, _) = reader.bounds(outcomes, partition)?;
    reader.read(outcomes, partition, low, end, |message| {
        sift.outcome(found(message))
    })?;
    Ok(sift.told()?)
}

fn found(message: &impl Message) -> Found<'_> {
    Found {
        offset: u64::try_from(message.offset()).unwrap_or(0),
        key: message.key().unwrap_or_default(),
        value: message.payload().unwrap_or_default(),
    }
}
