//! A log, a Redis prefix and a schema of its own, and the sinks running on them.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::PgPool;
use steelyard::ledger::PartitionId;
use steelyard::log::admin;
use steelyard::sink::services::Services;
use steelyard::sink::{self, SinkMetrics, Wiring};
use steelyard::telemetry::health::{Health, Report, State};
use steelyard::{cold, hot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::books::{Books, Written};
use crate::support::broker::{HORIZON, TestLog};
use crate::support::until;

pub(crate) struct Bench {
    pub(crate) log: TestLog,
    pub(crate) cold: cold::Options,
    pub(crate) hot: hot::Options,
    pub(crate) pool: PgPool,
    pub(crate) generation: Uuid,
    pub(crate) books: Books,
    producer: FutureProducer,
}

/// Sinks at work.
pub(crate) struct Running {
    pub(crate) metrics: SinkMetrics,
    health: Health,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

fn need(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run ./dev test"))
}

pub(crate) fn options() -> sink::Options {
    sink::Options {
        sink_instance: None,
        sink_batch_records: 20_000,
        sink_batch_bytes: 1 << 24,
        sink_batch_balances: 50_000,
        sink_batch_ms: 200,
        sink_alarm_seconds: 300,
        hot_ttl_seconds: 60,
    }
}

impl Bench {
    pub(crate) async fn new(partitions: PartitionId) -> Self {
        let log = TestLog::applied(partitions).await;
        let verified = admin::verify(&log.options, &log.topics).await.unwrap();
        let name = format!("s{}", &Uuid::new_v4().simple().to_string()[..12]);
        let cold = cold::Options {
            database_url: need("STEELYARD_DATABASE_URL"),
            database_schema: name.clone(),
            database_connections: 6,
        };
        let pool = cold.connect().unwrap();
        cold.migrate(&pool).await.unwrap();
        Self {
            hot: hot::Options {
                redis_url: need("STEELYARD_REDIS_URL"),
                redis_prefix: name,
            },
            books: Books::new(partitions, verified.generation, HORIZON),
            generation: verified.generation,
            producer: log.options.producer().create().unwrap(),
            cold,
            pool,
            log,
        }
    }

    fn reached(&self, options: sink::Options) -> Services {
        Services {
            log: self.log.options.clone(),
            hot: self.hot.clone(),
            pool: self.cold.connect().unwrap(),
            generation: self.generation,
            options,
        }
    }

    fn wired(&self, metrics: &SinkMetrics, report: Report) -> Wiring {
        Wiring {
            generation: self.generation,
            metrics: metrics.clone(),
            report,
            stop: CancellationToken::new(),
        }
    }

    /// Starts both sinks, as one process does.
    pub(crate) fn sinks(&self) -> Running {
        self.sinks_with(options())
    }

    pub(crate) fn sinks_with(&self, options: sink::Options) -> Running {
        let metrics = metrics();
        let health = Health::default();
        let wiring = self.wired(&metrics, health.reporter());
        let stop = wiring.stop.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(sink::run(self.reached(options), wiring));
        Running {
            metrics,
            health,
            stop,
            tasks,
        }
    }

    /// Writes records of one partition in order; the offset of the last one.
    pub(crate) async fn write(
        &self,
        topic: &str,
        partition: PartitionId,
        records: &[Written],
    ) -> u64 {
        let sending = records.iter().map(|(key, value)| {
            let record = FutureRecord::to(topic).partition(partition.into());
            self.producer
                .send(record.key(key).payload(value), Duration::from_secs(20))
        });
        let sent = futures::future::join_all(sending).await;
        let sent = sent.into_iter().map(|sent| sent.unwrap().offset);
        u64::try_from(sent.last().unwrap_or_default()).unwrap()
    }

    pub(crate) async fn write_outcomes(&self, partition: PartitionId, records: &[Written]) -> u64 {
        self.write(&self.log.names.outcomes, partition, records)
            .await
    }

    pub(crate) async fn write_snapshots(&self, partition: PartitionId, records: &[Written]) -> u64 {
        self.write(&self.log.names.snapshots, partition, records)
            .await
    }

    /// Puts what was decided on `outcomes`.
    pub(crate) async fn publish(&mut self) {
        for partition in 0..self.books.count() {
            let outcomes = std::mem::take(&mut self.books.owner(partition).outcomes);
            if !outcomes.is_empty() {
                let position = self.write_outcomes(partition, &outcomes).await;
                self.books.owner(partition).position = position;
            }
        }
    }

    /// Puts what was touched on `snapshots`, and a marker after it.
    pub(crate) async fn flush(&mut self) {
        self.publish().await;
        for partition in 0..self.books.count() {
            let owner = self.books.owner(partition);
            let mut records = owner.snapshots();
            records.push(owner.marker());
            self.write_snapshots(partition, &records).await;
        }
    }

    pub(crate) async fn watermark(&self, partition: PartitionId) -> Option<u64> {
        let found = cold::read::watermark(&self.pool, partition).await.unwrap();
        found.map(|as_of| as_of.command_offset)
    }

    /// Waits until cold has everything that was decided, flushed or not.
    pub(crate) async fn journaled(&mut self) {
        for partition in 0..self.books.count() {
            let applied = self.books.owner(partition).applied();
            until("the journal", async || {
                let found = cold::read::journaled(&self.pool, partition).await.unwrap();
                found.filter(|as_of| as_of.command_offset >= applied)
            })
            .await;
        }
    }

    /// Waits until every watermark is where the ledger is.
    pub(crate) async fn synced(&mut self) {
        self.journaled().await;
        for partition in 0..self.books.count() {
            let applied = self.books.owner(partition).applied();
            until("the watermark", async || {
                self.watermark(partition).await.filter(|x| *x == applied)
            })
            .await;
        }
    }

    /// Waits until a sink has read `topic` up to and with `offset`.
    pub(crate) async fn read(&self, sink: &str, partition: PartitionId, offset: u64) {
        let next = i64::try_from(offset + 1).unwrap();
        until("a position", async || {
            let position = self.position(sink, partition).await?;
            (position >= next).then_some(())
        })
        .await;
    }

    pub(crate) async fn position(&self, sink: &str, partition: PartitionId) -> Option<i64> {
        sqlx::query_scalar("select position from sink_positions where sink = $1 and partition = $2")
            .bind(sink)
            .bind(i32::from(partition))
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Removes what the test made.
    pub(crate) async fn end(self) {
        let schema = &self.cold.database_schema;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop schema {schema} cascade")))
            .execute(&self.pool)
            .await
            .unwrap();
        self.log.drop_topics().await;
    }
}

impl Running {
    /// Stops the sinks as a signal does.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.ended().await.unwrap();
    }

    /// Waits until the sinks end by themselves.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        self.tasks.join_next().await.unwrap().unwrap()
    }

    /// Ends the sinks where they stand.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) fn trouble(&self, sink: &str) -> Option<String> {
        match self.health.checks().remove(sink) {
            Some(State::Waiting(what)) => Some(what),
            Some(State::Ok | State::Degraded(_) | State::Failed(_)) | None => None,
        }
    }
}

pub(crate) fn metrics() -> SinkMetrics {
    SinkMetrics::new(&prometheus::Registry::new()).unwrap()
}

/// The offset that a group has committed.
pub(crate) async fn committed(bench: &Bench, role: &str, topic: &str, partition: i32) -> i64 {
    let mut config = bench.log.options.client();
    config.set("group.id", bench.log.options.group(role));
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let asking = tokio::task::spawn_blocking(move || {
        consumer
            .committed_offsets(list, Duration::from_secs(10))
            .unwrap()
    });
    let found = asking.await.unwrap();
    found.elements()[0].offset().to_raw().unwrap()
}
