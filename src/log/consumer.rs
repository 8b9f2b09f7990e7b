//! The processor's way to read: one group member, every partition in a queue of its own.
//!
//! The group decides who works on which partition, and nothing more: a partition starts where its
//! restored state ends, and exclusivity comes from the epoch, never from the group. One thread
//! polls the member so that it keeps its membership whatever the partitions wait for.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::ledger::PartitionId;

/// How long a rebalance waits for the partitions that leave to finish their batch.
const HAND_OVER: Duration = Duration::from_secs(5);

/// How often the group is asked: a member hears of a change that late at the most.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// How many polls of 100 ms a member lives on after its partitions are given up. Its farewell to
/// the group is sent after that, nothing tells when, and closing before it leaves a static member
/// in the group until its session ends.
const LEAVING_POLLS: u32 = 10;

/// Partitions come and go.
#[derive(Debug)]
pub enum Change {
    Assigned(Vec<Inbox>),
    /// The sender is dropped when the partitions are given up.
    Revoked(Vec<PartitionId>, SyncSender<()>),
}

type Queue = rdkafka::consumer::base_consumer::PartitionQueue<Context>;

/// The records of one partition, from [`Inbox::start`] on.
pub struct Inbox {
    pub partition: PartitionId,
    topic: Arc<str>,
    queue: Queue,
    ready: Arc<Notify>,
    consumer: Weak<BaseConsumer<Context>>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({})", self.partition)
    }
}

impl Inbox {
    /// Reads from `offset` on.
    pub async fn start(&self, offset: u64) -> KafkaResult<()> {
        let Some(consumer) = self.consumer.upgrade() else {
            return Ok(());
        };
        let (topic, partition) = (self.topic.clone(), i32::from(self.partition));
        let seek = move || {
            let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
            consumer.seek(&topic, partition, offset, Duration::from_secs(10))?;
            consumer.resume(&list(&topic, partition))
        };
        tokio::task::spawn_blocking(seek)
            .await
            .unwrap_or(Err(KafkaError::Canceled))
    }

    /// Stops reading; what has arrived is dropped.
    pub fn pause(&self) -> KafkaResult<()> {
        let Some(consumer) = self.consumer.upgrade() else {
            return Ok(());
        };
        consumer.pause(&list(&self.topic, i32::from(self.partition)))
    }

    /// Waits until something has arrived. May return once too often, never once too seldom.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// The next record that has arrived.
    pub fn next(&self) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.queue.poll(Duration::ZERO)
    }

    /// Says to the group how far this partition is, so that ordinary tools see the lag.
    pub fn commit(&self, next_offset: u64) {
        let Some(consumer) = self.consumer.upgrade() else {
            return;
        };
        let mut offsets = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(next_offset).unwrap_or(i64::MAX));
        let added = offsets.add_partition_offset(&self.topic, i32::from(self.partition), offset);
        let committed = added.and_then(|()| consumer.commit(&offsets, CommitMode::Async));
        if let Err(error) = committed {
            tracing::debug!(%error, partition = self.partition, "offset not committed");
        }
    }
}

fn list(topic: &str, partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    list
}

struct Context {
    topic: Arc<str>,
    changes: mpsc::UnboundedSender<Change>,
    consumer: OnceLock<Weak<BaseConsumer<Context>>>,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        base: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigns = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let result = match assigns {
            true => self.assign(base, partitions),
            false => self.revoke(base, partitions),
        };
        if let Err(error) = result {
            tracing::error!(%error, "the group's change could not be followed");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offset not committed");
        }
    }
}

