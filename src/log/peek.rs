//! Looks at the log without belonging to a group: where partitions begin and end, and the one
//! record that stands at an offset.
//!
//! Calls here block; callers run them aside.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::Options;
use crate::ledger::PartitionId;

/// What is known by topic and partition.
pub type ByPartition<T> = BTreeMap<(String, PartitionId), T>;

/// A client for looking. Its group is never joined and nothing is committed for it.
pub fn reader(options: &Options) -> KafkaResult<BaseConsumer> {
    let mut config = options.client();
    config
        .set("group.id", options.group("reader"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_uncommitted")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.message.max.bytes", "65536")
        .set("fetch.queue.backoff.ms", "5");
    config.create()
}

/// Where every partition begins ([`Offset::Beginning`]) or ends ([`Offset::End`]), with one
/// request per broker.
pub fn offsets(
    reader: &BaseConsumer,
    topics: &[(String, PartitionId)],
    which: Offset,
    wait: Duration,
) -> KafkaResult<ByPartition<i64>> {
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            list.add_partition_offset(topic, i32::from(partition), which)?;
        }
    }
    if list.count() == 0 {
        return Ok(ByPartition::new());
    }
    let deadline = Instant::now() + wait;
    insist(deadline, || {
        let answer = reader.offsets_for_times(list.clone(), wait)?;
        let found = answer.elements().into_iter().map(|element| {
            element.error()?;
            let offset = element.offset().to_raw().unwrap_or_default().max(0);
            Ok((at(element.topic(), element.partition()), offset))
        });
        found.collect()
    })
}

/// Between two questions that a broker cannot answer yet.
const AGAIN: Duration = Duration::from_millis(50);

/// Asks again until `deadline` where the broker is not ready to answer: a topic that was made a
/// moment ago may have a leader that does not know of it yet.
pub fn insist<T>(deadline: Instant, ask: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    loop {
        match ask() {
            Err(error) if is_early(&error) && Instant::now() < deadline => {
                std::thread::sleep(AGAIN);
            }
            answered => return answered,
        }
    }
}

fn is_early(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// What `take` makes of the first record at or after every wanted offset. Partitions that had
/// none to give in time are left out.
pub fn peek<T>(
    reader: &BaseConsumer,
    wanted: &TopicPartitionList,
    wait: Duration,
    take: impl Fn(&BorrowedMessage<'_>) -> T,
) -> KafkaResult<ByPartition<T>> {
    let mut found = ByPartition::new();
    if wanted.count() == 0 {
        return Ok(found);
    }
    let deadline = Instant::now() + wait;
    reader.assign(wanted)?;
    while found.len() < wanted.count() && Instant::now() < deadline {
        // An error here is of the moment: the client connects again by itself until the deadline.
        let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) else {
            continue;
        };
        let mut seen = TopicPartitionList::new();
        seen.add_partition(message.topic(), message.partition());
        reader.pause(&seen)?;
        found
            .entry(at(message.topic(), message.partition()))
            .or_insert_with(|| take(&message));
    }
    // A pause outlives the assignment.
    reader.resume(wanted)?;
    reader.unassign()?;
    Ok(found)
}

fn at(topic: &str, partition: i32) -> (String, PartitionId) {
    let partition = PartitionId::try_from(partition).unwrap_or_default();
    (topic.to_owned(), partition)
}
