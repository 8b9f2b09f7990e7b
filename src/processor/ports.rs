//! What an owner of a partition needs of the world around it, and nothing more.
//!
//! The phases are written against these traits. [`super::services`] implements them with Kafka,
//! Redis and Postgres; the simulator with a world of its own, in which every future made here is a
//! point where another task, a fault or a crash may come first. Dispatch is static.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::error::{KafkaError, KafkaResult};
use redis::RedisResult;

use crate::cold::base::Base;
use crate::cold::transaction::TransactionView;
use crate::hot::store::{Claimed, Entry, Step, Written};
use crate::ledger::PartitionId;
use crate::log::producer::{Acks, Append, AppendFailed};
use crate::log::reader::{Found, ReadError, Stretch};
use crate::wire::{MarkerBody, Subject};

/// Everything outside of a partition's task.
pub trait World: Send + Sync + 'static {
    type Inbox: Inbox;
    type Outbox: Outbox;
    type Hot: HotStore;

    /// The producer of outcomes, legs and snapshots; a new one after the last one broke.
    ///
    /// # Errors
    /// If there can be none.
    fn outbox(&self) -> Result<Self::Outbox, KafkaError>;

    /// Hands over a record that may be lost; never waits.
    fn offer(&self, append: Append<'_>, acks: &Arc<Acks>);

    /// The owner's way into hot.
    fn hot(&self, partition: PartitionId) -> Self::Hot;

    /// One consistent read of cold.
    fn base(
        &self,
        partition: PartitionId,
    ) -> impl Future<Output = Result<Base, sqlx::Error>> + Send;

    /// The transaction of `reference` in `ledger`, as far as cold has it.
    fn transaction(
        &self,
        ledger: &str,
        reference: &str,
    ) -> impl Future<Output = Result<Option<TransactionView>, sqlx::Error>> + Send;

    /// The marker that cold accepted last: its watermark alone.
    fn marker(
        &self,
        partition: PartitionId,
    ) -> impl Future<Output = Result<Option<MarkerBody>, sqlx::Error>> + Send;

    /// The first and the next offset of a partition.
    fn bounds(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> impl Future<Output = Result<(u64, u64), ReadError>> + Send;

    /// Reads a stretch of the log into `state`, until `each` says that it is enough. A panic of
    /// `each` is the caller's.
    fn read<S: Send + 'static>(
        &self,
        stretch: Stretch,
        state: S,
        each: impl FnMut(&mut S, Found<'_>) -> bool + Send + 'static,
    ) -> impl Future<Output = Result<S, ReadError>> + Send;

    /// For measuring and pacing; no decision depends on it.
    fn now(&self) -> Instant;

    /// Milliseconds since the epoch, for operators to read.
    fn clock_ms(&self) -> i64;

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// The commands of one partition, from [`Inbox::start`] on.
pub trait Inbox: Send + Sync + 'static {
    fn partition(&self) -> PartitionId;

    /// Reads from `offset` on.
    fn start(&self, offset: u64) -> impl Future<Output = KafkaResult<()>> + Send;

    /// Stops reading; what has arrived is dropped.
    ///
    /// # Errors
    /// If the client refuses.
    fn pause(&self) -> KafkaResult<()>;

    /// Waits until something has arrived. May return once too often, never once too seldom.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    /// The next record that has arrived.
    fn next(&self) -> Option<KafkaResult<impl Message>>;

    /// Shows the group how far this partition is.
    fn commit(&self, next_offset: u64);
}

/// Appends to the log: those of one task to one partition stay in order, and after one that failed
/// nothing more is appended.
pub trait Outbox: Send + Sync + 'static {
    /// Hands a record over; waits while there is no room.
    fn append(
        &self,
        append: Append<'_>,
        acks: &Arc<Acks>,
    ) -> impl Future<Output = Result<(), AppendFailed>> + Send;

    /// Appends one record and waits for it. The offset it got.
    fn append_one(
        &self,
        append: Append<'_>,
    ) -> impl Future<Output = Result<u64, AppendFailed>> + Send {
        async move {
            let acks = Acks::open();
            self.append(append, &acks).await?;
            acks.wait().await?.ok_or(AppendFailed)
        }
    }
}

/// The owner's side of hot: see [`crate::hot::store::Store`].
pub trait HotStore: Send + Sync + 'static {
    fn claim(&mut self, epoch: u64) -> impl Future<Output = RedisResult<Claimed>> + Send;

    fn write(
        &mut self,
        step: Step,
        values: &[Entry],
    ) -> impl Future<Output = RedisResult<Written>> + Send;

    fn ping(&mut self) -> impl Future<Output = RedisResult<()>> + Send;

    fn check_policy(&mut self) -> impl Future<Output = RedisResult<Result<(), String>>> + Send;

    fn wipe(&mut self, epoch: u64) -> impl Future<Output = RedisResult<()>> + Send;

    fn take_stale(&mut self) -> impl Future<Output = RedisResult<Vec<Subject>>> + Send;
}
