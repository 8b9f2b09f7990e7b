//! The log, as a client sees it: sending commands on schedule, reading outcomes, and the little
//! administration that measuring needs.

pub mod group;
pub mod producer;
pub mod road;
pub mod scratch;
pub mod sinks;
pub mod tail;

pub use producer::Route;
pub use road::Road;
pub use sinks::{Drained, Sinks};
pub use tail::Tail;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use steelyard::log::Options;

/// How long a question to the broker may take.
pub const ASK: Duration = Duration::from_secs(15);

/// A consumer that joins no group and commits nothing.
pub fn reader(options: &Options) -> Result<BaseConsumer> {
    let config = reader_config(options, "load-reader");
    config.create().context("cannot create a Kafka consumer")
}

fn reader_config(options: &Options, group: &str) -> rdkafka::ClientConfig {
    let mut config = options.client();
    config
        .set("client.id", "steelyard-load")
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "65536");
    for (name, value) in options.properties() {
        config.set(name, value);
    }
    config
}

/// How many partitions and replicas a topic has.
pub fn shape(consumer: &BaseConsumer, topic: &str) -> Result<(u16, i32)> {
    let metadata = consumer
        .fetch_metadata(Some(topic), ASK)
        .with_context(|| format!("no broker answered about {topic}"))?;
    let partitions = metadata
        .topics()
        .first()
        .map_or(&[][..], |t| t.partitions());
    ensure!(
        !partitions.is_empty(),
        "there is no topic {topic}: is Steelyard set up here, and under this prefix?"
    );
    let replicas = partitions.first().map_or(1, |p| p.replicas().len());
    Ok((
        u16::try_from(partitions.len()).context("too many partitions")?,
        i32::try_from(replicas)?,
    ))
}

/// The end of every partition: the offset that the next record will have.
pub fn ends(consumer: &BaseConsumer, topic: &str, partitions: u16) -> Result<Vec<i64>> {
    (0..partitions)
        .map(|partition| {
            let (_, high) = consumer
                .fetch_watermarks(topic, i32::from(partition), ASK)
                .with_context(|| format!("no broker answered about {topic}/{partition}"))?;
            Ok(high)
        })
        .collect()
}
