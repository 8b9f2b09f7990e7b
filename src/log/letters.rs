//! Dead letters, read and sent again.

use rdkafka::Message;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use super::Options;
use super::producer::{Append, LogProducer};
use super::reader::{ReadError, Reader};
use crate::ledger::route::partition_of_key;
use crate::ledger::{PartitionId, route};
use crate::wire::record::{CORRELATION_HEADER, REPLY_PARTITION_HEADER, REPLY_TOPIC_HEADER};
use crate::wire::{leg, letter};

/// A record that could not be understood.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it is among the dead letters.
    pub partition: PartitionId,
    pub offset: u64,
    /// When it came there, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Empty where the record had none.
    pub key: Vec<u8>,
    /// Empty where the record had none.
    pub value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Letter {
    fn of(message: &impl Message) -> Self {
        let headers = message.headers().into_iter().flat_map(|all| all.iter());
        let headers = headers.map(|it| (it.key.to_owned(), it.value.unwrap_or_default().to_vec()));
        Self {
            partition: PartitionId::try_from(message.partition()).unwrap_or_default(),
            offset: u64::try_from(message.offset()).unwrap_or_default(),
            at_ms: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers.collect(),
        }
    }

    /// The last header of a name.
    fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter().rev();
        let (_, value) = headers.find(|(found, _)| found == name)?;
        Some(value)
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.header(name).unwrap_or_default()).into_owned()
    }

    /// The slug of the reason.
    pub fn reason(&self) -> String {
        self.text(letter::REASON)
    }

    /// What is wrong, in words.
    pub fn detail(&self) -> String {
        self.text(letter::EXCEPTION_MESSAGE)
    }

    /// Topic, partition and offset of the record.
    pub fn original(&self) -> (String, Option<i32>, Option<i64>) {
        let partition = self.header(letter::ORIGINAL_PARTITION);
        let offset = self.header(letter::ORIGINAL_OFFSET);
        (
            self.text(letter::ORIGINAL_TOPIC),
            partition.and_then(|bytes| Some(i32::from_be_bytes(bytes.try_into().ok()?))),
            offset.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?))),
        )
    }

    /// Whether something of the record was cut off.
    pub fn is_truncated(&self) -> bool {
        self.header(letter::TRUNCATED).is_some()
    }

    /// Whether the record came as a leg between partitions, which only processors may send.
    pub fn is_leg(&self) -> bool {
        self.header(leg::HEADER).is_some()
    }

    /// The headers that the record came with.
    pub fn own_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let own = self.headers.iter();
        let own = own.filter(|(name, _)| !letter::ALL.contains(&name.as_str()));
        own.map(|(name, value)| (name.as_str(), &value[..]))
    }

    /// The headers of the record sent again: nobody waits for its reply any more.
    fn headers_again(&self) -> OwnedHeaders {
        let replies = [
            CORRELATION_HEADER,
            REPLY_TOPIC_HEADER,
            REPLY_PARTITION_HEADER,
        ];
        let kept = self
            .own_headers()
            .filter(|(name, _)| !replies.contains(name));
        kept.fold(OwnedHeaders::new(), |headers, (key, value)| {
            let value = Some(value);
            headers.insert(Header { key, value })
        })
    }
}

/// The letters of a partition from `from` on, oldest first. Blocks.
///
/// # Errors
/// If the topic cannot be read.
pub fn letters(
    reader: &Reader,
    topic: &str,
    partition: PartitionId,
    from: u64,
) -> Result<Vec<Letter>, ReadError> {
    let (low, end) = reader.bounds(topic, partition)?;
    let mut found = Vec::new();
    reader.read(topic, partition, from.max(low), end, |message| {
        found.push(Letter::of(message));
        true
    })?;
    Ok(found)
}

/// The letter at an offset, if there is one. Blocks.
///
/// # Errors
/// If the topic cannot be read.
pub fn letter(
    reader: &Reader,
    topic: &str,
    partition: PartitionId,
    offset: u64,
) -> Result<Option<Letter>, ReadError> {
    let (low, end) = reader.bounds(topic, partition)?;
    let mut found = None;
    if (low..end).contains(&offset) {
        reader.read(topic, partition, offset, offset + 1, |message| {
            found = Some(Letter::of(message));
            false
        })?;
    }
    Ok(found)
}

/// Puts a letter's record on `commands` again, under `key`; partition and offset that it got.
///
/// # Errors
/// If the log does not take it.
pub async fn send_again(
    options: &Options,
    letter: &Letter,
    key: &str,
    count: PartitionId,
) -> anyhow::Result<(route::PartitionId, u64)> {
    let partition = partition_of_key(key.as_bytes(), count);
    let append = Append {
        topic: &options.topics().commands,
        partition: Some(i32::from(partition)),
        key: key.as_bytes(),
        value: &letter.value,
        headers: Some(letter.headers_again()),
    };
    let producer = LogProducer::new(options)?;
    Ok((partition, producer.append_one(append).await?))
}
