//! Reads a topic as one member of a consumer group, from positions that are kept elsewhere.
//!
//! The group only shares out partitions and shows operators the lag. Where to read is said by
//! whoever follows: a partition that is given to this member waits, unread, until
//! [`Follower::start`] names its offset. Nothing is ever reset to an end of the topic; an offset
//! that the topic does not have any more is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Options;
use crate::ledger::PartitionId;

/// What happened next.
#[derive(Debug)]
pub enum Next<'a> {
    Record(BorrowedMessage<'a>),
    Change(Change),
}

/// A change of this member's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These partitions wait for [`Follower::start`].
    Given(BTreeSet<PartitionId>),
    /// These are somebody else's from now on; nothing of them arrives any more.
    Taken(BTreeSet<PartitionId>),
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
    pub async fn next(&self) -> KafkaResult<Next<'_>> {
        loop {
            if let Some(change) = self.change() {
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
        std::mem::take(&mut self.consumer.context().lock().taken)
    }

    fn change(&self) -> Option<Change> {
        let taken = self.taken();
        if !taken.is_empty() {
            return Some(Change::Taken(taken));
        }
        let given = std::mem::take(&mut self.consumer.context().lock().given);
        (!given.is_empty()).then_some(Change::Given(given))
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
        {
            let mut shares = self.consumer.context().lock();
            positions.retain(|partition, _| shares.waiting.remove(partition));
            shares
                .given
                .retain(|partition| !positions.contains_key(partition));
            shares.started.extend(positions.keys());
        }
        let list = self.list(&positions)?;
        assign(&self.consumer, &list)?;
        if self.paused {
            self.consumer.pause(&list)?;
        }
        Ok(positions.into_keys().collect())
    }

    /// Goes on at other offsets.
    pub fn seek(&self, positions: &BTreeMap<PartitionId, u64>) -> KafkaResult<()> {
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
        let started = self.consumer.context().lock().started.clone();
        self.list(
            &started
                .into_iter()
                .map(|partition| (partition, 0))
                .collect(),
        )
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
        let waiting = std::mem::take(&mut self.consumer.context().lock().waiting);
        let list = self.list(
            &waiting
                .into_iter()
                .map(|partition| (partition, 0))
                .collect(),
        );
        if let Err(error) = list.and_then(|list| {
            let pause = self.consumer.pause(&list);
            assign(&self.consumer, &list).and(pause)
        }) {
            debug!(%error, "a share was not taken up before leaving");
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
    for (name, value) in &options.kafka_properties {
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

fn assign(consumer: &impl Consumer<Shares>, list: &TopicPartitionList) -> KafkaResult<()> {
    match list.count() {
        0 => Ok(()),
        _ => consumer.incremental_assign(list),
    }
}

/// Takes part in rebalances: notes what is given, lets go of what is taken at once.
#[derive(Default)]
struct Shares {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Given, and not told yet.
    given: BTreeSet<PartitionId>,
    /// Taken after its start, and not told yet.
    taken: BTreeSet<PartitionId>,
    /// Given, and not started yet: the group waits for that.
    waiting: BTreeSet<PartitionId>,
    started: BTreeSet<PartitionId>,
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let partitions = partitions(list);
        // An empty share has no start to wait for.
        if partitions.is_empty() {
            return consumer.incremental_assign(list);
        }
        let mut state = self.lock();
        state.given.extend(&partitions);
        state.waiting.extend(&partitions);
        Ok(())
    }

    fn take(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let mut unstarted = TopicPartitionList::new();
        {
            let mut state = self.lock();
            for (partition, element) in partitions(list).into_iter().zip(list.elements()) {
                state.given.remove(&partition);
                if state.started.remove(&partition) {
                    state.taken.insert(partition);
                }
                if state.waiting.remove(&partition) {
                    let (topic, number) = (element.topic(), element.partition());
                    unstarted.add_partition_offset(topic, number, Offset::Offset(0))?;
                }
            }
        }
        // What was never taken up cannot be given back.
        assign(consumer, &unstarted)?;
        consumer.incremental_unassign(list)
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<PartitionId> {
    let elements = list.elements();
    let numbers = elements
        .iter()
        .map(|element| PartitionId::try_from(element.partition()));
    numbers.flatten().collect()
}

impl ClientContext for Shares {}

impl ConsumerContext for Shares {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let result = match event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            true => self.give(consumer, list),
            false => self.take(consumer, list),
        };
        if let Err(error) = result {
            warn!(%error, "a change of this member's share went wrong");
        }
        self.changed.notify_one();
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            debug!(%error, "the group's offsets were not committed");
        }
    }
}
