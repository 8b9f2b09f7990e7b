//! The log: topics in memory, and producers whose records land one by one, in order by partition.
//!
//! A record handed to a producer is on its way. It lands at a time of the run's choice, and its
//! acknowledgement arrives later still, or never: a crash leaves records behind that land after the
//! death of who sent them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::OwnedHeaders;
use steelyard::ledger::PartitionId;
use steelyard::log::Topics;
use steelyard::log::producer::{Acks, Append, AppendFailed};
use steelyard::wire::outcome::GenesisBody;
use steelyard::wire::record::GENESIS_KEY;
use tokio::sync::Notify;

use crate::breaks::Break;
use crate::check;
use crate::world::World;

/// The first part of every topic's name.
pub(crate) const PREFIX: &str = "sim";

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
            _ if name == topics.replies => Self::Replies,
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

/// A record on its way.
#[derive(Debug)]
pub(crate) struct Item {
    rec: Rec,
    acks: Arc<Acks>,
}

/// What one producer sends to one partition.
#[derive(Debug)]
struct Queue {
    producer: usize,
    topic: Topic,
    partition: PartitionId,
    items: VecDeque<Item>,
    /// Landed, and not acknowledged.
    landed: VecDeque<(Arc<Acks>, u64)>,
    /// Nobody listens any more.
    orphan: bool,
    busy: bool,
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
    queues: Vec<Queue>,
    by_way: BTreeMap<(usize, Topic, PartitionId), usize>,
    /// Queues in which something can happen.
    busy: Vec<usize>,
    /// By producer: whether it can go on.
    broken: Vec<bool>,
    pub(crate) readers: Vec<Reader>,
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
            queues: Vec::new(),
            by_way: BTreeMap::new(),
            busy: Vec::new(),
            broken: Vec::new(),
            readers: Vec::new(),
        }
    }

    pub(crate) fn line(&self, topic: Topic, partition: PartitionId) -> &Line {
        &self.lines[&(topic, partition)]
    }

    pub(crate) fn line_mut(&mut self, topic: Topic, partition: PartitionId) -> &mut Line {
        let line = self.lines.get_mut(&(topic, partition));
        line.expect("a partition of the log")
    }

    pub(crate) fn producer(&mut self) -> usize {
        self.broken.push(false);
        self.broken.len() - 1
    }

    pub(crate) fn is_broken(&self, producer: usize) -> bool {
        self.broken[producer]
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

    /// The next record that has arrived at `reader`, and its offset.
    pub(crate) fn take(&mut self, reader: usize) -> Option<(u64, Rec)> {
        let reading = &mut self.readers[reader];
        if !reading.on {
            return None;
        }
        let line = &self.lines[&(reading.topic, reading.partition)];
        assert!(
            reading.next >= line.low,
            "{:?}/{} was trimmed to {} before a reader at {}",
            reading.topic,
            reading.partition,
            line.low,
            reading.next
        );
        while reading.next < reading.arrived {
            let offset = reading.next;
            reading.next += 1;
            if let Some(rec) = line.get(offset) {
                return Some((offset, rec.clone()));
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

    pub(crate) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// The offset that a producer's next record gets if nobody comes before it.
    fn expected(&mut self, producer: usize, topic: Topic, partition: PartitionId) -> u64 {
        let at = self.queue(producer, topic, partition);
        self.line(topic, partition).end() + self.queues[at].items.len() as u64
    }

    fn queue(&mut self, producer: usize, topic: Topic, partition: PartitionId) -> usize {
        let next = self.queues.len();
        let at = *self
            .by_way
            .entry((producer, topic, partition))
            .or_insert(next);
        if at == next {
            self.queues.push(Queue {
                producer,
                topic,
                partition,
                items: VecDeque::new(),
                landed: VecDeque::new(),
                orphan: false,
                busy: false,
            });
        }
        at
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

    /// Takes a record from a producer's user.
    pub(crate) fn send(
        &mut self,
        producer: usize,
        append: Append<'_>,
        acks: &Arc<Acks>,
    ) -> Result<(), AppendFailed> {
        if self.log.is_broken(producer) {
            acks.expect();
            acks.settle(Err(AppendFailed));
            return Err(AppendFailed);
        }
        let topic = Topic::named(append.topic);
        let partition = append
            .partition
            .map_or(0, |number| number.try_into().unwrap());
        acks.expect();
        let rec = Rec {
            key: Bytes::copy_from_slice(append.key),
            value: Bytes::copy_from_slice(append.value),
            headers: append.headers,
            at_ms: 0,
        };
        let acks = match self.withheld(topic, partition, &rec) {
            None => acks.clone(),
            Some(lands) => {
                acks.settle(Ok(self.log.expected(producer, topic, partition)));
                if !lands {
                    return Ok(());
                }
                // Nobody waits for it any more.
                let other = Acks::open();
                other.expect();
                other
            }
        };
        let at = self.log.queue(producer, topic, partition);
        let item = Item { rec, acks };
        let queue = &mut self.log.queues[at];
        queue.items.push_back(item);
        if !std::mem::replace(&mut queue.busy, true) {
            self.log.busy.push(at);
        }
        Ok(())
    }

    /// Breaks a rule, if it is one of this road: whether a record that is acknowledged at once will
    /// land later.
    fn withheld(&mut self, topic: Topic, partition: PartitionId, rec: &Rec) -> Option<bool> {
        if self.is_broken(Break::EarlyAck) && topic == Topic::Outcomes {
            return (!check::is_claim(&rec.key)).then_some(true);
        }
        if self.is_broken(Break::NoResend)
            && topic == Topic::Commands
            && let Some((from, number)) = check::leg_of(rec)
        {
            let sent = &mut self.truth[usize::from(from)].offered[usize::from(partition)];
            let again = number <= *sent;
            *sent = number.max(*sent);
            return again.then_some(false);
        }
        None
    }

    /// Something happens to a record on its way: it lands, or its acknowledgement arrives.
    pub(crate) fn move_log(&mut self) {
        let choice = self.chance.index(self.log.busy.len());
        let at = self.log.busy[choice];
        let lands = self.chance.one_in(2);
        let queue = &mut self.log.queues[at];
        if let (Some((acks, offset)), true) = (
            queue.landed.front().cloned(),
            !lands || queue.items.is_empty(),
        ) {
            queue.landed.pop_front();
            acks.settle(Ok(offset));
        } else if let Some(item) = queue.items.pop_front() {
            let (topic, partition, orphan) = (queue.topic, queue.partition, queue.orphan);
            if orphan {
                self.reach("a record lands after its sender's death");
            }
            let offset = self.write(
                topic,
                partition,
                item.rec.key,
                item.rec.value,
                item.rec.headers,
            );
            self.log.queues[at].landed.push_back((item.acks, offset));
        }
        let queue = &mut self.log.queues[at];
        if queue.orphan {
            queue.landed.clear();
        }
        if queue.items.is_empty() && queue.landed.is_empty() {
            queue.busy = false;
            self.log.busy.swap_remove(choice);
        }
    }

    /// The producer dies, or breaks with its user alive: some of what is on its way still lands,
    /// nothing more is acknowledged.
    pub(crate) fn break_producer(&mut self, producer: usize, dies: bool) {
        self.log.broken[producer] = true;
        for at in 0..self.log.queues.len() {
            if self.log.queues[at].producer != producer || self.log.queues[at].orphan {
                continue;
            }
            let on_the_way = self.log.queues[at].items.len();
            let lands = self.chance.between(0, on_the_way as u64) as usize;
            let queue = &mut self.log.queues[at];
            queue.orphan = true;
            let failed: Vec<Arc<Acks>> = queue.items.iter().map(|item| item.acks.clone()).collect();
            let failed: Vec<_> = queue
                .landed
                .drain(..)
                .map(|(acks, _)| acks)
                .chain(failed)
                .collect();
            queue.items.truncate(lands);
            if on_the_way > 0 || !failed.is_empty() {
                self.reach("an acknowledgement never arrives");
            }
            if !dies {
                failed
                    .into_iter()
                    .for_each(|acks| acks.settle(Err(AppendFailed)));
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
