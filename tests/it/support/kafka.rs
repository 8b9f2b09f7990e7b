//! A producer and a reader as a stranger would write them.

use std::collections::BTreeMap;
use std::process::Command;

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use super::tools::kafka_classpath;
use super::{PATIENCE, World, until};

/// What a test sends.
#[derive(Default)]
pub struct Sent<'a> {
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, Vec<u8>)>,
}

impl World {
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka);
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// Sends a record to `commands` as any producer may; the partition and offset it got.
    pub async fn send(&self, sent: Sent<'_>) -> (i32, i64) {
        self.ending.moved();
        let producer: FutureProducer = self
            .config()
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        let topic = self.topic("commands");
        let mut headers = OwnedHeaders::new();
        for (key, value) in &sent.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).headers(headers);
        record.partition = sent.partition;
        record.key = sent.key;
        record.payload = sent.value;
        let delivered = producer
            .send(record, PATIENCE)
            .await
            .expect("the record is delivered");
        (delivered.partition, delivered.offset)
    }

    /// Appends a record to a partition of one of our topics, past everybody; its offset.
    pub async fn append(&self, name: &str, (partition, key, value): (i32, &[u8], &[u8])) -> i64 {
        let producer: FutureProducer = self.config().create().expect("a producer");
        let topic = self.topic(name);
        let record = FutureRecord::to(&topic).partition(partition);
        let sent = producer.send(record.key(key).payload(value), PATIENCE);
        sent.await.expect("the record is delivered").offset
    }

    /// Removes every record of `name`, as its retention does in time.
    pub async fn trim(&self, name: &str) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("a client");
        let topic = self.topic(name);
        let mut all = TopicPartitionList::new();
        for partition in 0..self.partitions {
            all.add_partition_offset(&topic, i32::from(partition), Offset::End)
                .expect("a partition");
        }
        let removed = admin.delete_records(&all, &AdminOptions::new()).await;
        for element in removed.expect("an answer").elements() {
            assert!(element.error().is_ok(), "{element:?}");
        }
    }

    /// Sends a command keyed by its deciding balance.
    pub async fn command_record(&self, key: uuid::Uuid, body: &Value) -> (i32, i64) {
        let (key, value) = (key.to_string(), body.to_string());
        let sent = Sent {
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            ..Sent::default()
        };
        self.send(sent).await
    }

    /// Sends many commands, each keyed by its deciding balance, without waiting in between.
    pub async fn send_all(&self, commands: &[(uuid::Uuid, Value)]) {
        self.ending.moved();
        let producer: FutureProducer = self
            .config()
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        let topic = self.topic("commands");
        let texts: Vec<(String, String)> = commands
            .iter()
            .map(|(key, body)| (key.to_string(), body.to_string()))
            .collect();
        let sending = texts.iter().map(|(key, value)| {
            producer.send(FutureRecord::to(&topic).key(key).payload(value), PATIENCE)
        });
        for delivered in futures::future::join_all(sending).await {
            delivered.expect("the record is delivered");
        }
    }

    /// Waits until every reference has its final outcome; the outcomes that are not repeats.
    pub async fn all_decided(&self, references: &[String]) -> Vec<Value> {
        let topic = self.topic("outcomes");
        until("all outcomes", async || {
            let records = self.records(&topic, None);
            let last = ["applied", "held", "posted", "voided", "rejected"];
            let bodies = records.iter().filter_map(json_of).filter(|body| {
                last.contains(&body["status"].as_str().unwrap_or_default())
                    && body["replay_of"].is_null()
            });
            let mut found = std::collections::HashMap::new();
            for body in bodies {
                let reference = body["reference"].as_str().unwrap_or_default().to_owned();
                found.insert(reference, body);
            }
            references
                .iter()
                .map(|reference| found.get(reference).cloned())
                .collect()
        })
        .await
    }

    /// The outcome of the command at `offset` of `partition`.
    pub async fn outcome(&self, (partition, offset): (i32, i64)) -> Value {
        let topic = self.topic("outcomes");
        until(
            &format!("the outcome of {partition}/{offset}"),
            async || {
                let records = self.records(&topic, Some(partition));
                let bodies = records.iter().filter_map(json_of);
                bodies
                    .filter(|body| body["status"].is_string())
                    .find(|body| body["offset"] == offset)
            },
        )
        .await
    }

    /// Everything that a topic holds now, by partition and offset.
    pub fn records(&self, topic: &str, only: Option<i32>) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", format!("{}.test-reader", self.name))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let metadata = consumer
            .fetch_metadata(Some(topic), PATIENCE)
            .expect("metadata");
        let partitions = metadata.topics()[0].partitions().iter().map(|p| p.id());
        let partitions: Vec<i32> = partitions
            .filter(|p| only.is_none_or(|o| o == *p))
            .collect();
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)
                .expect("a partition");
        }
        consumer.assign(&list).expect("an assignment");
        let mut ends = 0;
        let mut records = Vec::new();
        while ends < partitions.len() {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => records.push(message.detach()),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => panic!("reading {topic}: {error}"),
                None => panic!("reading {topic} takes too long"),
            }
        }
        records.sort_by_key(|record| (record.partition(), record.offset()));
        records
    }

    /// The next offset of a partition of one of our topics.
    pub fn end(&self, topic: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().expect("a consumer");
        let (_, end) = consumer
            .fetch_watermarks(&self.topic(topic), partition, PATIENCE)
            .expect("the end");
        end
    }

    /// Makes a topic that is not one of ours.
    pub async fn make_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin");
        let topic = self.topic(name);
        let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        admin
            .create_topics([&new], &AdminOptions::new())
            .await
            .expect("a topic");
    }
}

