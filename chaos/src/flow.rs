//! A steady flow of payments onto the log, for what is measured: nobody waits for answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use load::rng::Rng;
use load::stop::Stop;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::drive::book::Book;
use crate::drive::cast::Cast;
use crate::world::World;

const TICK: Duration = Duration::from_millis(10);

/// Payments at a rate, until it is dropped or stopped.
#[derive(Debug)]
pub struct Flow {
    stop: Stop,
    sending: JoinSet<()>,
}

impl Flow {
    /// `rate` payments a second among the accounts of `cast`.
    pub fn start(world: &World, cast: &Cast, rate: u64, seed: u64) -> Result<Self> {
        let producer: FutureProducer = world
            .log()
            .producer()
            .create()
            .context("cannot create a Kafka producer")?;
        let stop = Stop::default();
        let mut sending = JoinSet::new();
        let source = Source {
            producer,
            topic: world.log().topics().commands,
            cast: cast.clone(),
            rate,
            rng: Rng::new(seed),
            stop: stop.clone(),
        };
        sending.spawn(source.run());
        Ok(Self { stop, sending })
    }

    pub async fn finish(mut self) {
        self.stop.set();
        while self.sending.join_next().await.is_some() {}
    }
}

struct Source {
    producer: FutureProducer,
    topic: String,
    cast: Cast,
    rate: u64,
    rng: Rng,
    stop: Stop,
}

impl Source {
    async fn run(mut self) {
        let book = Arc::new(Book::default());
        let run = self.rng.draw();
        let began = tokio::time::Instant::now();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut sent = 0;
        while !self.stop.is_set() {
            ticks.tick().await;
            let due = began.elapsed().as_millis() * u128::from(self.rate) / 1000;
            while sent < due {
                sent += 1;
                let reference = format!("f{run:x}-{sent}");
                let order = self.cast.payment(reference, &book, &mut self.rng);
                let record = FutureRecord::to(&self.topic)
                    .partition(i32::from(order.partition))
                    .key(&order.key)
                    .payload(&order.body);
                // A full queue is the broker's word on the rate: what is due stays due.
                if self.producer.send_result(record).is_err() {
                    break;
                }
            }
        }
    }
}
