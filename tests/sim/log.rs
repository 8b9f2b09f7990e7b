//! The log: topics in memory, and where who reads them is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use steelyard::ledger::PartitionId;
use steelyard::log::Topics;
use steelyard::wire::outcome::GenesisBody;
use steelyard::wire::record::GENESIS_KEY;
use tokio::sync::Notify;

use crate::check;
use crate::ways::Ways;
use crate::world::World;

/// The first part of every topic's name.
pub(crate) const PREFIX: &str = "sim";
/// A topic of somebody else's, that replies may be sent to.
pub(crate) const ELSEWHERE: &str = "elsewhere";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Commands,
    Outcomes,
    Snapshots,
    Replies,
    DeadLetters,
}

impl Topic {
    pub(crate) fn named(name: &str) -> Self {
        let topics = Topics::new(PREFIX);
        match name {
            _ if name == topics.commands => Self::Commands,
            _ if name == topics.outcomes => Self::Outcomes,
            _ if name == topics.snapshots => Self::Snapshots,
            _ if name == topics.replies || name == ELSEWHERE => Self::Replies,
            _ if name == topics.dead_letters => Self::DeadLetters,
            _ => panic!("nobody knows the topic {name}"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Outcomes => "outcomes",
            Self::Snapshots => "snapshots",
            Self::Replies => "replies",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// A record on the log.
#[derive(Clone, Debug)]
pub(crate) struct Rec {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) headers: Option<OwnedHeaders>,
    pub(crate) at_ms: i64,
}

/// One partition of a topic; what compaction took is gone, its offset is not.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) low: u64,
    records: VecDeque<Option<Rec>>,
}

impl Line {
    pub(crate) fn end(&self) -> u64 {
        self.low + self.records.len() as u64
    }

    pub(crate) fn get(&self, offset: u64) -> Option<&Rec> {
        let at = usize::try_from(offset.checked_sub(self.low)?).ok()?;
        self.records.get(at)?.as_ref()
    }

    /// Drops everything before `offset`.
    pub(crate) fn trim(&mut self, offset: u64) {
        while self.low < offset.min(self.end()) {
            self.records.pop_front();
            self.low += 1;
        }
    }

    /// Keeps the newest record of every key among those before `end`.
    pub(crate) fn compact(&mut self, end: u64) {
        let mut newest = BTreeMap::new();
        for offset in self.low..self.end() {
            if let Some(rec) = self.get(offset) {
                newest.insert(rec.key.clone(), offset);
            }
        }
        for (at, slot) in self.records.iter_mut().enumerate() {
            let offset = self.low + at as u64;
            let superseded = |rec: &Rec| newest.get(&rec.key) != Some(&offset);
            if offset < end && slot.as_ref().is_some_and(superseded) {
                *slot = None;
            }
        }
    }
}

/// Where one reader of one partition is.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) topic: Topic,
    pub(crate) partition: PartitionId,
    pub(crate) next: u64,
    /// What has arrived ends here.
    pub(crate) arrived: u64,
    pub(crate) on: bool,
    pub(crate) ready: Arc<Notify>,
}

#[derive(Debug)]
pub(crate) struct Log {
    count: PartitionId,
    lines: BTreeMap<(Topic, PartitionId), Line>,
    pub(crate) ways: Ways,
    pub(crate) readers: Vec<Reader>,
    /// Nothing can be asked of it until then; what was sent still lands.
    pub(crate) away_until: Duration,
}

impl Log {
    pub(crate) fn new(count: PartitionId) -> Self {
        let mut lines = BTreeMap::new();
        for topic in [Topic::Commands, Topic::Outcomes, Topic::Snapshots] {
            lines.extend((0..count).map(|partition| ((topic, partition), Line::default())));
        }
        Self {
            count,
            lines,
            ways: Ways::default(),
            readers: Vec::new(),
            away_until: Duration::ZERO,
        }
    }

    pub(crate) fn line(&self, topic: Topic, partition: PartitionId) -> &Line {
        &self.lines[&(topic, partition)]
    }

