//! How far a consumer group is behind: what `kafka-consumer-groups` prints as LAG.

use anyhow::Result;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use steelyard::log::Options;

pub struct Group {
    consumer: BaseConsumer,
    topic: String,
    partitions: u16,
}

impl Group {
    /// Looks at `group` on `topic` without joining it.
    pub fn watch(options: &Options, group: &str, topic: &str, partitions: u16) -> Result<Self> {
        let consumer = super::reader_config(options, group).create()?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            partitions,
        })
    }

    /// Records behind; nothing if a partition with records has no committed offset.
    pub fn lag(&self) -> Result<Option<u64>> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(&self.topic, 0, i32::from(self.partitions) - 1);
        let committed = self.consumer.committed_offsets(wanted, super::ASK)?;
        let ends = super::ends(&self.consumer, &self.topic, self.partitions)?;
        let mut lag = 0;
        for (element, end) in committed.elements().iter().zip(ends) {
            match element.offset().to_raw() {
                Some(offset) if offset >= 0 => lag += u64::try_from(end - offset).unwrap_or(0),
                Some(_) | None if end == 0 => {}
                Some(_) | None => return Ok(None),
            }
        }
        Ok(Some(lag))
    }
}
