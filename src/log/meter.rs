//! How far every consumer group is behind, in records and in seconds, and whether it gets on.
//!
//! Records are the end of the partition less the committed offset, as `kafka-consumer-groups`
//! prints them. Seconds are the age of the oldest unread record, read from the log itself, so
//! they are exact. A round costs the brokers two requests per group, one for all ends, and one
//! small read for every lagging partition whose committed offset moved.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::Options;
use super::owners::owners;
use super::peek::{self, ByPartition, peek};
use super::status::{Sample, Status, Window};
use crate::ledger::PartitionId;

/// How many rounds a status is judged over.
pub const WINDOW: usize = 12;

const WAIT: Duration = Duration::from_secs(5);

/// One group on one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Lag {
    pub group: String,
    pub topic: String,
    pub partition: PartitionId,
    /// Absent while the group has never committed.
    pub committed: Option<i64>,
    pub end: i64,
    pub records: i64,
    pub seconds: f64,
    pub status: Status,
    /// Who has the partition, if anybody.
    pub owner: Option<String>,
}

/// A group, its topic, and a client that may ask for what the group committed.
struct Group {
    name: String,
    topic: String,
    client: BaseConsumer,
}

/// Measures lag. Its calls block.
pub struct Meter {
    groups: Vec<Group>,
    partitions: PartitionId,
    reader: BaseConsumer,
    windows: ByPartition<Window>,
    /// Log time of the record at an offset that was read before.
    times: ByPartition<(i64, i64)>,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

impl Meter {
    /// # Errors
    /// If a client cannot be built.
    pub fn new(options: &Options, partitions: PartitionId) -> KafkaResult<Self> {
        let topics = options.topics();
        let groups = [
            ("processor", topics.commands),
            ("journal-sink", topics.outcomes),
            ("balance-sink", topics.snapshots),
        ];
        let groups = groups.into_iter().map(|(role, topic)| {
            let name = options.group(role);
            let mut config = options.client();
            config
                .set("group.id", &name)
                .set("enable.auto.commit", "false");
            let client = config.create()?;
            Ok(Group {
                name,
                topic,
                client,
            })
        });
        Ok(Self {
            groups: groups.collect::<KafkaResult<_>>()?,
            partitions,
            reader: peek::reader(options)?,
            windows: ByPartition::new(),
            times: ByPartition::new(),
        })
    }

    /// The lag of every group on every partition.
    ///
    /// # Errors
    /// If a broker does not answer.
    pub fn measure(&mut self, now_ms: i64) -> KafkaResult<Vec<Lag>> {
        let topics = self.groups.iter();
        let topics = topics.map(|group| (group.topic.clone(), self.partitions));
        let topics: Vec<(String, PartitionId)> = topics.collect();
        let ends = peek::offsets(&self.reader, &topics, Offset::End, WAIT)?;
        let mut lags = Vec::new();
        for group in &self.groups {
            let committed = committed(group, self.partitions)?;
            let owners = owners(&group.client, &group.name, &group.topic, WAIT)?;
            for partition in 0..self.partitions {
                let at = (group.topic.clone(), partition);
                let end = ends.get(&at).copied().unwrap_or_default();
                let committed = committed.get(&partition).copied();
                lags.push(Lag {
                    group: group.name.clone(),
                    topic: group.topic.clone(),
                    partition,
                    committed,
                    end,
                    records: unread(committed, end),
                    seconds: 0.0,
                    status: Status::Ok,
                    owner: owners.get(&partition).cloned(),
                });
            }
        }
        self.date(&mut lags, now_ms)?;
        self.judge(&mut lags, now_ms);
        Ok(lags)
    }

    /// Reads the oldest unread record of every partition that has one, unless it was read before.
    fn date(&mut self, lags: &mut [Lag], now_ms: i64) -> KafkaResult<()> {
        let mut wanted = TopicPartitionList::new();
        for lag in lags.iter().filter(|lag| lag.records > 0) {
            let next = lag.committed.unwrap_or_default();
            let known = self.times.get(&(lag.topic.clone(), lag.partition));
            if known.is_none_or(|(offset, _)| *offset != next) {
                let partition = i32::from(lag.partition);
                wanted.add_partition_offset(&lag.topic, partition, Offset::Offset(next))?;
            }
        }
        let read = peek(&self.reader, &wanted, WAIT, |message| {
            message.timestamp().to_millis().unwrap_or(now_ms)
        })?;
        for lag in lags.iter_mut().filter(|lag| lag.records > 0) {
            let at = (lag.topic.clone(), lag.partition);
            if let Some(time_ms) = read.get(&at) {
                let next = lag.committed.unwrap_or_default();
                self.times.insert(at.clone(), (next, *time_ms));
            }
            if let Some((_, time_ms)) = self.times.get(&at) {
                lag.seconds = seconds(now_ms - time_ms);
            }
        }
        Ok(())
    }

    fn judge(&mut self, lags: &mut [Lag], now_ms: i64) {
        for lag in lags {
            let at = (lag.topic.clone(), lag.partition);
            let window = self.windows.entry(at);
            let window = window.or_insert_with(|| Window::new(WINDOW));
            lag.status = window.push(Sample {
                at_ms: now_ms,
                committed: lag.end - lag.records,
                end: lag.end,
                owned: lag.owner.is_some(),
            });
        }
    }
}

/// A group that never committed has everything to read, but for the genesis record.
fn unread(committed: Option<i64>, end: i64) -> i64 {
    match committed {
        Some(committed) => (end - committed).max(0),
        None if end <= 1 => 0,
        None => end,
    }
}

fn committed(group: &Group, partitions: PartitionId) -> KafkaResult<BTreeMap<PartitionId, i64>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&group.topic, 0, i32::from(partitions) - 1);
    let answer = group.client.committed_offsets(list, WAIT)?;
    // Nothing is assigned: what there is to poll are connection errors that were told already.
    while group.client.poll(Duration::ZERO).is_some() {}
    let known = answer.elements().into_iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        Some((PartitionId::try_from(element.partition()).ok()?, offset))
    });
    Ok(known.collect())
}

pub(super) fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default()).as_secs_f64()
}