    pub(crate) fn line_mut(&mut self, topic: Topic, partition: PartitionId) -> &mut Line {
        let line = self.lines.get_mut(&(topic, partition));
        line.expect("a partition of the log")
    }

    /// Begins to read; nothing has arrived.
    pub(crate) fn reader(
        &mut self,
        topic: Topic,
        partition: PartitionId,
        ready: Arc<Notify>,
    ) -> usize {
        self.readers.push(Reader {
            topic,
            partition,
            next: 0,
            arrived: 0,
            on: false,
            ready,
        });
        self.readers.len() - 1
    }

    /// The next record that has arrived at `reader`, and its offset; an error where retention was
    /// faster.
    pub(crate) fn take(&mut self, reader: usize) -> Option<KafkaResult<(u64, Rec)>> {
        let reading = &mut self.readers[reader];
        if !reading.on {
            return None;
        }
        let line = &self.lines[&(reading.topic, reading.partition)];
        if reading.next < line.low {
            let trimmed = RDKafkaErrorCode::AutoOffsetReset;
            return Some(Err(KafkaError::MessageConsumption(trimmed)));
        }
        while reading.next < reading.arrived {
            let offset = reading.next;
            reading.next += 1;
            if let Some(rec) = line.get(offset) {
                return Some(Ok((offset, rec.clone())));
            }
        }
        None
    }

    /// Lets a reader start at `offset`.
    pub(crate) fn seek(&mut self, reader: usize, offset: u64) {
        let reading = &mut self.readers[reader];
        reading.on = true;
        reading.next = offset;
        reading.arrived = offset;
    }

    /// How much has not arrived at `reader` yet.
    pub(crate) fn behind(&self, reader: usize) -> u64 {
        let reading = &self.readers[reader];
        match reading.on {
            true => self
                .line(reading.topic, reading.partition)
                .end()
                .saturating_sub(reading.arrived),
            false => 0,
        }
    }
}

impl World {
    /// Every partition of every topic begins with the genesis record.
    pub(crate) fn genesis(&mut self) {
        let body = GenesisBody {
            generation: self.setting.generation,
            horizon_seconds: self.setting.horizon_seconds,
        };
        let value = Bytes::from(serde_json::to_vec(&body).unwrap());
        for partition in 0..self.count {
            for topic in [Topic::Commands, Topic::Outcomes, Topic::Snapshots] {
                self.write(
                    topic,
                    partition,
                    GENESIS_KEY.as_bytes().into(),
                    value.clone(),
                    None,
                );
            }
        }
    }

    /// Puts a record on the log. Every promise about records is checked here.
    pub(crate) fn write(
        &mut self,
        topic: Topic,
        partition: PartitionId,
        key: Bytes,
        value: Bytes,
        headers: Option<OwnedHeaders>,
    ) -> u64 {
        let at_ms = self.clock_ms() + self.skew_ms[usize::from(partition)];
        let rec = Rec {
            key,
            value,
            headers,
            at_ms,
        };
        self.tell(topic.name(), partition.into(), &rec.value);
        check::lands(self, topic, partition, &rec);
        if matches!(topic, Topic::Replies | Topic::DeadLetters) {
            return 0;
        }
        let line = self.log.line_mut(topic, partition);
        line.records.push_back(Some(rec));
        let offset = line.end() - 1;
        check::landed(self, topic, partition, offset);
        offset
    }

    /// Some of what is on the log arrives at a reader; whether there was any.
    pub(crate) fn arrive(&mut self, reader: usize) -> bool {
        let behind = self.log.behind(reader);
        if behind == 0 {
            return false;
        }
        let more = self.chance.between(1, behind.min(32));
        let reading = &mut self.log.readers[reader];
        reading.arrived += more;
        reading.ready.notify_one();
        true
    }

    pub(crate) fn partitions(&self) -> std::ops::Range<PartitionId> {
        0..self.log.count
    }
}