impl Context {
    /// Splits the partitions off before they are assigned, so that no record reaches the member's
    /// own queue, and assigns them paused: each starts when its state is restored.
    fn assign(&self, base: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let consumer = self
            .consumer
            .get()
            .and_then(Weak::upgrade)
            .ok_or(KafkaError::Canceled)?;
        let mut inboxes = Vec::new();
        for number in numbers(list) {
            list.set_partition_offset(&self.topic, i32::from(number), Offset::Beginning)?;
            let queue = consumer.split_partition_queue(&self.topic, i32::from(number));
            let mut queue = queue.ok_or(KafkaError::Canceled)?;
            let ready = Arc::new(Notify::new());
            let wake = ready.clone();
            queue.set_nonempty_callback(move || wake.notify_one());
            let topic = self.topic.clone();
            let consumer = Arc::downgrade(&consumer);
            inboxes.push(Inbox {
                partition: number,
                topic,
                queue,
                ready,
                consumer,
            });
        }
        base.incremental_assign(list)?;
        base.pause(list)?;
        drop(self.changes.send(Change::Assigned(inboxes)));
        Ok(())
    }

    fn revoke(&self, base: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let (given_up, wait) = sync_channel(1);
        if self
            .changes
            .send(Change::Revoked(numbers(list), given_up))
            .is_ok()
        {
            // Ends when the other side drops its sender; what is not finished by then is a zombie
            // for a moment, which the epoch makes harmless.
            let _ = wait.recv_timeout(HAND_OVER);
        }
        base.incremental_unassign(list)
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<PartitionId> {
    let elements = list.elements();
    elements
        .iter()
        .filter_map(|element| element.partition().try_into().ok())
        .collect()
}

/// A member of the processors' group.
pub struct Member {
    consumer: Arc<BaseConsumer<Context>>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Member")
    }
}

impl Member {
    /// Joins the group of `role` on the commands topic. `instance` makes the membership static: a
    /// restart within the session moves nothing.
    pub fn join(
        options: &super::Options,
        role: &str,
        instance: Option<&str>,
        session: Duration,
    ) -> KafkaResult<(Self, mpsc::UnboundedReceiver<Change>)> {
        let topic: Arc<str> = options.topics().commands.into();
        let (changes, received) = mpsc::unbounded_channel();
        let context = Context {
            topic: topic.clone(),
            changes,
            consumer: OnceLock::new(),
        };
        let mut config = options.client();
        config
            .set("group.id", options.group(role))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("session.timeout.ms", session.as_millis().to_string())
            .set(
                "heartbeat.interval.ms",
                HEARTBEAT.min(session / 4).as_millis().to_string(),
            )
            // A fetch that waits for idle partitions does not ask for one whose queue was full a
            // moment ago: what it waits for at the most is what that one may stand still.
            .set("fetch.wait.max.ms", "20")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", "65536");
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        for (name, value) in options.properties() {
            config.set(name, value);
        }
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(config.create_with_context(context)?);
        let weak = Arc::downgrade(&consumer);
        consumer
            .context()
            .consumer
            .set(weak)
            .map_err(|_| KafkaError::Canceled)?;
        consumer.subscribe(&[&topic])?;
        Ok((Self { consumer }, received))
    }

    /// Polls until `stop`, then leaves the group: its partitions are handed over without waiting
    /// for the session to end. Blocks; give it a thread.
    ///
    /// # Errors
    /// If it can be no member any more, as when another one has come under its name.
    pub fn poll(self, stop: &CancellationToken) -> KafkaResult<()> {
        while !stop.is_cancelled() {
            self.poll_once()?;
        }
        self.consumer.unsubscribe();
        let mut given_up = 0;
        for _ in 0..100 {
            self.poll_once()?;
            let left = self.consumer.assignment().map_or(0, |left| left.count());
            given_up = if left == 0 { given_up + 1 } else { 0 };
            if given_up > LEAVING_POLLS {
                break;
            }
        }
        Ok(())
    }

    fn poll_once(&self) -> KafkaResult<()> {
        match self.consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                use rdkafka::Message;
                let partition = message.partition();
                tracing::error!(partition, "a record reached the member's own queue");
            }
            Some(Err(error)) => tracing::debug!(%error, "the member heard of an error"),
        }
        // A fatal error is told to the client's log, and to nobody who polls.
        match self.consumer.client().fatal_error() {
            Some((code, _)) => Err(KafkaError::MessageConsumptionFatal(code)),
            None => Ok(()),
        }
    }
}

/// Whether reading can go on by itself after this error.
pub fn is_transient(error: &KafkaError) -> bool {
    !matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::Fatal
        )
    )
}
