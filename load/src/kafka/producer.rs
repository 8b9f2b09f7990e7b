//! Sending commands when they are due.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, producer::NoCustomPartitioner};
use steelyard::log::Options;

use crate::account::{Account, Key};
use crate::measure::{Pacing, Track};
use crate::stop::Stop;

/// Tells the track what the broker acknowledged; the opaque is the sequence number itself.
#[derive(Debug)]
pub struct Reports(Arc<Track>);

impl ClientContext for Reports {}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: usize) {
        match result {
            Ok(_) => self.0.accepted(sequence),
            Err((error, _)) => self.0.refused(sequence, &error.to_string()),
        }
    }
}

/// Where a record goes.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub key: Key,
    pub partition: u16,
}

impl Route {
    /// A command that this account decides.
    pub fn to(account: &Account) -> Self {
        Self {
            key: account.key,
            partition: account.partition,
        }
    }
}

/// One phase's producer to one topic.
pub struct Sender {
    track: Arc<Track>,
    topic: String,
    producer: ThreadedProducer<Reports>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender({})", self.topic)
    }
}

/// The shortest sleep: what comes due meanwhile goes out together.
const TICK: Duration = Duration::from_millis(1);

impl Sender {
    pub fn new(options: &Options, topic: &str, track: Arc<Track>) -> Result<Self> {
        let mut config = options.producer();
        config
            .set("client.id", "steelyard-load")
            .set("linger.ms", "5");
        for (name, value) in options.properties() {
            config.set(name, value);
        }
        let producer: ThreadedProducer<Reports> = config
            .create_with_context(Reports(track.clone()))
            .context("cannot create a Kafka producer")?;
        // Connects, so that the producer gets its id before the first record waits for it.
        let metadata = producer.client().fetch_metadata(Some(topic), super::ASK);
        metadata.with_context(|| format!("no broker answered about {topic}"))?;
        Ok(Self {
            track,
            topic: topic.to_owned(),
            producer,
        })
    }

    /// Sends every command in its time. `write` appends the value of a command to an empty buffer
    /// and says where it goes. Blocks; returns when the schedule is over and the last record is
    /// acknowledged, or `patience` later.
    pub fn run(
        &self,
        stop: &Stop,
        patience: Duration,
        mut write: impl FnMut(usize, &mut Vec<u8>) -> Route,
    ) -> Result<()> {
        let mut value = Vec::with_capacity(1024);
        for sequence in 0..self.track.schedule.planned {
            if stop.is_set() || !self.await_turn(sequence, stop, patience) {
                break;
            }
            value.clear();
            let route = write(sequence, &mut value);
            self.track.send(sequence);
            self.put(sequence, &route, &value, stop)?;
        }
        self.drain(stop, patience);
        Ok(())
    }

    /// False when the time for sending is over.
    fn await_turn(&self, sequence: usize, stop: &Stop, patience: Duration) -> bool {
        let track = &*self.track;
        match track.schedule.pacing {
            Pacing::Open { .. } => {
                let due = track.schedule.due(sequence).unwrap_or_default();
                let now = track.now();
                if now < due {
                    thread::sleep(TICK.max(Duration::from_nanos(due - now)));
                }
                Duration::from_nanos(now.saturating_sub(due)) < patience
            }
            Pacing::Closed { window } => {
                let began = track.now();
                while track.in_flight() >= window && !stop.is_set() {
                    thread::sleep(TICK);
                    if Duration::from_nanos(track.now() - began) > patience {
                        return false;
                    }
                }
                track.now() < track.schedule.measured.end
            }
        }
    }

    fn put(&self, sequence: usize, route: &Route, value: &[u8], stop: &Stop) -> Result<()> {
        let mut record = BaseRecord::with_opaque_to(&self.topic, sequence)
            .partition(i32::from(route.partition))
            .key(&route.key)
            .payload(value);
        loop {
            let (error, back) = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                bail!("cannot send to {}: {error}", self.topic);
            }
            self.track.queue_full();
            if stop.is_set() {
                self.track.unknown(sequence, "interrupted");
                return Ok(());
            }
            thread::sleep(TICK);
            record = back;
        }
    }

    /// Waits for the last acknowledgements. Not by `flush`, which would add its own 100 ms.
    fn drain(&self, stop: &Stop, patience: Duration) {
        let until = self.track.now() + crate::measure::schedule::nanos(patience);
        while self.producer.in_flight_count() > 0 && !stop.is_set() && self.track.now() < until {
            thread::sleep(TICK);
        }
    }
}
