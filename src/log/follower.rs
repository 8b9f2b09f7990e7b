//! Reads a topic as one member of a consumer group, from positions that are kept elsewhere.
//!
//! The group only shares out partitions and shows operators the lag. Where to read is said by
//! whoever follows: a partition that is given to this member waits, unread, until
//! [`Follower::start`] names its offset. Nothing is ever reset to an end of the topic; an offset
//! that the topic does not have any more is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Options;
pub use super::shares::Change;
use super::shares::{Shares, assign};
use crate::ledger::PartitionId;

/// What happened next.
#[derive(Debug)]
pub enum Next<M> {
    Record(M),
    Change(Change),
}

/// Which part of the log to follow, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    pub topic: &'a str,
    pub group: &'a str,
    /// A static member of the group keeps its partitions over a restart.
    pub instance: Option<&'a str>,
}

pub struct Follower {
    consumer: StreamConsumer<Shares>,
    topic: String,
    paused: bool,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Follower {
    /// Joins the group.
    pub fn join(options: &Options, membership: Membership<'_>) -> KafkaResult<Self> {
        let config = config(options, membership);
        let consumer: StreamConsumer<Shares> = config.create_with_context(Shares::default())?;
        consumer.subscribe(&[membership.topic])?;
        Ok(Self {
            consumer,
            topic: membership.topic.to_owned(),
            paused: false,
        })
    }

    /// Waits for a record or a change. Dropped while it waits, it loses nothing.
    ///
    /// # Errors
    /// If reading cannot go on. What passes by itself, a broker that is away, is only logged.
    pub async fn next(&self) -> KafkaResult<Next<BorrowedMessage<'_>>> {
        loop {
            if let Some(change) = self.consumer.context().change() {
                return Ok(Next::Change(change));
            }
            tokio::select! {
                () = self.consumer.context().changed.notified() => {}
                result = self.consumer.recv() => match result {
                    Ok(message) => return Ok(Next::Record(message)),
                    Err(error) if lasting(&error) => return Err(error),
                    Err(error) => debug!(%error, topic = self.topic, "the log is away"),
                },
            }
        }
    }

    /// The partitions that were taken since the last call.
    pub fn taken(&self) -> BTreeSet<PartitionId> {
        self.consumer.context().taken()
    }

    /// Hands over what has arrived already, until `take` answers that it has enough.
    ///
    /// # Errors
    /// As [`Follower::next`].
    pub fn drain(&self, mut take: impl FnMut(&BorrowedMessage<'_>) -> bool) -> KafkaResult<()> {
        let mut stream = self.consumer.stream();
        loop {
            match stream.next().now_or_never().flatten() {
                None => return Ok(()),
                Some(Ok(message)) => {
                    if !take(&message) {
                        return Ok(());
                    }
                }
                Some(Err(error)) if lasting(&error) => return Err(error),
                Some(Err(error)) => debug!(%error, topic = self.topic, "the log is away"),
            }
        }
    }

    /// Starts reading partitions that were given, each at its offset, and answers which: one that
    /// was taken since is left alone.
    pub fn start(
        &self,
        mut positions: BTreeMap<PartitionId, u64>,
    ) -> KafkaResult<BTreeSet<PartitionId>> {
        self.consumer.context().start(&mut positions);
        let list = self.list(&positions)?;
        assign(&self.consumer, &list)?;
        if self.paused {
            self.consumer.pause(&list)?;
        }
        Ok(positions.into_keys().collect())
    }

    /// Goes on at other offsets. Whoever has nothing, because others have taken all of it, stays
    /// as it is: the client refuses a list of nothing.
    pub fn seek(&self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let list = self.list(positions)?;
        self.consumer
            .seek_partitions(list, Duration::from_secs(5))
            .map(drop)
    }

    /// Keeps the membership for a while without reading on. The next [`Follower::resume`] says
    /// where to read.
    pub async fn idle(&mut self, duration: Duration) -> KafkaResult<()> {
        if !self.paused {
            self.consumer.pause(&self.started()?)?;
            self.paused = true;
        }
        let consumer = &self.consumer;
        let poll = async {
            loop {
                match consumer.recv().await {
                    Err(error) if lasting(&error) => return error,
                    Ok(_) | Err(_) => {}
                }
            }
        };
        tokio::select! {
            () = sleep(duration) => Ok(()),
            error = poll => Err(error),
        }
    }

    /// Reads on after [`Follower::idle`], each partition at its offset.
    pub fn resume(&mut self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()> {
        if !self.paused {
            return Ok(());
        }
        self.seek(positions)?;
        self.consumer.resume(&self.started()?)?;
        self.paused = false;
        Ok(())
    }

    /// Shows the group how far the partitions are. Nothing rests on it: it is for lag tools.
    pub fn commit(&self, positions: &BTreeMap<PartitionId, u64>, mode: CommitMode) {
        let committed = self
            .list(positions)
            .and_then(|list| self.consumer.commit(&list, mode));
        if let Err(error) = committed {
            debug!(%error, topic = self.topic, "the group's offsets were not committed");
        }
    }

    /// Shows the group where the partitions ended, and leaves it. Takes as long as the broker
    /// does, on a thread of its own.
    pub async fn leave(self, positions: BTreeMap<PartitionId, u64>) {
        let leave = move || self.commit(&positions, CommitMode::Sync);
        let left = tokio::task::spawn_blocking(leave).await;
        if let Err(error) = left {
            warn!(%error, "leaving a group failed");
        }
    }

    fn started(&self) -> KafkaResult<TopicPartitionList> {
        self.any(self.consumer.context().started())
    }

    /// Partitions by themselves, wherever they are read.
    fn any(&self, partitions: BTreeSet<PartitionId>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition_offset(&self.topic, partition.into(), Offset::End)?;
        }
        Ok(list)
    }

    fn list(&self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            list.add_partition_offset(&self.topic, (*partition).into(), offset)?;
        }
        Ok(list)
    }
}

impl Drop for Follower {
    /// A client cannot close while a share waits for its start.
    fn drop(&mut self) {
        let list = self.any(self.consumer.context().abandon());
        if let Err(error) = list.and_then(|list| assign(&self.consumer, &list)) {
            debug!(%error, topic = self.topic, "a share was not taken up before leaving");
        }
    }
}

/// Few, larger fetches spare the broker; what decides where to read is not the operator's.
fn config(options: &Options, membership: Membership<'_>) -> ClientConfig {
    let mut config = options.client();
    config
        .set("fetch.min.bytes", "65536")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "32768")
        .set("session.timeout.ms", "15000");
    for (name, value) in options.properties() {
        config.set(name, value);
    }
    if config.get("group.protocol") == Some("consumer") {
        config.remove("session.timeout.ms");
    } else {
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    if let Some(instance) = membership.instance {
        config.set(
            "group.instance.id",
            format!("{}.{instance}", membership.group),
        );
    }
    config
        .set("group.id", membership.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error");
    config
}

/// Errors after which the client does not read on by itself.
fn lasting(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            code,
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        )
}
