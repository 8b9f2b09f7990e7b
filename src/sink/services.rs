//! The world as it is in service: Kafka, Postgres and Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::consumer::CommitMode;
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;
use redis::RedisResult;
use sqlx::PgPool;
use uuid::Uuid;

use super::Options;
use super::ports::{Feed, Hot, World};
use crate::cold::balances::{self, Stands, Sums, Verdict};
use crate::cold::holds;
use crate::cold::journal::{self, Conflict, Month, Part};
use crate::cold::write::{self, Checkpoint, Move, Sink, Written};
use crate::hot::synced::Synced;
use crate::ledger::{BalanceId, PartitionId};
use crate::log::follower::{Follower, Membership, Next};
use crate::wire::Subject;
use crate::{hot, log};

/// Where the sinks read and write.
#[derive(Clone, Debug)]
pub struct Services {
    pub log: log::Options,
    pub hot: hot::Options,
    pub pool: PgPool,
    /// The log's identity.
    pub generation: Uuid,
    pub options: Options,
}

impl World for Services {
    type Feed = Follower;
    type Hot = Synced;

    fn follow(&self, sink: Sink) -> anyhow::Result<Follower> {
        let topics = self.log.topics();
        let topic = match sink {
            Sink::Journal => topics.outcomes,
            Sink::Balances => topics.snapshots,
        };
        let membership = Membership {
            topic: &topic,
            group: &self.log.group(super::role(sink)),
            instance: self.options.sink_instance.as_deref(),
        };
        Follower::join(&self.log, membership).with_context(|| format!("cannot follow {topic}"))
    }

    fn hot(&self) -> anyhow::Result<Synced> {
        let time_to_live = Duration::from_secs(self.options.hot_ttl_seconds.into());
        Synced::new(&self.hot, self.generation, time_to_live)
            .context("the Redis URL cannot be read")
    }

    async fn foreign_generation(&self) -> Result<Option<Uuid>, sqlx::Error> {
        write::foreign_generation(&self.pool, self.generation).await
    }

    async fn checkpoints(
        &self,
        sink: Sink,
        partitions: &[PartitionId],
    ) -> Result<Vec<Checkpoint>, sqlx::Error> {
        write::checkpoints(&self.pool, sink, partitions, self.generation).await
    }

    async fn sums(&self, partition: PartitionId) -> Result<Sums, sqlx::Error> {
        balances::sums(&self.pool, partition).await
    }

    async fn write_balances<'a>(
        &self,
        moves: &[Move],
        touched: (&[Uuid], &[holds::Key]),
        judge: impl FnOnce(&Stands) -> Verdict<'a> + Send,
    ) -> Result<Written<()>, sqlx::Error> {
        balances::write(&self.pool, moves, touched, judge).await
    }

    async fn ensure_months(&self, months: &[Month]) -> Result<(), sqlx::Error> {
        journal::ensure_months(&self.pool, months).await
    }

    async fn write_journal(
        &self,
        moves: &[Move],
        parts: &[&Part],
    ) -> Result<Written<Vec<Conflict>>, sqlx::Error> {
        journal::write(&self.pool, moves, parts).await
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl Feed for Follower {
    type Message<'a> = BorrowedMessage<'a>;

    async fn next(&self) -> KafkaResult<Next<BorrowedMessage<'_>>> {
        self.next().await
    }

    fn taken(&self) -> BTreeSet<PartitionId> {
        self.taken()
    }

    fn drain(&self, take: impl FnMut(&BorrowedMessage<'_>) -> bool) -> KafkaResult<()> {
        self.drain(take)
    }

    fn start(&self, positions: BTreeMap<PartitionId, u64>) -> KafkaResult<BTreeSet<PartitionId>> {
        self.start(positions)
    }

    fn seek(&self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()> {
        self.seek(positions)
    }

    async fn idle(&mut self, time: Duration) -> KafkaResult<()> {
        self.idle(time).await
    }

    fn resume(&mut self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()> {
        self.resume(positions)
    }

    fn commit(&self, positions: &BTreeMap<PartitionId, u64>) {
        self.commit(positions, CommitMode::Async);
    }

    async fn leave(self, positions: BTreeMap<PartitionId, u64>) {
        self.leave(positions).await;
    }
}

impl Hot for Synced {
    fn note(
        &mut self,
        partition: PartitionId,
        accepted: u64,
        synced: impl IntoIterator<Item = (BalanceId, u64)>,
    ) {
        self.note(partition, accepted, synced);
    }

    fn name_stale(&mut self, partition: PartitionId, stale: impl IntoIterator<Item = Subject>) {
        self.name_stale(partition, stale);
    }

    async fn leave(&mut self) -> RedisResult<()> {
        self.leave().await
    }
}