/// A record's value as JSON.
pub fn json_of(record: &OwnedMessage) -> Option<Value> {
    serde_json::from_slice(record.payload()?).ok()
}

/// A header's bytes, the last one of its name.
pub fn header<'a>(record: &'a OwnedMessage, name: &str) -> Option<&'a [u8]> {
    let headers = record.headers()?;
    headers
        .iter()
        .filter(|header| header.key == name)
        .last()?
        .value
}

/// A partition as Kafka's own tool prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub committed: i64,
    pub end: i64,
    pub lag: i64,
}

/// What `kafka-consumer-groups --describe` prints of a group, by partition; nothing, with a word
/// on it, where Kafka's jars are not at hand.
pub fn described(brokers: &str, group: &str) -> Option<BTreeMap<u16, Row>> {
    let classpath = kafka_classpath()?;
    let output = Command::new("java")
        .args(["-cp", &classpath, "-Xmx96m", "-XX:TieredStopAtLevel=1"])
        .arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
        .args(["--bootstrap-server", brokers])
        .args(["--describe", "--group", group])
        .output()
        .expect("java runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|row| row.first() == Some(&group));
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
    let number = |text: &str| text.parse().unwrap_or(-1);
    let rows = rows.map(|row| {
        let partition = row[2].parse().expect("a partition");
        let row = Row {
            committed: number(row[3]),
            end: number(row[4]),
            lag: number(row[5]),
        };
        (partition, row)
    });
    Some(rows.collect())
}

/// Removes the world's topics; a test's topics are no use to anybody after it.
pub fn delete_topics(world: &World) {
    let names: Vec<String> = [
        "commands",
        "outcomes",
        "snapshots",
        "replies",
        "dead-letters",
        "answers",
    ]
    .iter()
    .map(|name| world.topic(name))
    .collect();
    let config = world.config();
    // The runtime of the test may be on its way down: this needs one of its own.
    let deleting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        let Ok(admin) = config.create::<AdminClient<DefaultClientContext>>() else {
            return;
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        runtime
            .block_on(admin.delete_topics(&names, &AdminOptions::new()))
            .ok();
    });
    deleting.join().ok();
}
