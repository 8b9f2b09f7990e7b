//! The world as it is in service: Kafka, Redis and Postgres.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use redis::RedisResult;
use sqlx::PgPool;
use uuid::Uuid;

use super::ports::{HotStore, Inbox, Outbox, World};
use crate::cold::base::{self, Base};
use crate::cold::transaction::{self, TransactionView};
use crate::hot::key::Keys;
use crate::hot::store::{Claimed, Entry, Step, Store, Written};
use crate::ledger::PartitionId;
use crate::log::producer::{Acks, Append, AppendFailed, LogProducer};
use crate::log::reader::{Found, ReadError, Readers, Stretch};
use crate::log::{self, consumer};
use crate::telemetry::clock;
use crate::wire::{MarkerBody, Subject};

/// The clients that the partitions of one process share.
pub struct Services {
    log: log::Options,
    readers: Arc<Readers>,
    keys: Keys,
    generation: Uuid,
    pub(super) pool: PgPool,
    redis: redis::aio::ConnectionManager,
    producer: Mutex<LogProducer>,
    pub(super) replies: LogProducer,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Services {
    pub(super) fn new(
        log: &log::Options,
        hot: &crate::hot::Options,
        pool: PgPool,
        generation: Uuid,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            log: log.clone(),
            readers: Arc::new(Readers::new(log)),
            keys: Keys::new(&hot.redis_prefix),
            generation,
            pool,
            redis: hot.connect()?,
            producer: Mutex::new(LogProducer::new(log)?),
            replies: LogProducer::forgetful(log)?,
        })
    }
}

impl World for Services {
    type Inbox = consumer::Inbox;
    type Outbox = LogProducer;
    type Hot = Store;

    fn outbox(&self) -> Result<LogProducer, KafkaError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer.broken() {
            *producer = LogProducer::new(&self.log)?;
        }
        Ok(producer.clone())
    }

    fn offer(&self, append: Append<'_>, acks: &Arc<Acks>) {
        self.replies.offer(append, acks);
    }

    fn hot(&self, partition: PartitionId) -> Store {
        let (redis, keys) = (self.redis.clone(), self.keys.clone());
        Store::new(redis, keys, partition, self.generation)
    }

    async fn base(&self, partition: PartitionId) -> Result<Base, sqlx::Error> {
        base::base(&self.pool, partition).await
    }

    async fn transaction(
        &self,
        ledger: &str,
        reference: &str,
    ) -> Result<Option<TransactionView>, sqlx::Error> {
        transaction::transaction(&self.pool, ledger, reference).await
    }

    async fn marker(&self, partition: PartitionId) -> Result<Option<MarkerBody>, sqlx::Error> {
        base::marker(&self.pool, partition).await
    }

    async fn bounds(&self, topic: &str, partition: PartitionId) -> Result<(u64, u64), ReadError> {
        let (readers, topic) = (self.readers.clone(), topic.to_owned());
        aside(move || readers.lend(|reader| reader.bounds(&topic, partition))).await
    }

    async fn read<S: Send + 'static>(
        &self,
        stretch: Stretch,
        mut state: S,
        mut each: impl FnMut(&mut S, Found<'_>) -> bool + Send + 'static,
    ) -> Result<S, ReadError> {
        if stretch.from >= stretch.end {
            return Ok(state);
        }
        let readers = self.readers.clone();
        let on = move |message: &BorrowedMessage<'_>, state: &mut S| {
            let found = Found {
                offset: u64::try_from(message.offset()).unwrap_or(0),
                key: message.key().unwrap_or_default(),
                value: message.payload().unwrap_or_default(),
            };
            each(state, found)
        };
        aside(move || {
            let mut on = on;
            let Stretch {
                topic,
                partition,
                from,
                end,
            } = stretch;
            readers.lend(|reader| {
                reader.read(&topic, partition, from, end, |message| {
                    on(message, &mut state)
                })
            })?;
            Ok(state)
        })
        .await
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn clock_ms(&self) -> i64 {
        clock::now_ms()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Runs what blocks on a thread of its own; its panic is the caller's.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(broken) => std::panic::resume_unwind(broken),
            Err(_) => Err(KafkaError::Canceled.into()),
        },
    }
}

impl Inbox for consumer::Inbox {
    fn partition(&self) -> PartitionId {
        self.partition
    }

    async fn start(&self, offset: u64) -> KafkaResult<()> {
        self.start(offset).await
    }

    fn pause(&self) -> KafkaResult<()> {
        self.pause()
    }

    async fn ready(&self) {
        self.ready().await;
    }

    fn next(&self) -> Option<KafkaResult<impl Message>> {
        self.next()
    }

    fn commit(&self, next_offset: u64) {
        self.commit(next_offset);
    }
}

impl Outbox for LogProducer {
    async fn append(&self, append: Append<'_>, acks: &Arc<Acks>) -> Result<(), AppendFailed> {
        self.append(append, acks).await
    }
}

impl HotStore for Store {
    async fn claim(&mut self, epoch: u64) -> RedisResult<Claimed> {
        self.claim(epoch).await
    }

    async fn write(&mut self, step: Step, values: &[Entry]) -> RedisResult<Written> {
        self.write(step, values).await
    }

    async fn ping(&mut self) -> RedisResult<()> {
        self.ping().await
    }

    async fn check_policy(&mut self) -> RedisResult<Result<(), String>> {
        self.check_policy().await
    }

    async fn wipe(&mut self, epoch: u64) -> RedisResult<()> {
        self.wipe(epoch).await
    }

    async fn take_stale(&mut self) -> RedisResult<Vec<Subject>> {
        self.take_stale().await
    }
}
