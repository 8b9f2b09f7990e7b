//! Reading a topic from where it ends now, in a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use steelyard::log::Options;

/// A running reader. Every record that arrives after [`Tail::start`] is handed on, in the order of
/// its partition.
#[derive(Debug)]
pub struct Tail {
    thread: JoinHandle<Result<()>>,
    stop: Arc<AtomicBool>,
}

/// How long the end of a topic may take to be reached when stopping.
const LAST_READ: Duration = Duration::from_secs(10);

impl Tail {
    /// Positions at the end of every partition before it returns, so that nothing sent afterwards
    /// is missed. `on` gets the partition and the value of each record.
    pub fn start(
        options: &Options,
        topic: &str,
        partitions: u16,
        mut on: impl FnMut(u16, &[u8]) + Send + 'static,
    ) -> Result<Self> {
        let consumer = super::reader(options)?;
        let from = super::ends(&consumer, topic, partitions)?;
        assign(&consumer, topic, &from)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (topic, stopping) = (topic.to_owned(), stop.clone());
        let thread = thread::Builder::new()
            .name("outcomes".to_owned())
            .spawn(move || {
                let mut next = from;
                while !stopping.load(Ordering::Relaxed) {
                    step(&consumer, &mut next, &mut on)?;
                }
                let ends = super::ends(&consumer, &topic, partitions)?;
                let deadline = Instant::now() + LAST_READ;
                while next.iter().zip(&ends).any(|(next, end)| next < end) {
                    if Instant::now() > deadline {
                        return Err(anyhow!("the end of {topic} was not reached in time"));
                    }
                    step(&consumer, &mut next, &mut on)?;
                }
                Ok(())
            })?;
        Ok(Self { thread, stop })
    }

    /// Reads what the topic has at this moment, and ends.
    pub fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the reader of outcomes panicked"))?
    }
}

/// Reads one record, if one comes within a moment.
fn step(consumer: &BaseConsumer, next: &mut [i64], on: &mut impl FnMut(u16, &[u8])) -> Result<()> {
    match consumer.poll(Duration::from_millis(20)) {
        None => {}
        // Lost connections and the like: the client goes on by itself.
        Some(Err(error)) if error.rdkafka_error_code().is_none_or(transient) => {}
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(message)) => {
            let partition = u16::try_from(message.partition()).unwrap_or_default();
            if let Some(next) = next.get_mut(usize::from(partition)) {
                *next = message.offset() + 1;
            }
            on(partition, message.payload().unwrap_or_default());
        }
    }
    Ok(())
}

fn transient(code: rdkafka::types::RDKafkaErrorCode) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    ![
        Code::AutoOffsetReset,
        Code::OffsetOutOfRange,
        Code::UnknownTopicOrPartition,
        Code::UnknownTopic,
        Code::TopicAuthorizationFailed,
    ]
    .contains(&code)
}

/// Assigns all partitions of `topic` at these offsets.
pub fn assign(consumer: &BaseConsumer, topic: &str, from: &[i64]) -> Result<()> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from.iter().enumerate() {
        let partition = i32::try_from(partition)?;
        list.add_partition_offset(topic, partition, Offset::Offset(*offset))?;
    }
    consumer.assign(&list)?;
    Ok(())
}
