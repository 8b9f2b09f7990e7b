//! The processor's way to write: one idempotent producer, acknowledgements counted per batch.
//!
//! A record is enqueued in order and never expires. A failed append means that something after
//! it may be on the log and it is not, so the caller must take its partition over again; nobody
//! here retries or skips.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer,
};
use tokio::sync::Notify;

/// The acknowledgements of a batch of records.
#[derive(Debug)]
pub struct Acks {
    /// Records not acknowledged yet, and one for the batch being open.
    outstanding: AtomicUsize,
    failed: AtomicBool,
    last_offset: AtomicI64,
    done: Notify,
}

/// An append that failed: what is on the log behind it is unknown.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an append to the log failed; what it holds must be read again")]
pub struct AppendFailed;

impl Acks {
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            outstanding: AtomicUsize::new(1),
            failed: AtomicBool::new(false),
            last_offset: AtomicI64::new(-1),
            done: Notify::new(),
        })
    }

    /// Waits until every record enqueued with it is acknowledged. The highest offset they got,
    /// if there was any record. Call it once, after the last record was enqueued.
    pub async fn wait(&self) -> Result<Option<u64>, AppendFailed> {
        self.close();
        while self.outstanding.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        match self.failed.load(Ordering::Acquire) {
            true => Err(AppendFailed),
            false => Ok(u64::try_from(self.last_offset.load(Ordering::Acquire)).ok()),
        }
    }

    /// One more record is on its way.
    pub fn expect(&self) {
        self.outstanding.fetch_add(1, Ordering::AcqRel);
    }

    /// A record that was expected got its offset, or never will.
    pub fn settle(&self, appended: Result<u64, AppendFailed>) {
        match appended {
            Ok(offset) => {
                let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                self.last_offset.fetch_max(offset, Ordering::AcqRel);
            }
            Err(AppendFailed) => self.failed.store(true, Ordering::Release),
        }
        self.close();
    }

    fn close(&self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

struct Context;

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Acks>;

    fn delivery(&self, result: &DeliveryResult<'_>, acks: Arc<Acks>) {
        match result {
            Ok(message) => acks.settle(Ok(u64::try_from(message.offset()).unwrap_or(0))),
            Err((error, message)) => {
                tracing::error!(%error, topic = message.topic(), partition = message.partition(), "append failed");
                acks.settle(Err(AppendFailed));
            }
        }
    }
}

/// One record to append.
#[derive(Debug)]
pub struct Append<'a> {
    pub topic: &'a str,
    /// `None` leaves the choice to the topic's own partitioner.
    pub partition: Option<i32>,
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub headers: Option<OwnedHeaders>,
}

/// Shared by all partitions of a process: appends of one task to one partition stay in order.
#[derive(Clone)]
pub struct LogProducer {
    producer: Arc<ThreadedProducer<Context, NoCustomPartitioner>>,
}

impl std::fmt::Debug for LogProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogProducer")
    }
}

impl LogProducer {
    /// # Errors
    /// If librdkafka refuses the settings.
    pub fn new(options: &super::Options) -> Result<Self, KafkaError> {
        let producer = options.producer().create_with_context(Context)?;
        Ok(Self {
            producer: Arc::new(producer),
        })
    }

    /// A producer of what may be lost: it gives up on a record after a while, and no failure is
    /// the end of it.
    ///
    /// # Errors
    /// If librdkafka refuses the settings.
    pub fn forgetful(options: &super::Options) -> Result<Self, KafkaError> {
        let mut config = options.producer();
        config
            .set("enable.gapless.guarantee", "false")
            .set("enable.idempotence", "false")
            .set("message.timeout.ms", "30000");
        let producer = config.create_with_context(Context)?;
        Ok(Self {
            producer: Arc::new(producer),
        })
    }

    /// Enqueues a record if there is room, and never waits.
    pub fn offer(&self, append: Append<'_>, acks: &Arc<Acks>) {
        acks.expect();
        if let Err((error, _)) = self.producer.send(record(append, acks)) {
            tracing::debug!(%error, "a record was not taken");
            acks.close();
        }
    }

    /// Enqueues a record; waits while the local queue is full, which is how a broker that is down
    /// or slow is felt.
    pub async fn append(&self, append: Append<'_>, acks: &Arc<Acks>) -> Result<(), AppendFailed> {
        let topic = append.topic;
        let mut record = record(append, acks);
        acks.expect();
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    tokio::time::sleep(QUEUE_FULL_PAUSE).await;
                }
                Err((error, _)) => {
                    tracing::error!(%error, topic, "append refused");
                    acks.settle(Err(AppendFailed));
                    return Err(AppendFailed);
                }
            }
        }
    }

    /// Appends one record and waits for it. The offset it got.
    pub async fn append_one(&self, append: Append<'_>) -> Result<u64, AppendFailed> {
        let acks = Acks::open();
        self.append(append, &acks).await?;
        acks.wait().await?.ok_or(AppendFailed)
    }

    /// Whether the producer can go on at all.
    pub fn broken(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }

    /// Waits, up to `timeout`, for what is enqueued. For the end of a process only: it blocks.
    pub fn finish(&self, timeout: Duration) {
        if let Err(error) = self.producer.flush(timeout) {
            tracing::warn!(%error, "not everything was sent before the end");
        }
    }
}

fn record<'a>(append: Append<'a>, acks: &Arc<Acks>) -> BaseRecord<'a, [u8], [u8], Arc<Acks>> {
    let mut record = BaseRecord::with_opaque_to(append.topic, acks.clone())
        .key(append.key)
        .payload(append.value);
    record.partition = append.partition;
    record.headers = append.headers;
    record
}

const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody listens, and there is room for ten.
    #[tokio::test]
    async fn what_may_be_lost_never_waits_for_room() {
        let room = "queue.buffering.max.messages".to_owned();
        let options = crate::log::Options {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_properties: vec![vec![(room, "10".to_owned())]],
            topic_prefix: "t".to_owned(),
        };
        let producer = LogProducer::forgetful(&options).unwrap();
        let acks = Acks::open();
        for _ in 0..100 {
            let append = Append {
                topic: "t.replies",
                partition: Some(0),
                key: b"k",
                value: b"v",
                headers: None,
            };
            producer.offer(append, &acks);
        }
        assert_eq!(acks.outstanding.load(Ordering::Acquire), 11);
    }
}
