//! Reads a stretch of one partition, start to end: what a takeover folds and what an audit checks.

use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::ledger::PartitionId;

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
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// How long a stretch may give nothing before the reader gives up.
const STALL: Duration = Duration::from_secs(30);

/// Reads `partition` of `topic` from `from` up to, not including, `end`; `each` says whether to go
/// on. Offsets may have gaps. Blocks; give it a thread.
pub fn read(
    options: &super::Options,
    topic: &str,
    partition: PartitionId,
    from: u64,
    end: u64,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<(), ReadError> {
    if from >= end {
        return Ok(());
    }
    let consumer = open(options)?;
    let (low, _) = watermarks(&consumer, topic, partition)?;
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
    consumer.assign(&list)?;
    let mut next = from;
    let mut heard = Instant::now();
    while next < end {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                next = u64::try_from(message.offset()).unwrap_or(0) + 1;
                if next > end || !each(&message) {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                let position = consumer.position()?;
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

/// The first and the next offset of a partition. Blocks.
pub fn bounds(
    options: &super::Options,
    topic: &str,
    partition: PartitionId,
) -> Result<(u64, u64), ReadError> {
    Ok(watermarks(&open(options)?, topic, partition)?)
}

fn open(options: &super::Options) -> Result<BaseConsumer, KafkaError> {
    let mut config = options.client();
    config
        .set("group.id", options.group("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.max.messages.kbytes", "65536");
    for (name, value) in &options.kafka_properties {
        config.set(name, value);
    }
    config.create()
}

fn watermarks(
    consumer: &BaseConsumer,
    topic: &str,
    partition: PartitionId,
) -> Result<(u64, u64), KafkaError> {
    let (low, high) =
        consumer.fetch_watermarks(topic, i32::from(partition), Duration::from_secs(10))?;
    Ok((
        u64::try_from(low).unwrap_or(0),
        u64::try_from(high).unwrap_or(0),
    ))
}
