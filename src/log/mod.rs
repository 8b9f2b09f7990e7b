//! Kafka: names, client settings, and the few ways in which this system reads and writes the log.
//!
//! Only this module and `topics/` spell a topic. Every producer names the partition itself
//! ([`crate::ledger::partition_of`]) and is idempotent with `acks=all`; no client is relied on
//! that goes on after a failed append.

pub mod acls;
pub mod admin;
pub mod alone;
pub mod apply;
mod begin;
pub mod consumer;
pub mod drift;
pub mod fenced;
pub mod follower;
pub mod genesis;
pub mod lag;
pub mod letters;
pub mod markers;
pub mod meter;
pub mod owners;
pub mod peek;
pub mod producer;
pub mod reader;
pub mod session;
mod shares;
pub mod sift;
pub mod status;
pub mod topics;

use rdkafka::ClientConfig;

/// How to reach the log.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Kafka bootstrap servers, comma separated.
    #[arg(
        long,
        env = "STEELYARD_KAFKA_BROKERS",
        default_value = "127.0.0.1:9092"
    )]
    pub kafka_brokers: String,
    /// Any librdkafka property as NAME=VALUE, for every client (TLS, SASL, time-outs). Repeat the
    /// flag for more of them; in the variable each stands on a line of its own. A value may hold
    /// anything but a line's end.
    #[arg(
        long = "kafka-property",
        env = "STEELYARD_KAFKA_PROPERTIES",
        hide_env_values = true,
        value_parser = properties
    )]
    pub kafka_properties: Vec<Properties>,
    /// First part of every topic's name.
    #[arg(long, env = "STEELYARD_TOPIC_PREFIX", default_value = "steelyard")]
    pub topic_prefix: String,
}

/// Names and values, in the order in which they are set.
pub type Properties = Vec<(String, String)>;

/// Reads one property a line. What is wrong is told without the value, which may be a secret.
fn properties(text: &str) -> Result<Properties, String> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let pairs = lines.map(|(at, line)| {
        let pair = line
            .split_once('=')
            .map(|(name, value)| (name.trim(), value));
        let pair = pair.filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or_else(|| format!("line {} is not NAME=VALUE", at + 1))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// The topics' names under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    pub commands: String,
    pub outcomes: String,
    pub snapshots: String,
    pub replies: String,
    pub dead_letters: String,
}

impl Topics {
    pub fn new(prefix: &str) -> Self {
        let name = |topic: &str| format!("{prefix}.{topic}");
        Self {
            commands: name("commands"),
            outcomes: name("outcomes"),
            snapshots: name("snapshots"),
            replies: name("replies"),
            dead_letters: name("dead-letters"),
        }
    }
}

impl Topics {
    /// All of them.
    pub fn all(&self) -> [&str; 5] {
        [
            &self.commands,
            &self.outcomes,
            &self.snapshots,
            &self.replies,
            &self.dead_letters,
        ]
    }
}

impl Options {
    pub fn topics(&self) -> Topics {
        Topics::new(&self.topic_prefix)
    }

    /// The name of a consumer group of this installation, such as `steelyard.balance-sink`.
    pub fn group(&self, role: &str) -> String {
        format!("{}.{role}", self.topic_prefix)
    }

    /// The operator's properties, to be set after our own.
    pub fn properties(&self) -> impl Iterator<Item = &(String, String)> {
        self.kafka_properties.iter().flatten()
    }

    /// What every client has in common, with the operator's properties last.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_brokers)
            .set("client.id", "steelyard")
            .set("log_level", "4")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("retry.backoff.ms", "20")
            .set("topic.metadata.refresh.interval.ms", "60000");
        for (name, value) in self.properties() {
            config.set(name, value);
        }
        config
    }

    /// A producer that keeps order and never gives up on a record: `acks=all`, idempotent, and
    /// no expiry, so that a broker that is down means waiting and never a gap.
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("enable.gapless.guarantee", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.codec", "lz4")
            // A request serves one partition, so a broker's cost per record falls with what a
            // moment gathers; this is the latency each hop pays for it.
            .set("linger.ms", "4")
            .set("queue.buffering.max.messages", "500000")
            // As much as the topics take: an outcome holds the legs it sends.
            .set("message.max.bytes", "2097152");
        for (name, value) in self.properties() {
            config.set(name, value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_holds_whatever_fits_a_line() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let table = [
            ("a=b", Some(vec![pair("a", "b")])),
            (
                "sasl.password=x,y=z ;",
                Some(vec![pair("sasl.password", "x,y=z ;")]),
            ),
            (
                "a=1\n\n b =2\r\n",
                Some(vec![pair("a", "1"), pair("b", "2")]),
            ),
            ("a=", Some(vec![pair("a", "")])),
            ("", Some(vec![])),
            ("a", None),
            ("a=1\nhush", None),
            ("=b", None),
        ];
        for (text, expected) in table {
            assert_eq!(properties(text).ok(), expected, "{text:?}");
        }
        let told = properties("a=1\nhush").unwrap_err();
        assert_eq!(told, "line 2 is not NAME=VALUE");
    }
}
