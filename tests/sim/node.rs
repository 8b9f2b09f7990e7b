//! A process that owns partitions: the processor's ports, answered by the world.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedMessage, Timestamp};
use redis::{ErrorKind, RedisError, RedisResult};
use steelyard::cold::base::Base;
use steelyard::cold::transaction::TransactionView;
use steelyard::hot::store::{Claimed, Entry, Step, Written};
use steelyard::ledger::PartitionId;
use steelyard::log::producer::{Acks, Append, AppendFailed};
use steelyard::log::reader::{Found, ReadError, Stretch};
use steelyard::processor::ports;
use steelyard::wire::{MarkerBody, Subject};
use tokio::sync::Notify;

use crate::breaks::Break;
use crate::check;
use crate::cold;
use crate::log::{Rec, Topic};
use crate::world::{Sim, World};

/// What one process has of the world.
#[derive(Clone)]
pub(crate) struct Node {
    sim: Sim,
    /// Its present producer.
    producer: Arc<Mutex<usize>>,
    /// The producer of replies, which may lose them.
    replies: usize,
}

impl Node {
    pub(crate) fn new(sim: &Sim) -> Self {
        let mut world = sim.lock();
        Self {
            sim: sim.clone(),
            producer: Arc::new(Mutex::new(world.log.ways.producer())),
            replies: world.log.ways.producer(),
        }
    }

    /// The producers in use.
    pub(crate) fn producers(&self) -> [usize; 2] {
        [
            *self.producer.lock().unwrap_or_else(PoisonError::into_inner),
            self.replies,
        ]
    }
}

impl ports::World for Node {
    type Inbox = Inbox;
    type Outbox = Outbox;
    type Hot = Hot;

    fn outbox(&self) -> Result<Outbox, KafkaError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut world = self.sim.lock();
        if world.log.ways.is_broken(*producer) {
            *producer = world.log.ways.producer();
        }
        Ok(Outbox {
            sim: self.sim.clone(),
            producer: *producer,
        })
    }

    fn offer(&self, append: Append<'_>, acks: &Arc<Acks>) {
        let _ = self.sim.lock().send(self.replies, append, acks);
    }

    fn hot(&self, partition: PartitionId) -> Hot {
        Hot {
            sim: self.sim.clone(),
            partition,
        }
    }

    async fn base(&self, partition: PartitionId) -> Result<Base, sqlx::Error> {
        self.sim.travel().await;
        let base = self.sim.lock().cold_base(partition);
        self.sim.travel().await;
        base
    }

    async fn transaction(
        &self,
        ledger: &str,
        reference: &str,
    ) -> Result<Option<TransactionView>, sqlx::Error> {
        self.sim.travel().await;
        let found = match self.sim.lock() {
            world if world.cold_is_away() => Err(cold::away()),
            world => Ok(world.cold_transaction(ledger, reference)),
        };
        self.sim.travel().await;
        found
    }

    async fn marker(&self, partition: PartitionId) -> Result<Option<MarkerBody>, sqlx::Error> {
        self.sim.travel().await;
        let marker = self.sim.lock().cold_marker(partition);
        self.sim.travel().await;
        marker
    }

    async fn bounds(&self, topic: &str, partition: PartitionId) -> Result<(u64, u64), ReadError> {
        self.sim.travel().await;
        let mut world = self.sim.lock();
        world.log_answers()?;
        let line = world.log.line(Topic::named(topic), partition);
        Ok((line.low, line.end()))
    }

    async fn read<S: Send + 'static>(
        &self,
        stretch: Stretch,
        mut state: S,
        mut each: impl FnMut(&mut S, Found<'_>) -> bool + Send + 'static,
    ) -> Result<S, ReadError> {
        let Stretch {
            topic,
            partition,
            from,
            end,
        } = stretch;
        if from >= end {
            return Ok(state);
        }
        self.sim.travel().await;
        let found: Vec<(u64, Rec)> = {
            let mut world = self.sim.lock();
            world.log_answers()?;
            let line = world.log.line(Topic::named(&topic), partition);
            if from < line.low {
                let low = line.low;
                return Err(ReadError::Trimmed {
                    topic,
                    partition,
                    from,
                    low,
                });
            }
            assert!(end <= line.end(), "nobody reads beyond the end");
            let topic = Topic::named(&topic);
            let end_read = world.cold.end_read[usize::from(partition)];
            let end = end_read.filter(|_| topic == Topic::Outcomes).unwrap_or(end);
            let mut found: Vec<(u64, Rec)> = (from..end)
                .filter_map(|offset| Some((offset, line.get(offset)?.clone())))
                .collect();
            if topic == Topic::Outcomes && line.low > 0 && from == line.low && world.cold_is_away()
            {
                world.reach("a takeover without cold reads trimmed outcomes");
            }
            if topic == Topic::Snapshots {
                found
                    .iter_mut()
                    .for_each(|(_, rec)| world.missift(partition, rec));
            }
            found
        };
        for (offset, rec) in &found {
            let (key, value) = (&rec.key, &rec.value);
            if !each(
                &mut state,
                Found {
                    offset: *offset,
                    key,
                    value,
                },
            ) {
                break;
            }
        }
        self.sim.travel().await;
        Ok(state)
    }

    fn now(&self) -> Instant {
        self.sim.instant()
    }

    fn clock_ms(&self) -> i64 {
        self.sim.clock_ms()
    }

    async fn sleep(&self, time: Duration) {
        self.sim.sleep(time).await;
    }
}

