//! A log of its own for every test, on the broker that `STEELYARD_KAFKA_BROKERS` names.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use steelyard::log::admin::Admin;
use steelyard::log::drift::Observed;
use steelyard::log::topics::{self, Declaration};
use steelyard::log::{Options, Topics};
use steelyard::wire::outcome::GenesisBody;
use uuid::Uuid;

/// The dedupe horizon of test logs: the shortest there may be.
pub(crate) const HORIZON: u64 = 7 * 86_400;

/// Topics under a prefix that no other test has.
pub(crate) struct TestLog {
    pub(crate) options: Options,
    pub(crate) topics: topics::Options,
    pub(crate) names: Topics,
    client: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
}

impl TestLog {
    /// No topic exists yet.
    pub(crate) fn new(partitions: u16) -> Self {
        let brokers = std::env::var("STEELYARD_KAFKA_BROKERS");
        let options = Options {
            kafka_brokers: brokers.expect("STEELYARD_KAFKA_BROKERS names the broker of tests"),
            kafka_properties: Vec::new(),
            topic_prefix: format!("it-{}", Uuid::new_v4().simple()),
        };
        let client = options.client();
        Self {
            names: options.topics(),
            topics: topics::Options {
                partitions: Some(partitions),
                replication_factor: Some(1),
            },
            producer: client.create().unwrap(),
            client: client.create().unwrap(),
            options,
        }
    }

    /// A log as `topics apply` leaves it.
    pub(crate) async fn applied(partitions: u16) -> Self {
        let log = Self::new(partitions);
        log.admin().apply(HORIZON).await.unwrap();
        log
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(&self.options, &self.topics).unwrap()
    }

    pub(crate) fn declared(&self) -> Vec<Declaration> {
        topics::declared(&self.names, &self.topics)
    }

    pub(crate) fn declaration(&self, topic: &str) -> Declaration {
        let mut declared = self.declared().into_iter();
        declared.find(|found| found.topic == topic).unwrap()
    }

    /// Creates a topic as declared, without genesis records, as a crash or a stranger would.
    pub(crate) async fn create_bare(&self, topic: &str) {
        let declaration = self.declaration(topic);
        let partitions = i32::from(declaration.partitions);
        loop {
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
            let settings = declaration.settings.iter();
            let new = settings.fold(new, |new, (name, value)| new.set(name, value));
            let answers = self.client.create_topics([&new], &wait()).await.unwrap();
            match &answers[0] {
                Ok(_) => return,
                // The broker still deletes one of this name.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => panic!("{topic}: {code}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn delete(&self, topic: &str) {
        let answers = self.client.delete_topics(&[topic], &wait()).await.unwrap();
        answers[0].as_ref().unwrap();
    }

    pub(crate) async fn add_partitions(&self, topic: &str, count: usize) {
        let new = NewPartitions::new(topic, count);
        let answers = self.client.create_partitions([&new], &wait());
        answers.await.unwrap()[0].as_ref().unwrap();
        self.until(topic, |found| usize::from(found.partitions) == count)
            .await;
    }

    /// Sets one setting and leaves the others as declared.
    pub(crate) async fn set(&self, topic: &str, name: &str, value: &str) {
        let mut settings = self.declaration(topic).settings;
        settings.insert(name.to_owned(), value.to_owned());
        let config = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let settings = settings.iter();
        let config = settings.fold(config, |config, (name, value)| config.set(name, value));
        let answers = self.client.alter_configs([&config], &wait()).await.unwrap();
        answers[0].as_ref().unwrap();
        self.until(topic, |found| found.settings[name] == value)
            .await;
    }

    /// A controller answers before its brokers know.
    async fn until(&self, topic: &str, known: impl Fn(&Observed) -> bool) {
        let admin = self.admin();
        while !known(&admin.observe().await.unwrap()[topic]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn write(&self, topic: &str, partition: i32, key: &str, value: &[u8]) {
        let record = FutureRecord::to(topic).partition(partition);
        let record = record.key(key).payload(value);
        let sent = self.producer.send(record, Duration::from_secs(10)).await;
        sent.unwrap();
    }

    pub(crate) async fn write_genesis(&self, topic: &str, partition: i32, generation: Uuid) {
        let body = GenesisBody {
            generation,
            horizon_seconds: HORIZON,
        };
        let value = serde_json::to_vec(&body).unwrap();
        self.write(topic, partition, "genesis", &value).await;
    }

    /// Removes what is before an offset, as retention does.
    pub(crate) async fn trim(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(offset);
        list.add_partition_offset(topic, partition, offset).unwrap();
        self.client.delete_records(&list, &wait()).await.unwrap();
    }

    /// Commits for a group without joining it.
    pub(crate) async fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let mut config = self.options.client();
        config.set("group.id", group);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(offset);
        list.add_partition_offset(topic, partition, offset).unwrap();
        let committed =
            tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync));
        committed.await.unwrap().unwrap();
    }

    /// Deletes what is there, so that a long-lived broker stays small.
    pub(crate) async fn drop_topics(self) {
        let declared = self.declared();
        let names: Vec<&str> = declared.iter().map(|found| found.topic.as_str()).collect();
        self.client.delete_topics(&names, &wait()).await.unwrap();
    }
}

fn wait() -> AdminOptions {
    let limit = Some(Duration::from_secs(20));
    AdminOptions::new()
        .request_timeout(limit)
        .operation_timeout(limit)
}
