//! Commands as they stand on the log, read back one by one by the ids of their transactions, which
//! tell partition and offset.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::Message;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::Kind;
use super::problem::Problem;
use crate::ledger::{PartitionId, TransactionId};
use crate::log;
use crate::log::reader::{self, ReadError, Reader};

/// Reads commands back; several at once wait for each other.
#[derive(Debug)]
pub struct Originals {
    log: log::Options,
    partitions: PartitionId,
    /// Opened with the first one that is asked for.
    reader: Arc<Mutex<Option<Reader>>>,
}

/// Of a leg's value: the command of a record that had arrived on the wrong partition.
#[derive(Deserialize)]
struct Forwarded<'a> {
    #[serde(borrow)]
    command: &'a RawValue,
}

impl Originals {
    pub fn new(log: &log::Options, partitions: PartitionId) -> Self {
        Self {
            log: log.clone(),
            partitions,
            reader: Arc::default(),
        }
    }

    /// The JSON of the command of a transaction.
    pub async fn command(&self, id: TransactionId) -> Result<Vec<u8>, Problem> {
        let gone = || {
            let detail = "its command is not on the log any more; who has it can send the \
                reversal to Kafka, as long as the reference is known";
            Problem::new(Kind::OriginalGone, detail)
        };
        if id.home() >= self.partitions {
            return Err(gone());
        }
        let (options, reader) = (self.log.clone(), self.reader.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let opened = match reader.take() {
                Some(reader) => reader,
                None => Reader::open(&options)?,
            };
            let read = read(&opened, &options.topics().commands, id);
            // One that failed is not used again.
            *reader = Some(opened).filter(|_| read.is_ok());
            read
        });
        let unavailable = |error: String| {
            tracing::warn!(%error, "a command cannot be read back");
            Problem::new(Kind::StorageUnavailable, "the log cannot be read just now")
        };
        let read = reading
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        match read {
            Ok(Some(command)) => Ok(command),
            Ok(None) | Err(ReadError::Trimmed { .. }) => Err(gone()),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }
}

fn read(reader: &Reader, topic: &str, id: TransactionId) -> Result<Option<Vec<u8>>, ReadError> {
    let mut found = None;
    let (from, end) = (id.offset(), id.offset() + 1);
    reader.read(topic, id.home(), from, end, |message| {
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
