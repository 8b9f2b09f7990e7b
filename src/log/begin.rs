//! Writes the genesis records of a new log, each as the first record of its partition.

use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use super::admin::{Admin, Error};
use super::genesis::{self, First, Start};
use crate::ledger::PartitionId;
use crate::wire::outcome::GenesisBody;
use crate::wire::record::GENESIS_KEY;

impl Admin {
    /// Writes the genesis record wherever it is absent, and says how often.
    pub(super) async fn begin(&self, horizon_seconds: u64) -> Result<(usize, GenesisBody), Error> {
        let topics = self.declared.iter().filter(|topic| topic.genesis);
        let topics = topics.map(|topic| (topic.topic.clone(), topic.partitions));
        let topics: Vec<(String, PartitionId)> = topics.collect();
        let anchor = vec![(self.names.commands.clone(), 1)];

        let known = self.starts(topics.clone()).await?;
        let known = genesis::judge(&known, &self.names.commands).genesis;
        let proposed = known.unwrap_or_else(|| GenesisBody {
            generation: Uuid::new_v4(),
            horizon_seconds,
        });
        let mut written = self.write(anchor.clone(), proposed).await?;
        let chosen = self.starts(anchor).await?.into_iter().next();
        let chosen = match chosen.map(|start| start.first) {
            Some(First::Genesis(body)) => body,
            Some(First::Empty | First::Trimmed | First::Foreign) | None => proposed,
        };
        written += self.write(topics, chosen).await?;
        Ok((written, chosen))
    }

    /// Writes the genesis record to those partitions that are empty.
    async fn write(
        &self,
        topics: Vec<(String, PartitionId)>,
        body: GenesisBody,
    ) -> Result<usize, Error> {
        let mut empty = self.starts(topics).await?;
        empty.retain(|start| start.first == First::Empty);
        if empty.is_empty() {
            return Ok(0);
        }
        let mut config = self.options.producer();
        config.set("message.timeout.ms", "30000");
        let producer: FutureProducer = config.create()?;
        let value = serde_json::to_vec(&body).expect("a genesis body is plain data");
        let send = |start: &Start| {
            let record = FutureRecord::to(&start.topic)
                .partition(i32::from(start.partition))
                .key(GENESIS_KEY)
                .payload(&value);
            producer.send_result(record).map_err(|(error, _)| error)
        };
        let sent: Vec<_> = empty.iter().map(send).collect::<Result<_, _>>()?;
        for delivered in futures::future::join_all(sent).await {
            let canceled = |_| KafkaError::Canceled;
            delivered.map_err(canceled)?.map_err(|(error, _)| error)?;
        }
        Ok(empty.len())
    }
}
