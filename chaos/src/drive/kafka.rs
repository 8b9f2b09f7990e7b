//! Producers on Kafka: records with duplicates, on wrong partitions, of wrong content and of none.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use load::rng::Rng;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use steelyard::ledger::TransactionId;
use steelyard::wire::record::{CORRELATION_HEADER, REPLY_TOPIC_HEADER};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;
use uuid::Uuid;

use super::Scene;
use super::book::Place;
use super::cast::Order;
use super::holds::Hold;
use crate::topics;
use crate::world::World;

/// Between two records.
const EVERY: Duration = Duration::from_millis(25);

/// What a producer needs.
#[derive(Clone)]
pub struct Producer {
    scene: Arc<Scene>,
    topic: String,
    answers: String,
    partitions: u16,
    /// The log's identity.
    generation: Uuid,
    client: FutureProducer,
    rng: Rng,
}

/// Makes the topic that answers go to.
pub async fn make_answers(world: &World) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = world.log().client().create()?;
    let name = world.answers();
    let replicas = world.stack.replicas.parse()?;
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(replicas));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await?;
    for topic in made {
        topic.map_err(|(name, code)| anyhow!("cannot create the topic {name}: {code}"))?;
    }
    Ok(())
}

impl Producer {
    pub async fn new(world: &World, scene: &Arc<Scene>, seed: u64) -> Result<Self> {
        let client = world.log().producer().create();
        Ok(Self {
            scene: scene.clone(),
            topic: world.log().topics().commands,
            answers: world.answers(),
            partitions: world.partitions,
            generation: topics::generation(world).await?,
            client: client.context("cannot create a Kafka producer")?,
            rng: Rng::new(seed),
        })
    }

    /// Sends an order where it belongs and waits for the broker's word.
    pub async fn deliver(&self, order: &Order) {
        self.send(order, i32::from(order.partition)).await;
    }

    /// Sends until everybody stops, and what the others want sent; then waits for the last word.
    pub async fn run(mut self, mut twice: mpsc::UnboundedReceiver<Order>) {
        let mut sending: JoinSet<()> = JoinSet::new();
        let mut ticks = interval(EVERY);
        let mut n = 0_u64;
        let scene = self.scene.clone();
        while !scene.stop.is_set() {
            while sending.try_join_next().is_some() {}
            let order = tokio::select! {
                _ = ticks.tick() => {
                    n += 1;
                    let reference = format!("k-{n}");
                    match self.rng.below(100) {
                        0..15 => {
                            let hold = scene.cast.hold(reference, &mut self.rng);
                            sending.spawn(self.with_its_own_chance().hold(hold));
                            continue;
                        }
                        15 => scene.cast.close(reference, &mut self.rng),
                        16..24 => {
                            let order = scene.cast.payment(reference, &scene.book, &mut self.rng);
                            sending.spawn(self.with_its_own_chance().reversed(order));
                            continue;
                        }
                        _ => scene.cast.payment(reference, &scene.book, &mut self.rng),
                    }
                }
                Some(order) = twice.recv() => order,
            };
            for (order, partition) in self.variants(order) {
                let sender = self.clone();
                sending.spawn(async move {
                    sender.send(&order, partition).await;
                });
            }
        }
        sending.join_all().await;
    }

    fn with_its_own_chance(&mut self) -> Self {
        let rng = Rng::new(self.rng.draw());
        Self {
            rng,
            ..self.clone()
        }
    }

    /// Sends a hold, and without waiting for an answer what is to become of it: where the broker
    /// has put the record says what the transaction's id is.
    async fn hold(mut self, hold: Hold) {
        let Some(id) = self.place(&hold.order).await else {
            return;
        };
        for n in 0..self.rng.below(4) {
            let reference = format!("{}-{n}", hold.order.reference);
            let scene = self.scene.clone();
            let order = scene.cast.on_hold(reference, &hold, id, &mut self.rng);
            self.place(&order).await;
        }
        if self.rng.chance(0.3) {
            self.take_back(&hold.order, id).await;
        }
    }

    /// Sends a payment, and takes it back before anybody can know what became of it.
    async fn reversed(mut self, order: Order) {
        if let Some(id) = self.place(&order).await {
            self.take_back(&order, id).await;
        }
    }

    async fn take_back(&mut self, original: &Order, id: Uuid) {
        if !self.scene.reversals {
            return;
        }
        for n in 0..self.rng.between(1, 3) {
            let reference = format!("{}-r{n}", original.reference);
            let scene = self.scene.clone();
            let order = scene
                .cast
                .wild_reversal(reference, original, id, &mut self.rng);
            self.place(&order).await;
        }
    }

    /// Sends the records of an order; the id of its transaction.
    async fn place(&mut self, order: &Order) -> Option<Uuid> {
        let mut first = None;
        for (record, partition) in self.variants(order.clone()) {
            let placed = self.send(&record, partition).await;
            first = first.or(placed.filter(|(at, _)| *at == order.partition));
        }
        let (home, offset) = first?;
        Some(TransactionId::new(home, offset, self.generation).uuid())
    }

    /// The records that one order becomes, and where they go.
    fn variants(&mut self, order: Order) -> Vec<(Order, i32)> {
        let home = i32::from(order.partition);
        let mut records = vec![(order.clone(), home)];
        match self.rng.below(100) {
            0..10 => records.push((order, home)),
            10..13 => records.push((order.altered(), home)),
            // A partitioner that is not ours: forwarded, and applied once where it belongs.
            13..16 => {
                let wrong = (home + 1) % i32::from(self.partitions);
                records[0].1 = wrong;
            }
            // Not even JSON.
            16..17 => {
                records.push((order.garbled(), home));
            }
            _ => {}
        }
        records
    }

    /// Where the record is, if the broker says so.
    async fn send(&self, order: &Order, partition: i32) -> Option<(u16, u64)> {
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: CORRELATION_HEADER,
                value: Some(&order.reference),
            })
            .insert(Header {
                key: REPLY_TOPIC_HEADER,
                value: Some(&self.answers),
            });
        let record = FutureRecord::to(&self.topic)
            .partition(partition)
            .key(&order.key)
            .payload(&order.body)
            .headers(headers);
        let queued = self.client.send_result(record).ok()?;
        let delivered = queued.await.ok()?.ok()?;
        let partition = u16::try_from(delivered.partition).ok()?;
        let offset = u64::try_from(delivered.offset).ok()?;
        self.scene.book.write().places.push(Place {
            partition,
            offset,
            value: order.body.clone(),
        });
        Some((partition, offset))
    }
}
