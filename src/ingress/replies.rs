//! This instance's partition of the replies topic, from its end on, in a thread of its own.
//!
//! It starts at the offset that was the end before the first command is published, so no reply to
//! a command of ours is missed; until then the instance is not ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::IngressMetrics;
use super::waiters::{Delivery, Reply, Waiters};
use crate::log;
use crate::wire::record::CORRELATION_HEADER;

/// The header of a reply that repeats an earlier decision.
pub const REPLAYED_HEADER: &str = "steelyard-replayed";

const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
const UNASSIGNED: i32 = -1;

/// The partition that replies are read from, once they are.
#[derive(Debug)]
pub struct Assigned {
    partition: AtomicI32,
    changed: Notify,
}

impl Assigned {
    pub fn nowhere() -> Self {
        Self {
            partition: AtomicI32::new(UNASSIGNED),
            changed: Notify::new(),
        }
    }

    pub fn partition(&self) -> Option<i32> {
        let partition = self.partition.load(Ordering::Acquire);
        (partition != UNASSIGNED).then_some(partition)
    }

    /// The partition, waited for at most `limit`.
    pub async fn within(&self, limit: Duration) -> Option<i32> {
        if let Some(partition) = self.partition() {
            return Some(partition);
        }
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if self.partition().is_none() {
            // Whether it came in time is read off the partition.
            let _ = tokio::time::timeout(limit, changed).await;
        }
        self.partition()
    }

    fn set(&self, partition: i32) {
        self.partition.store(partition, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// What the thread needs.
pub struct Replies {
    pub log: log::Options,
    /// The partition to read; one at random if absent.
    pub partition: Option<u16>,
    pub waiters: Arc<Waiters>,
    pub assigned: Arc<Assigned>,
    pub metrics: IngressMetrics,
    /// Takes replies that nobody waits for any more.
    pub late: Box<dyn Fn(Reply) + Send>,
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replies")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

impl Replies {
    /// Starts the thread.
    ///
    /// # Errors
    /// If a client setting is unknown, or there is no thread to have.
    pub fn start(self) -> anyhow::Result<JoinHandle<()>> {
        let mut settings = self.log.client();
        settings
            .set("group.id", self.log.group("replies"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer = settings.create().context("the replies' consumer")?;
        let thread = std::thread::Builder::new().name("replies".to_owned());
        Ok(thread.spawn(move || self.run(&consumer))?)
    }

    fn run(&self, consumer: &BaseConsumer) {
        while let Err(error) = self.assign(consumer) {
            if self.stop.is_cancelled() {
                return;
            }
            tracing::warn!(error = format!("{error:#}"), "replies cannot be read yet");
            std::thread::sleep(POLL_TIMEOUT);
        }
        while !self.stop.is_cancelled() {
            match consumer.poll(POLL_TIMEOUT) {
                None => {}
                Some(Ok(message)) => self.take(&message),
                // The client comes back by itself; it only tells.
                Some(Err(error)) => tracing::debug!(%error, "replies"),
            }
        }
    }

    fn assign(&self, consumer: &BaseConsumer) -> anyhow::Result<()> {
        let topic = self.log.topics().replies;
        let partition = match self.partition {
            Some(partition) => i32::from(partition),
            None => at_random(consumer, &topic)?,
        };
        let (_, end) = consumer
            .fetch_watermarks(&topic, partition, ASK_TIMEOUT)
            .with_context(|| format!("the end of {topic} partition {partition}"))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        consumer.assign(&list)?;
        self.assigned.set(partition);
        tracing::info!(partition, offset = end, "reading replies");
        Ok(())
    }

    fn take(&self, message: &impl Message) {
        let mut correlation = None;
        let mut replayed = false;
        for header in message.headers().into_iter().flat_map(Headers::iter) {
            match header.key {
                CORRELATION_HEADER => correlation = header.value,
                REPLAYED_HEADER => replayed = header.value == Some(b"true"),
                _ => {}
            }
        }
        let result = match (correlation, message.payload()) {
            (Some(correlation), Some(value)) => {
                let reply = Reply {
                    value: value.to_vec(),
                    replayed,
                };
                match self.waiters.deliver(correlation, reply) {
                    Delivery::Awaited => "awaited",
                    Delivery::Foreign => "foreign",
                    Delivery::Late(reply) => {
                        (self.late)(reply);
                        "late"
                    }
                }
            }
            (None, _) | (_, None) => "broken",
        };
        self.metrics.replies.with_label_values(&[result]).inc();
    }
}

fn at_random(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT)?;
    let count = metadata
        .topics()
        .first()
        .map_or(0, |topic| topic.partitions().len());
    ensure!(count > 0, "topic {topic} is not there");
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let partition = random % u64::try_from(count)?;
    Ok(i32::try_from(partition)?)
}
