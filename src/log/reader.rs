//! Reads a stretch of one partition, start to end: what a takeover folds and what an audit checks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::peek;
use crate::ledger::PartitionId;
use crate::wire::record::Headers;

/// Why a stretch could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{topic}/{partition} was trimmed to {low}, but is needed from {from}")]
    Trimmed {
        topic: String,
        partition: PartitionId,
        from: u64,
        low: u64,
    },
    #[error("{topic}/{partition} gave nothing more for {seconds} s at {at}, before {end}")]
    Stalled {
        topic: String,
        partition: PartitionId,
        at: u64,
        end: u64,
        seconds: u64,
    },
    #[error("there is no topic {topic}")]
    Absent { topic: String },
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// A stretch of one partition: from `from` up to, not including, `end`.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub topic: String,
    pub partition: PartitionId,
    pub from: u64,
    pub end: u64,
}

/// A record of a stretch; an absent key or value is empty.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub offset: u64,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// The headers of a message that mean something here.
pub fn headers(message: &impl Message) -> Headers<'_> {
    match message.headers() {
        None => Headers::default(),
        Some(headers) => Headers::of(headers.iter().map(|header| (header.key, header.value))),
    }
}

/// How long a stretch may give nothing before the reader gives up.
const STALL: Duration = Duration::from_secs(30);

/// Open readers, for many short stretches: opening and closing one takes longer than most reads.
pub struct Readers {
    options: super::Options,
    idle: Mutex<Vec<Reader>>,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers")
    }
}

/// Readers that stay open while nobody reads.
const IDLE_MAX: usize = 4;

impl Readers {
    pub fn new(options: &super::Options) -> Self {
        Self {
            options: options.clone(),
            idle: Mutex::default(),
        }
    }

    /// Lets `use_it` have a reader. One that it failed with is closed. Blocks.
    ///
    /// # Errors
    /// As `use_it`, or if no reader can be opened.
    pub fn lend<T>(
        &self,
        use_it: impl FnOnce(&Reader) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let idle = self.idle().pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.options)?,
        };
        let used = use_it(&reader)?;
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(reader);
        }
        Ok(used)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one stretch after the other. Opening is cheap, closing takes a tenth of a second: who
/// reads several stretches keeps it.
pub struct Reader {
    consumer: BaseConsumer,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// # Errors
    /// If librdkafka refuses the settings.
    pub fn open(options: &super::Options) -> Result<Self, ReadError> {
        let mut config = options.client();
        config
            .set("group.id", options.group("reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.queue.backoff.ms", "2")
            // A fetch that waits at the end would hold up the next stretch.
            .set("fetch.wait.max.ms", "5")
            .set("queued.max.messages.kbytes", "65536");
        for (name, value) in options.properties() {
            config.set(name, value);
        }
        Ok(Self {
            consumer: config.create()?,
        })
    }

    /// The first and the next offset of a partition. Blocks.
    pub fn bounds(&self, topic: &str, partition: PartitionId) -> Result<(u64, u64), ReadError> {
        let wait = Duration::from_secs(10);
        let partition = i32::from(partition);
        let deadline = Instant::now() + wait;
        let ask = || self.consumer.fetch_watermarks(topic, partition, wait);
        let (low, high) = peek::insist(deadline, ask)?;
        Ok((
            u64::try_from(low).unwrap_or(0),
            u64::try_from(high).unwrap_or(0),
        ))
    }

    /// The first and the next offset of every partition of a topic, in order. Blocks.
    pub fn all_bounds(&self, topic: &str) -> Result<Vec<(u64, u64)>, ReadError> {
        let wait = Duration::from_secs(10);
        let metadata = self.consumer.fetch_metadata(Some(topic), wait)?;
        let mut topics = metadata.topics().iter();
        let found = topics.find(|found| found.name() == topic);
        let count = found.map_or(0, |found| found.partitions().len());
        let count = PartitionId::try_from(count).unwrap_or(PartitionId::MAX);
        match count {
            0 => Err(ReadError::Absent {
                topic: topic.to_owned(),
            }),
            _ => (0..count)
                .map(|partition| self.bounds(topic, partition))
                .collect(),
        }
    }

    /// Reads `partition` of `topic` from `from` up to, not including, `end`; `each` says whether to
    /// go on. Offsets may have gaps. Blocks; give it a thread.
    pub fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        from: u64,
        end: u64,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), ReadError> {
        if from >= end {
            return Ok(());
        }
        let (low, _) = self.bounds(topic, partition)?;
        if from < low {
            return Err(ReadError::Trimmed {
                topic: topic.to_owned(),
                partition,
                from,
                low,
            });
        }
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, i32::from(partition), offset)?;
        self.consumer.assign(&list)?;
        let read = self.follow(topic, partition, (from, end), &mut each);
        self.consumer.unassign()?;
        read
    }

    fn follow(
        &self,
        topic: &str,
        partition: PartitionId,
        (from, end): (u64, u64),
        each: &mut impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), ReadError> {
        let mut next = from;
        let mut heard = Instant::now();
        while next < end {
            match self.consumer.poll(Duration::from_millis(100)) {
                // What an earlier stretch left behind.
                Some(Ok(other))
                    if other.topic() != topic || other.partition() != i32::from(partition) => {}
                Some(Ok(message)) => {
                    heard = Instant::now();
                    next = u64::try_from(message.offset()).unwrap_or(0) + 1;
                    if next > end || !each(&message) {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let position = self.consumer.position()?;
                    let at = position.find_partition(topic, i32::from(partition));
                    if let Some(Offset::Offset(at)) = at.map(|element| element.offset()) {
                        next = next.max(u64::try_from(at).unwrap_or(0));
                    }
                }
                Some(Err(error)) if super::consumer::is_transient(&error) => {}
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
            if heard.elapsed() > STALL {
                let (topic, seconds) = (topic.to_owned(), STALL.as_secs());
                return Err(ReadError::Stalled {
                    topic,
                    partition,
                    at: next,
                    end,
                    seconds,
                });
            }
        }
        Ok(())
    }
}
