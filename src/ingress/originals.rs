//! Commands as they stand on the log, read back one by one by the ids of their transactions, which
//! tell partition and offset.
//!
//! A few at once, and nobody waits longer than for a publish. What it refuses to know: whether a
//! command may be reversed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::Message;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::error::Kind;
use super::problem::Problem;
use crate::ledger::{PartitionId, TransactionId};
use crate::log;
use crate::log::reader::{self, ReadError, Reader, Readers};

/// Commands that are read at once, each on a thread of its own; the next ones wait their turn.
pub const AT_ONCE: usize = 4;

/// Reads commands back.
#[derive(Debug)]
pub struct Originals {
    topic: String,
    partitions: PartitionId,
    readers: Arc<Readers>,
    /// A read that nobody waits for any more keeps its place until it ends.
    room: Arc<Semaphore>,
    patience: Duration,
}

/// Of a leg's value: the command of a record that had arrived on the wrong partition.
#[derive(Deserialize)]
struct Forwarded<'a> {
    #[serde(borrow)]
    command: &'a RawValue,
}

impl Originals {
    /// `patience` is how long a read may take, its turn included.
    pub fn new(log: &log::Options, partitions: PartitionId, patience: Duration) -> Self {
        Self {
            topic: log.topics().commands,
            partitions,
            readers: Arc::new(Readers::new(log)),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            patience,
        }
    }

    /// The JSON of the command of a transaction.
    ///
    /// # Errors
    /// 410, if the log does not have it any more; 503, if the log cannot be read in time.
    pub async fn command(&self, id: TransactionId) -> Read {
        if id.home() >= self.partitions {
            return Err(gone());
        }
        match timeout(self.patience, self.read(id)).await {
            Ok(Ok(Some(command))) => Ok(command.into()),
            Ok(Ok(None)) => Err(gone()),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(unavailable("it takes too long")),
        }
    }

    async fn read(&self, id: TransactionId) -> Result<Option<Vec<u8>>, String> {
        let room = self.room.clone().acquire_owned().await;
        let room = room.map_err(|error| error.to_string())?;
        let (readers, topic) = (self.readers.clone(), self.topic.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _room = room;
            readers.lend(|reader| match read(reader, &topic, id) {
                Err(ReadError::Trimmed { .. }) => Ok(None),
                read => read,
            })
        });
        let read = reading.await.map_err(|error| error.to_string())?;
        read.map_err(|error| error.to_string())
    }
}

/// The JSON of a command, or why there is none.
pub type Read = Result<Arc<[u8]>, Problem>;

/// What one request has read back: each command once, and none after the log was found unreadable.
#[derive(Debug, Default)]
pub struct Reads {
    commands: Mutex<HashMap<TransactionId, Arc<OnceCell<Read>>>>,
    unreadable: OnceLock<Problem>,
}

impl Reads {
    /// What `read` gave for `id`, the first time.
    ///
    /// # Errors
    /// As `read`, or what made the log unreadable to another.
    pub async fn once(&self, id: TransactionId, read: impl Future<Output = Read>) -> Read {
        let cell = {
            let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            commands.entry(id).or_default().clone()
        };
        let first = async || match self.unreadable.get() {
            Some(problem) => Err(problem.clone()),
            None => read.await,
        };
        let read = cell.get_or_init(first).await.clone();
        if let Err(problem) = &read
            && problem.kind == Kind::StorageUnavailable
        {
            self.unreadable.get_or_init(|| problem.clone());
        }
        read
    }
}

fn gone() -> Problem {
    let detail = "its command is not on the log any more; who has it can send the reversal to \
        Kafka, as long as the reference is known";
    Problem::new(Kind::OriginalGone, detail)
}

fn unavailable(error: &str) -> Problem {
    tracing::warn!(%error, "a command cannot be read back");
    Problem::new(Kind::StorageUnavailable, "the log cannot be read just now")
}

fn read(reader: &Reader, topic: &str, id: TransactionId) -> Result<Option<Vec<u8>>, ReadError> {
    let mut found = None;
    let (from, end) = (id.offset(), id.offset() + 1);
    reader.read(topic, id.home(), from, end, |message| {
        if u64::try_from(message.offset()) != Ok(from) {
            return true;
        }
        let value = message.payload().unwrap_or_default();
        found = match reader::headers(message).leg {
            None => Some(value.to_vec()),
            Some(_) => {
                let leg: Option<Forwarded<'_>> = serde_json::from_slice(value).ok();
                leg.map(|leg| leg.command.get().as_bytes().to_vec())
            }
        };
        false
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::StreamExt;
    use uuid::Uuid;

    use super::*;

    fn id(offset: u64) -> TransactionId {
        TransactionId::new(0, offset, Uuid::nil())
    }

    #[tokio::test]
    async fn a_request_reads_each_command_once() {
        let (reads, count) = (Reads::default(), AtomicUsize::new(0));
        let read = async |offset: u64| {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(offset.to_string().into_bytes().into())
        };
        let asked = [7, 7, 9, 7, 9, 8];
        let found = futures::stream::iter(asked)
            .map(|offset| reads.once(id(offset), read(offset)))
            .buffered(AT_ONCE)
            .map(|command| String::from_utf8(command.unwrap().to_vec()).unwrap());
        let found: Vec<String> = found.collect().await;
        assert_eq!(found, ["7", "7", "9", "7", "9", "8"]);
        assert_eq!(count.into_inner(), 3);
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_read_is_asked_once() {
        let reads = Reads::default();
        let read = async |problem: Problem| Err(problem);
        let first = reads.once(id(1), read(gone())).await.unwrap_err();
        assert_eq!(first.kind, Kind::OriginalGone);
        let second = reads.once(id(2), read(unavailable("no"))).await;
        assert_eq!(second.unwrap_err().kind, Kind::StorageUnavailable);
        let never = async { panic!("read again") };
        let third = reads.once(id(3), never).await.unwrap_err();
        assert_eq!(third.kind, Kind::StorageUnavailable);
    }

    /// Nobody listens on port 1.
    #[test]
    fn nobody_waits_longer_than_they_may() {
        let log = log::Options {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_properties: Vec::new(),
            topic_prefix: "t".to_owned(),
        };
        let originals = Originals::new(&log, 1, Duration::from_millis(10));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for offset in 0..8 {
            let read = async { originals.command(id(offset)).await };
            let problem = runtime.block_on(read).unwrap_err();
            assert_eq!(problem.kind, Kind::StorageUnavailable);
        }
        let reading = AT_ONCE - originals.room.available_permits();
        assert_eq!(reading, AT_ONCE, "as many threads as there may be");
        runtime.shutdown_background();
    }
}
