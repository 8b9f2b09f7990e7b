//! A producer of the ingress: it answers for every record whether it is on the log, and is made
//! anew when the client has failed for good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::ledger::PartitionId;

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
    pub at: Instant,
    pub sender: oneshot::Sender<Result<Place, Failure>>,
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

pub struct Appender {
    client: Mutex<Arc<Client>>,
    settings: ClientConfig,
    seconds: prometheus::Histogram,
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Appender")
    }
}

impl Appender {
    /// # Errors
    /// If a setting is unknown to the client.
    pub fn new(settings: ClientConfig, seconds: prometheus::Histogram) -> anyhow::Result<Self> {
        let client = Mutex::new(Arc::new(create(&settings, &seconds)?));
        Ok(Self {
            client,
            settings,
            seconds,
        })
    }

    /// Hands a record over.
    ///
    /// # Errors
    /// If the client has no room for it: it is certainly not written.
    pub fn send(&self, record: BaseRecord<'_, str, [u8], Box<Sent>>) -> Result<(), Failure> {
        self.client().send(record).map_err(|(error, _)| {
            tracing::debug!(%error, "a command was not taken by the producer");
            self.renew();
            Failure::Refused
        })
    }

    /// Records handed over and neither acknowledged nor given up.
    pub fn underway(&self) -> usize {
        usize::try_from(self.client().in_flight_count()).unwrap_or_default()
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

    /// How many partitions `topic` has, if the broker answers. Blocks.
    pub fn partitions_of(&self, topic: &str, timeout: Duration) -> anyhow::Result<usize> {
        let metadata = self
            .client()
            .client()
            .fetch_metadata(Some(topic), timeout)?;
        let topic = metadata.topics().first();
        Ok(topic.map_or(0, |topic| topic.partitions().len()))
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

fn create(settings: &ClientConfig, seconds: &prometheus::Histogram) -> anyhow::Result<Client> {
    Ok(settings.create_with_context(Acknowledger {
        seconds: seconds.clone(),
    })?)
}
