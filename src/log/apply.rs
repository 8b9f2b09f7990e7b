//! `topics apply`: makes the broker's topics what `topics/` declares.
//!
//! Creates topics, sets drifted settings, writes the genesis records; a run that was cut short is
//! completed by the next one. Several runs at once end in one generation: the record at offset 0
//! of partition 0 of `commands` decides which. Never changes a partition count, never deletes, and
//! never makes a topic again under a log that is in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::admin::{AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::admin::{Admin, Error, WAIT, admin_options, aside, layouts};
use super::drift::{Difference, Fault, Observed};
use super::genesis::Verdict;
use super::peek;
use super::topics::{self, Declaration};
use crate::ledger::PartitionId;
use crate::wire::outcome::GenesisBody;

/// What `apply` did.
#[derive(Clone, Debug)]
pub struct Applied {
    pub created: Vec<String>,
    /// The settings as they were.
    pub altered: Vec<Difference>,
    /// How many genesis records were written.
    pub begun: usize,
    pub genesis: GenesisBody,
    /// What is left, because it is not for `apply` to change.
    pub remaining: Vec<Difference>,
}

impl Admin {
    /// Creates what is missing and sets what drifted. `horizon_seconds` is for a log that has no
    /// genesis record yet; a log that has one keeps its own.
    pub async fn apply(&self, horizon_seconds: u64) -> Result<Applied, Error> {
        let retention = topics::commands_retention_seconds(&self.declared);
        if horizon_seconds < retention {
            let horizon = horizon_seconds;
            return Err(Error::Horizon { horizon, retention });
        }
        let (differences, verdict) = self.inspect().await?;
        self.refuse_to_repair(&differences, &verdict)?;
        let created = self.create(&differences).await?;
        let altered = self.alter(differences).await?;
        self.await_leaders().await?;
        let (begun, genesis) = self.begin(horizon_seconds).await?;
        Ok(Applied {
            created,
            altered,
            begun,
            genesis,
            remaining: self.settle().await?,
        })
    }

    /// A count is frozen. A topic that vanished from a log in use took decisions with it: to make
    /// it again under the old generation would hide that.
    fn refuse_to_repair(&self, found: &[Difference], verdict: &Verdict) -> Result<(), Error> {
        let begins = |name: &String| self.declared.iter().any(|t| t.topic == *name && t.genesis);
        let lost = Fault::Lost {
            generation: verdict.genesis.map(|body| body.generation),
        };
        let refusals = found.iter().filter_map(|difference| match difference {
            Difference::Genesis { .. } if !difference.can_be_applied() => Some(difference.clone()),
            Difference::Missing { topic } if verdict.in_use && begins(topic) => {
                Some(Difference::Genesis {
                    topic: topic.clone(),
                    partition: 0,
                    fault: lost,
                })
            }
            Difference::Partitions { .. } => Some(difference.clone()),
            Difference::Genesis { .. }
            | Difference::Missing { .. }
            | Difference::Replication { .. }
            | Difference::Setting { .. } => None,
        });
        let refusals: Vec<Difference> = refusals.collect();
        match refusals.is_empty() {
            true => Ok(()),
            false => Err(Error::Drift(refusals)),
        }
    }

    async fn create(&self, differences: &[Difference]) -> Result<Vec<String>, Error> {
        let missing = self.declared.iter().filter(|declaration| {
            let topic = declaration.topic.clone();
            differences.contains(&Difference::Missing { topic })
        });
        let missing: Vec<NewTopic<'_>> = missing.map(new_topic).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.client.create_topics(&missing, &admin_options());
        let mut created = Vec::new();
        for answer in answers.await? {
            match answer {
                Ok(topic) => created.push(topic),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(Error::Refused { topic, code }),
            }
        }
        Ok(created)
    }

    async fn alter(&self, differences: Vec<Difference>) -> Result<Vec<Difference>, Error> {
        let setting = |difference: &Difference| matches!(difference, Difference::Setting { .. });
        let drifted: Vec<Difference> = differences.into_iter().filter(setting).collect();
        if drifted.is_empty() {
            return Ok(drifted);
        }
        let observed = self.observe().await?;
        for declaration in &self.declared {
            if let Some(actual) = observed.get(&declaration.topic) {
                self.set(declaration, actual, &drifted).await?;
            }
        }
        Ok(drifted)
    }

    /// The request replaces all of a topic's own settings, so the others are sent along as they
    /// are.
    async fn set(
        &self,
        declaration: &Declaration,
        actual: &Observed,
        drifted: &[Difference],
    ) -> Result<(), Error> {
        let mut own = actual.own.clone();
        for difference in drifted {
            if let Difference::Setting {
                topic,
                name,
                declared,
                ..
            } = difference
                && *topic == declaration.topic
            {
                own.insert(name.clone(), declared.clone());
            }
        }
        if own == actual.own {
            return Ok(());
        }
        let resource = ResourceSpecifier::Topic(&declaration.topic);
        let config = AlterConfig::new(resource);
        let config = own
            .iter()
            .fold(config, |config, (name, value)| config.set(name, value));
        let answers = self.client.alter_configs([&config], &admin_options());
        match answers.await?.into_iter().next() {
            Some(Err((_, code))) => Err(Error::Refused {
                topic: declaration.topic.clone(),
                code,
            }),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// A new topic is known everywhere a moment after it was created.
    async fn await_leaders(&self) -> Result<(), Error> {
        let names: Vec<String> = self.declared.iter().map(|t| t.topic.clone()).collect();
        let reader = Arc::clone(&self.reader);
        aside(move || {
            let deadline = Instant::now() + WAIT;
            loop {
                let known = layouts(&reader, &names)?;
                let counts = known
                    .iter()
                    .map(|(name, topic)| (name.clone(), topic.partitions));
                let counts: Vec<(String, PartitionId)> = counts.collect();
                let led = peek::offsets(&reader, &counts, Offset::End, WAIT).is_ok();
                if led && known.len() == names.len() {
                    return Ok(());
                }
                if Instant::now() > deadline {
                    let code = RDKafkaErrorCode::OperationTimedOut;
                    return Err(KafkaError::MetadataFetch(code));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        })
        .await
    }

    /// What differs once the brokers know what was changed: a controller answers before they do.
    async fn settle(&self) -> Result<Vec<Difference>, Error> {
        let deadline = Instant::now() + WAIT;
        loop {
            let remaining = self.differences().await?;
            let pending = remaining.iter().any(Difference::can_be_applied);
            if !pending || Instant::now() > deadline {
                return Ok(remaining);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn new_topic(declaration: &Declaration) -> NewTopic<'_> {
    let topic = NewTopic::new(
        &declaration.topic,
        i32::from(declaration.partitions),
        TopicReplication::Fixed(i32::from(declaration.replication_factor)),
    );
    let settings = declaration.settings.iter();
    settings.fold(topic, |topic, (name, value)| topic.set(name, value))
}
