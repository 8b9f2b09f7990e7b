//! A topic of one's own, taken away afterwards.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use steelyard::log::Options;

/// A topic that exists for the length of a baseline. Whoever made it deletes it; should the
/// process die first, its records are gone within ten minutes all the same.
pub struct Scratch {
    admin: AdminClient<DefaultClientContext>,
    pub name: String,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({})", self.name)
    }
}

/// Between two looks whether a new topic can be used.
const LOOK: Duration = Duration::from_millis(50);

impl Scratch {
    pub async fn create(
        options: &Options,
        name: &str,
        (partitions, replicas): (u16, i32),
    ) -> Result<Self> {
        let admin: AdminClient<DefaultClientContext> = options.client().create()?;
        let topic = NewTopic::new(
            name,
            i32::from(partitions),
            TopicReplication::Fixed(replicas),
        )
        .set("cleanup.policy", "delete")
        .set("retention.ms", "600000");
        let wait = AdminOptions::new().operation_timeout(Some(super::ASK));
        let results = admin.create_topics([&topic], &wait).await?;
        for result in results {
            result.map_err(|(name, code)| anyhow!("cannot create the topic {name}: {code}"))?;
        }
        let scratch = Self {
            admin,
            name: name.to_owned(),
        };
        scratch.ready(options, partitions).await?;
        Ok(scratch)
    }

    /// The broker announces a topic a moment after it was made.
    async fn ready(&self, options: &Options, partitions: u16) -> Result<()> {
        let deadline = tokio::time::Instant::now() + super::ASK;
        loop {
            let consumer = super::reader(options)?;
            let seen = super::shape(&consumer, &self.name)
                .and_then(|_| super::ends(&consumer, &self.name, partitions));
            match seen {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("{} is not ready", self.name));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    pub async fn delete(self) -> Result<()> {
        let results = self
            .admin
            .delete_topics(&[&self.name], &AdminOptions::new())
            .await?;
        for result in results {
            result.map_err(|(name, code)| anyhow!("cannot delete the topic {name}: {code}"))?;
        }
        Ok(())
    }
}
