//! A sink's process: the sinks' ports, answered by the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use rdkafka::message::OwnedMessage;
use redis::RedisResult;
use steelyard::cold::balances::{Stands, Sums, Verdict};
use steelyard::cold::holds;
use steelyard::cold::journal::{Conflict, Month, Part};
use steelyard::cold::write::{Checkpoint, Move, Sink, Written};
use steelyard::ledger::{BalanceId, PartitionId};
use steelyard::log::follower::{Change, Next};
use steelyard::sink::ports;
use steelyard::wire::Subject;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::cold;
use crate::log::Topic;
use crate::node::{away, message};
use crate::world::{Sim, World};

/// What one sink has of the world.
pub(crate) struct Desk {
    pub(crate) sim: Sim,
    /// The partitions that the group gives it, and whatever it knows of them.
    pub(crate) share: Arc<Mutex<Share>>,
    pub(crate) changed: Arc<Notify>,
}

/// One member's share of the group.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Given, and not told yet.
    given: BTreeSet<PartitionId>,
    taken: BTreeSet<PartitionId>,
    waiting: BTreeSet<PartitionId>,
    /// By partition, its reader.
    started: BTreeMap<PartitionId, usize>,
    paused: bool,
}

impl Share {
    fn stop_reading(&self, sim: &Sim) {
        let mut world = sim.lock();
        for reader in self.started.values() {
            world.log.readers[*reader].on = false;
        }
    }
}

impl Desk {
    pub(crate) fn new(sim: &Sim) -> Self {
        Self {
            sim: sim.clone(),
            share: Arc::default(),
            changed: Arc::default(),
        }
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group gives it a partition.
    pub(crate) fn give(&self, partition: PartitionId) {
        let mut share = self.share();
        if !share.started.contains_key(&partition) && share.waiting.insert(partition) {
            share.given.insert(partition);
            self.changed.notify_one();
        }
    }

    /// The group takes a partition away.
    pub(crate) fn take(&self, partition: PartitionId) {
        let mut share = self.share();
        share.given.remove(&partition);
        share.waiting.remove(&partition);
        if let Some(reader) = share.started.remove(&partition) {
            share.taken.insert(partition);
            self.sim.lock().log.readers[reader].on = false;
        }
        self.changed.notify_one();
    }

    /// The member is gone.
    pub(crate) fn die(&self) {
        let share = std::mem::take(&mut *self.share());
        share.stop_reading(&self.sim);
    }

    /// A statement there and back; it may be lost on either way.
    async fn statement<T>(&self, run: impl FnOnce(&mut World) -> T) -> Result<T, sqlx::Error> {
        self.sim.travel().await;
        let reply = {
            let mut world = self.sim.lock();
            (!world.cold_is_away()).then(|| run(&mut world))
        };
        self.sim.travel().await;
        let mut world = self.sim.lock();
        match reply {
            Some(_) if world.cold_is_away() => {
                world.reach("a reply of cold is lost");
                Err(cold::away())
            }
            Some(reply) => Ok(reply),
            None => {
                world.reach("cold is away");
                Err(cold::away())
            }
        }
    }
}

impl ports::World for Desk {
    type Feed = Feed;
    type Hot = Notes;

    fn follow(&self, sink: Sink) -> anyhow::Result<Feed> {
        let topic = match sink {
            Sink::Journal => Topic::Outcomes,
            Sink::Balances => Topic::Snapshots,
        };
        Ok(Feed {
            sim: self.sim.clone(),
            topic,
            share: self.share.clone(),
            changed: self.changed.clone(),
        })
    }

    fn hot(&self) -> anyhow::Result<Notes> {
        Ok(Notes {
            sim: self.sim.clone(),
            notes: BTreeMap::new(),
        })
    }

    async fn foreign_generation(&self) -> Result<Option<Uuid>, sqlx::Error> {
        self.statement(|_| None).await
    }

    async fn checkpoints(
        &self,
        sink: Sink,
        partitions: &[PartitionId],
    ) -> Result<Vec<Checkpoint>, sqlx::Error> {
        let read = |world: &mut World| {
            partitions
                .iter()
                .map(|p| world.cold.checkpoint(sink, *p))
                .collect()
        };
        self.statement(read).await
    }

    async fn sums(&self, partition: PartitionId) -> Result<Sums, sqlx::Error> {
        self.statement(|world| world.cold_sums(partition)).await
    }

    async fn write_balances<'a>(
        &self,
        moves: &[Move],
        touched: (&[Uuid], &[holds::Key]),
        judge: impl FnOnce(&Stands) -> Verdict<'a> + Send,
    ) -> Result<Written<()>, sqlx::Error> {
        self.statement(|world| world.cold_balances(moves, touched, judge))
            .await
    }

    async fn ensure_months(&self, _: &[Month]) -> Result<(), sqlx::Error> {
        self.statement(|_| ()).await
    }

    async fn write_journal(
        &self,
        moves: &[Move],
        parts: &[&Part],
    ) -> Result<Written<Vec<Conflict>>, sqlx::Error> {
        let written = self
            .statement(|world| world.cold_journal(moves, parts))
            .await?;
        Ok(match written {
            Some(conflicts) => Written::Done(conflicts),
            None => Written::Moved,
        })
    }