impl World {
    /// Whether a question to the log is answered.
    fn log_answers(&mut self) -> KafkaResult<()> {
        if self.now >= self.log.away_until {
            return Ok(());
        }
        self.reach("the log does not answer");
        let why = RDKafkaErrorCode::AllBrokersDown;
        Err(KafkaError::MessageConsumption(why))
    }
}

pub(crate) struct Outbox {
    sim: Sim,
    producer: usize,
}

impl ports::Outbox for Outbox {
    async fn append(&self, append: Append<'_>, acks: &Arc<Acks>) -> Result<(), AppendFailed> {
        self.sim.lock().send(self.producer, append, acks)
    }
}

/// One owner's commands.
pub(crate) struct Inbox {
    sim: Sim,
    partition: PartitionId,
    reader: usize,
    ready: Arc<Notify>,
}

impl Inbox {
    pub(crate) fn new(sim: &Sim, partition: PartitionId) -> Self {
        let ready = Arc::new(Notify::new());
        let reader = sim
            .lock()
            .log
            .reader(Topic::Commands, partition, ready.clone());
        Self {
            sim: sim.clone(),
            partition,
            reader,
            ready,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.sim.lock().log.readers[self.reader].on = false;
    }
}

impl ports::Inbox for Inbox {
    fn partition(&self) -> PartitionId {
        self.partition
    }

    async fn start(&self, offset: u64) -> KafkaResult<()> {
        self.sim.travel().await;
        self.sim.lock().log.seek(self.reader, offset);
        Ok(())
    }

    fn pause(&self) -> KafkaResult<()> {
        self.sim.lock().log.readers[self.reader].on = false;
        Ok(())
    }

    async fn ready(&self) {
        self.ready.notified().await;
    }

    fn next(&self) -> Option<KafkaResult<impl Message>> {
        let mut world = self.sim.lock();
        let (offset, mut rec) = match world.log.take(self.reader)? {
            Ok(taken) => taken,
            Err(trimmed) => {
                world.reach("commands are trimmed before a slow owner");
                return Some(Err(trimmed));
            }
        };
        if world.is_broken(Break::ExpiryByClock) && check::is_tick(&rec) {
            rec.at_ms = world.clock_ms();
        }
        Some(Ok(message(Topic::Commands, self.partition, offset, rec)))
    }

    /// What the group is told is in a marker already.
    fn commit(&self, next_offset: u64) {
        let world = self.sim.lock();
        let last = next_offset
            .checked_sub(1)
            .expect("a flush covers a command");
        check::must_be_landed(&world, self.partition, last, "the group's offset");
    }
}

/// A record as rdkafka hands it over.
pub(crate) fn message(topic: Topic, partition: PartitionId, offset: u64, rec: Rec) -> OwnedMessage {
    OwnedMessage::new(
        Some(rec.value.to_vec()),
        Some(rec.key.to_vec()),
        topic.name().to_owned(),
        Timestamp::CreateTime(rec.at_ms),
        partition.into(),
        i64::try_from(offset).unwrap(),
        rec.headers,
    )
}

/// One owner's way into hot.
pub(crate) struct Hot {
    sim: Sim,
    partition: PartitionId,
}

impl Hot {
    /// A call there and back. It may be lost on either way.
    async fn call<T>(&self, script: impl FnOnce(&mut World) -> T) -> RedisResult<T> {
        self.sim.travel().await;
        let reply = {
            let mut world = self.sim.lock();
            (!world.redis_is_away()).then(|| script(&mut world))
        };
        self.sim.travel().await;
        let mut world = self.sim.lock();
        match reply {
            Some(_) if world.redis_is_away() => {
                world.reach("a reply of hot is lost");
                Err(away())
            }
            Some(reply) => Ok(reply),
            None => {
                world.reach("hot is away");
                Err(away())
            }
        }
    }
}

pub(crate) fn away() -> RedisError {
    RedisError::from((ErrorKind::Io, "nobody answers"))
}

impl ports::HotStore for Hot {
    async fn claim(&mut self, epoch: u64) -> RedisResult<Claimed> {
        let partition = self.partition;
        self.call(|world| world.hot_claim(partition, epoch)).await
    }

    async fn write(&mut self, step: Step, values: &[Entry]) -> RedisResult<Written> {
        let partition = self.partition;
        self.call(|world| world.hot_write(partition, step, values))
            .await
    }

    async fn ping(&mut self) -> RedisResult<()> {
        self.call(|_| ()).await
    }

    async fn check_policy(&mut self) -> RedisResult<Result<(), String>> {
        self.call(|_| Ok(())).await
    }

    async fn wipe(&mut self, epoch: u64) -> RedisResult<()> {
        let partition = self.partition;
        self.call(|world| world.hot_wipe(partition, epoch)).await
    }

    async fn take_stale(&mut self) -> RedisResult<Vec<Subject>> {
        let partition = self.partition;
        self.call(|world| world.hot_take_stale(partition)).await
    }
}
