//! Commands onto the log, each with its acknowledgement.
//!
//! Commands are independent of each other, so unlike a processor's records one may expire: a
//! broker that is down turns into a 503 within [`super::Options::publish_timeout`] and never into
//! a request that hangs. What the producer cannot say for sure is [`Failure::Unknown`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::options::Options;
use super::record::{Envelope, headers};
use crate::ledger::{Command, PartitionId, partition_of};
use crate::log;

/// Why a command is not on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It certainly is not.
    Refused,
    /// It may be.
    Unknown,
}

/// Where a command stands on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: PartitionId,
    pub offset: i64,
}

/// What becomes of a command's publishing.
pub type Acknowledgement = oneshot::Receiver<Result<Place, Failure>>;

/// One message's way back from the producer.
#[derive(Debug)]
pub struct Sent {
    at: Instant,
    sender: oneshot::Sender<Result<Place, Failure>>,
}

/// Answers whoever waits for an acknowledgement.
#[derive(Debug)]
struct Acknowledger {
    seconds: prometheus::Histogram,
}

impl ClientContext for Acknowledger {}

impl ProducerContext for Acknowledger {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        use rdkafka::Message;
        let acknowledged = match result {
            Ok(message) => {
                self.seconds.observe(sent.at.elapsed().as_secs_f64());
                let partition = PartitionId::try_from(message.partition()).unwrap_or_default();
                Ok(Place {
                    partition,
                    offset: message.offset(),
                })
            }
            Err((error, message)) => {
                let partition = message.partition();
                tracing::debug!(%error, partition, "a command was not acknowledged");
                Err(failure(error))
            }
        };
        // Nobody may be waiting any more.
        let _ = sent.sender.send(acknowledged);
    }
}

/// Only what the producer certainly never wrote is refused.
fn failure(error: &KafkaError) -> Failure {
    let code = error.rdkafka_error_code();
    match code {
        Some(
            RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::TopicAuthorizationFailed,
        ) => Failure::Refused,
        Some(_) | None => Failure::Unknown,
    }
}

type Client = ThreadedProducer<Acknowledger>;

/// The ingress's producer.
pub struct Publisher {
    client: Mutex<Arc<Client>>,
    settings: rdkafka::ClientConfig,
    seconds: prometheus::Histogram,
    topics: log::Topics,
    partitions: PartitionId,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// # Errors
    /// If a setting is unknown to the client.
    pub fn new(
        options: &Options,
        log: &log::Options,
        partitions: PartitionId,
        seconds: prometheus::Histogram,
    ) -> anyhow::Result<Self> {
        let mut settings = log.producer();
        settings
            .set("enable.gapless.guarantee", "false")
            .set(
                "message.timeout.ms",
                options.publish_timeout.as_millis().to_string(),
            )
            .set("linger.ms", options.ingress_linger.as_millis().to_string())
            .set(
                "queue.buffering.max.messages",
                options.pending_max.to_string(),
            );
        let client = Mutex::new(Arc::new(create(&settings, &seconds)?));
        Ok(Self {
            client,
            settings,
            seconds,
            topics: log.topics(),
            partitions,
        })
    }

    /// Hands a command to the producer. The partition is the one of the balance that decides.
    pub fn publish(
        &self,
        command: &Command,
        value: &[u8],
        envelope: Envelope<'_>,
    ) -> Result<Acknowledgement, Failure> {
        let decider = command.decider();
        let mut key = uuid::Uuid::encode_buffer();
        let key: &str = decider.uuid().as_hyphenated().encode_lower(&mut key);
        let (sender, acknowledgement) = oneshot::channel();
        let sent = Box::new(Sent {
            at: Instant::now(),
            sender,
        });
        let record = BaseRecord::with_opaque_to(&self.topics.commands, sent)
            .partition(partition_of(decider, self.partitions).into())
            .key(key)
            .payload(value)
            .headers(headers(&self.topics.replies, envelope));
        match self.client().send(record) {
            Ok(()) => Ok(acknowledgement),
            Err((error, _)) => {
                tracing::debug!(%error, "a command was not taken by the producer");
                self.renew();
                Err(Failure::Refused)
            }
        }
    }

    /// Takes a new client if this one has an error that it never recovers from.
    pub fn renew(&self) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((error, reason)) = client.client().fatal_error() else {
            return;
        };
        tracing::error!(%error, reason, "the producer has failed for good and is made anew");
        match create(&self.settings, &self.seconds) {
            Ok(fresh) => *client = Arc::new(fresh),
            Err(error) => tracing::error!(%error, "the producer cannot be made anew"),
        }
    }

    /// Whether the broker answers for `topic`; how many partitions it has. Blocks.
    pub fn partitions_of(&self, topic: &str, timeout: Duration) -> anyhow::Result<usize> {
        let metadata = self
            .client()
            .client()
            .fetch_metadata(Some(topic), timeout)?;
        let topic = metadata.topics().first();
        Ok(topic.map_or(0, |topic| topic.partitions().len()))
    }

    pub fn topics(&self) -> &log::Topics {
        &self.topics
    }

    /// Waits until everything handed over is acknowledged or given up. Blocks.
    pub fn flush(&self, timeout: Duration) {
        if let Err(error) = self.client().flush(timeout) {
            tracing::warn!(%error, "commands were still on their way at the end");
        }
    }

    fn client(&self) -> Arc<Client> {
        self.client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn create(
    settings: &rdkafka::ClientConfig,
    seconds: &prometheus::Histogram,
) -> anyhow::Result<Client> {
    Ok(settings.create_with_context(Acknowledger {
        seconds: seconds.clone(),
    })?)
}