    fn now(&self) -> Instant {
        self.sim.instant()
    }

    async fn sleep(&self, time: Duration) {
        self.sim.sleep(time).await;
    }
}

/// A topic as this member reads it.
pub(crate) struct Feed {
    sim: Sim,
    topic: Topic,
    share: Arc<Mutex<Share>>,
    changed: Arc<Notify>,
}

impl Feed {
    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> Option<Change> {
        let mut share = self.share();
        if !share.taken.is_empty() {
            return Some(Change::Taken(std::mem::take(&mut share.taken)));
        }
        let given = std::mem::take(&mut share.given);
        (!given.is_empty()).then_some(Change::Given(given))
    }

    fn record(&self) -> Option<OwnedMessage> {
        let share = self.share();
        if share.paused {
            return None;
        }
        let mut world = self.sim.lock();
        share.started.iter().find_map(|(partition, reader)| {
            // One that retention has passed by is not its partition's sink any more: nothing comes.
            let (offset, rec) = world.log.take(*reader)?.ok()?;
            Some(message(self.topic, *partition, offset, rec))
        })
    }
}

impl ports::Feed for Feed {
    type Message<'a> = OwnedMessage;

    async fn next(&self) -> KafkaResult<Next<OwnedMessage>> {
        loop {
            if let Some(change) = self.change() {
                return Ok(Next::Change(change));
            }
            if let Some(record) = self.record() {
                return Ok(Next::Record(record));
            }
            self.changed.notified().await;
        }
    }

    fn taken(&self) -> BTreeSet<PartitionId> {
        std::mem::take(&mut self.share().taken)
    }

    fn drain(&self, mut take: impl FnMut(&OwnedMessage) -> bool) -> KafkaResult<()> {
        while let Some(record) = self.record() {
            if !take(&record) {
                break;
            }
        }
        Ok(())
    }

    fn start(&self, positions: BTreeMap<PartitionId, u64>) -> KafkaResult<BTreeSet<PartitionId>> {
        let mut share = self.share();
        let mut world = self.sim.lock();
        let mut started = BTreeSet::new();
        for (partition, offset) in positions {
            if share.waiting.remove(&partition) {
                share.given.remove(&partition);
                let reader = world
                    .log
                    .reader(self.topic, partition, self.changed.clone());
                world.log.seek(reader, offset);
                share.started.insert(partition, reader);
                started.insert(partition);
            }
        }
        Ok(started)
    }

    fn seek(&self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()> {
        let share = self.share();
        let mut world = self.sim.lock();
        for (partition, offset) in positions {
            if let Some(reader) = share.started.get(partition) {
                world.log.seek(*reader, *offset);
            }
        }
        Ok(())
    }

    async fn idle(&mut self, time: Duration) -> KafkaResult<()> {
        self.share().paused = true;
        self.sim.sleep(time).await;
        Ok(())
    }

    fn resume(&mut self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()> {
        if std::mem::take(&mut self.share().paused) {
            self.seek(positions)?;
            self.changed.notify_one();
        }
        Ok(())
    }

    fn commit(&self, positions: &BTreeMap<PartitionId, u64>) {
        let world = self.sim.lock();
        for (partition, offset) in positions {
            let end = world.log.line(self.topic, *partition).end();
            assert!(*offset <= end, "a sink says it has read {offset} of {end}");
        }
    }

    async fn leave(self, _: BTreeMap<PartitionId, u64>) {
        let share = std::mem::take(&mut *self.share());
        share.stop_reading(&self.sim);
        self.sim.travel().await;
    }
}

/// What is to be left in hot for one partition.
#[derive(Debug, Default)]
struct Note {
    accepted: Option<u64>,
    synced: BTreeMap<BalanceId, u64>,
    stale: BTreeSet<Subject>,
}

/// The sink's way into hot.
pub(crate) struct Notes {
    sim: Sim,
    notes: BTreeMap<PartitionId, Note>,
}

impl ports::Hot for Notes {
    fn note(
        &mut self,
        partition: PartitionId,
        accepted: u64,
        synced: impl IntoIterator<Item = (BalanceId, u64)>,
    ) {
        let note = self.notes.entry(partition).or_default();
        note.accepted = note.accepted.max(Some(accepted));
        note.synced.extend(synced);
    }

    fn name_stale(&mut self, partition: PartitionId, stale: impl IntoIterator<Item = Subject>) {
        self.notes.entry(partition).or_default().stale.extend(stale);
    }

    async fn leave(&mut self) -> RedisResult<()> {
        while let Some((partition, note)) = self.notes.pop_first() {
            self.sim.travel().await;
            let synced: Vec<_> = note
                .synced
                .iter()
                .map(|(id, version)| (*id, *version))
                .collect();
            let mut world = self.sim.lock();
            if world.redis_is_away() {
                self.notes.insert(partition, note);
                return Err(away());
            }
            world.hot_synced(partition, note.accepted, &synced, &note.stale);
        }
        Ok(())
    }
}
