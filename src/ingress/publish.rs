//! Commands onto the log, each with its acknowledgement.
//!
//! Commands are independent of each other, so unlike a processor's records one may expire: a
//! broker that is down turns into a 503 within [`super::Options::publish_timeout`] and never into
//! a request that hangs. What the producer cannot say for sure is [`Failure::Unknown`].
//!
//! There are two producers, because a broker's cost is that of requests, and one request serves
//! one partition: with little under way a command is sent at once, with much they gather for
//! [`super::Options::ingress_linger`].

use std::time::{Duration, Instant};

use rdkafka::producer::BaseRecord;
use tokio::sync::oneshot;

use super::appender::{Appender, Sent};
pub use super::appender::{Failure, Place};
use super::options::Options;
use super::record::{Envelope, headers};
use crate::ledger::{Command, PartitionId, partition_of};
use crate::log;

/// What becomes of a command's publishing.
pub type Acknowledgement = oneshot::Receiver<Result<Place, Failure>>;

/// From how many unacknowledged commands on they gather. With a gathering of 8 ms that is some
/// hundred commands a second, below which nothing is gained by waiting.
const MUCH: usize = 4;

/// The ingress's producers.
#[derive(Debug)]
pub struct Publisher {
    prompt: Appender,
    gathering: Appender,
    topics: log::Topics,
    partitions: PartitionId,
}

impl Publisher {
    /// # Errors
    /// If a setting is unknown to the client.
    pub fn new(
        options: &Options,
        log: &log::Options,
        partitions: PartitionId,
        seconds: &prometheus::Histogram,
    ) -> anyhow::Result<Self> {
        let appender = |linger: Duration| {
            let mut settings = log.producer();
            settings
                .set("enable.gapless.guarantee", "false")
                .set(
                    "message.timeout.ms",
                    options.publish_timeout.as_millis().to_string(),
                )
                .set("linger.ms", linger.as_millis().to_string())
                .set(
                    "queue.buffering.max.messages",
                    options.pending_max.to_string(),
                );
            Appender::new(settings, seconds.clone())
        };
        Ok(Self {
            prompt: appender(Duration::ZERO)?,
            gathering: appender(options.ingress_linger)?,
            topics: log.topics(),
            partitions,
        })
    }

    /// Hands a command to a producer. The partition is the one of the balance that decides.
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
        self.appender().send(record)?;
        Ok(acknowledgement)
    }

    fn appender(&self) -> &Appender {
        let much = self.prompt.underway() + self.gathering.underway() >= MUCH;
        if much { &self.gathering } else { &self.prompt }
    }

    /// Replaces what has failed for good.
    pub fn renew(&self) {
        self.prompt.renew();
        self.gathering.renew();
    }

    /// Whether the broker answers for `topic`; how many partitions it has. Blocks.
    pub fn partitions_of(&self, topic: &str, timeout: Duration) -> anyhow::Result<usize> {
        self.prompt.partitions_of(topic, timeout)
    }

    pub fn topics(&self) -> &log::Topics {
        &self.topics
    }

    /// Waits until everything handed over is acknowledged or given up. Blocks.
    pub fn flush(&self, timeout: Duration) {
        let began = Instant::now();
        self.prompt.flush(timeout);
        self.gathering
            .flush(timeout.saturating_sub(began.elapsed()));
    }
}
