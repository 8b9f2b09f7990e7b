//! What the sinks need of the world around them, and nothing more.
//!
//! [`super::services`] implements these traits with Kafka, Postgres and Redis; the simulator with a
//! world of its own. Dispatch is static.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::error::KafkaResult;
use redis::RedisResult;
use uuid::Uuid;

use crate::cold::balances::{Stands, Sums, Verdict};
use crate::cold::holds;
use crate::cold::journal::{Conflict, Month, Part};
use crate::cold::write::{Checkpoint, Move, Sink, Written};
use crate::ledger::{BalanceId, PartitionId};
use crate::log::follower::Next;
use crate::wire::Subject;

/// Everything outside of a sink. What it reads and writes of cold is as in [`crate::cold`].
pub trait World: Send + Sync + 'static {
    type Feed: Feed;
    type Hot: Hot;

    /// Joins the group that follows the topic of `sink`.
    ///
    /// # Errors
    /// If the client refuses its settings.
    fn follow(&self, sink: Sink) -> anyhow::Result<Self::Feed>;

    /// The sink's way into hot.
    ///
    /// # Errors
    /// If the client refuses its settings.
    fn hot(&self) -> anyhow::Result<Self::Hot>;

    fn foreign_generation(&self) -> impl Future<Output = Result<Option<Uuid>, sqlx::Error>> + Send;

    fn checkpoints(
        &self,
        sink: Sink,
        partitions: &[PartitionId],
    ) -> impl Future<Output = Result<Vec<Checkpoint>, sqlx::Error>> + Send;

    fn sums(
        &self,
        partition: PartitionId,
    ) -> impl Future<Output = Result<Sums, sqlx::Error>> + Send;

    fn write_balances<'a>(
        &self,
        moves: &[Move],
        touched: (&[Uuid], &[holds::Key]),
        judge: impl FnOnce(&Stands) -> Verdict<'a> + Send,
    ) -> impl Future<Output = Result<Written<()>, sqlx::Error>> + Send;

    fn ensure_months(
        &self,
        months: &[Month],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn write_journal(
        &self,
        moves: &[Move],
        parts: &[&Part],
    ) -> impl Future<Output = Result<Written<Vec<Conflict>>, sqlx::Error>> + Send;

    /// For measuring and pacing.
    fn now(&self) -> Instant;

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// A topic as a member of a group reads it: see [`crate::log::follower::Follower`].
pub trait Feed: Send + Sync + Sized + 'static {
    type Message<'a>: Message + Send;

    fn next(&self) -> impl Future<Output = KafkaResult<Next<Self::Message<'_>>>> + Send;

    fn taken(&self) -> BTreeSet<PartitionId>;

    fn drain(&self, take: impl FnMut(&Self::Message<'_>) -> bool) -> KafkaResult<()>;

    fn start(&self, positions: BTreeMap<PartitionId, u64>) -> KafkaResult<BTreeSet<PartitionId>>;

    fn seek(&self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()>;

    fn idle(&mut self, time: Duration) -> impl Future<Output = KafkaResult<()>> + Send;

    fn resume(&mut self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()>;

    /// Shows the group how far the partitions are, without waiting.
    fn commit(&self, positions: &BTreeMap<PartitionId, u64>);

    fn leave(self, positions: BTreeMap<PartitionId, u64>) -> impl Future<Output = ()> + Send;
}

/// What is left in hot: see [`crate::hot::synced::Synced`].
pub trait Hot: Send + Sync + 'static {
    fn note(
        &mut self,
        partition: PartitionId,
        accepted: u64,
        synced: impl IntoIterator<Item = (BalanceId, u64)>,
    );

    fn name_stale(&mut self, partition: PartitionId, stale: impl IntoIterator<Item = Subject>);

    fn leave(&mut self) -> impl Future<Output = RedisResult<()>> + Send;
}
