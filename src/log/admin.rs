//! Compares the broker's topics with what `topics/` declares, and refuses to start on a difference.
//!
//! | call | does | never |
//! |---|---|---|
//! | `verify` | what every role asks first: the count P, the generation, the dedupe horizon | lets a role start on another log |
//! | `differences` | compares counts, settings and the partitions' first records | changes anything |
//! | [`apply`](super::apply) | creates what is missing, sets what drifted, writes missing genesis records | changes a partition count, deletes, or repairs a log that was in use |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use uuid::Uuid;

use super::drift::{self, Difference, Observed};
use super::genesis::{self, Start, Verdict};
use super::peek;
use super::topics::{self, Declaration};
use super::{Options, Topics};
use crate::ledger::PartitionId;

pub(super) const WAIT: Duration = Duration::from_secs(10);

/// What a role may rely on once the log is as declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// P.
    pub partitions: PartitionId,
    pub generation: Uuid,
    pub horizon_seconds: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the log is not as declared:{}", lines(.0))]
    Drift(Vec<Difference>),
    #[error(
        "a dedupe horizon of {horizon} s is shorter than the {retention} s that commands are kept"
    )]
    Horizon { horizon: u64, retention: u64 },
    #[error("{topic}: the broker refuses: {code}")]
    Refused {
        topic: String,
        code: RDKafkaErrorCode,
    },
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
}

fn lines(differences: &[Difference]) -> String {
    let lines = differences
        .iter()
        .map(|difference| format!("\n  {difference}"));
    lines.collect()
}

/// Checks that the log is the declared one, whole and of one generation.
///
/// # Errors
/// [`Error::Drift`] says that it is not, and where; [`Error::Kafka`] that it cannot be told now.
pub async fn verify(options: &Options, topics: &topics::Options) -> Result<Verified, Error> {
    let admin = Admin::new(options, topics)?;
    let (differences, verdict) = admin.inspect().await?;
    let mut refusals = differences;
    refusals.retain(Difference::refuses_start);
    match verdict.genesis {
        Some(genesis) if refusals.is_empty() => Ok(Verified {
            partitions: admin.count(),
            generation: genesis.generation,
            horizon_seconds: genesis.horizon_seconds,
        }),
        Some(_) | None => Err(Error::Drift(refusals)),
    }
}

/// The declared topics, and the broker they are on.
pub struct Admin {
    pub(super) options: Options,
    pub(super) names: Topics,
    pub(super) declared: Vec<Declaration>,
    pub(super) client: AdminClient<DefaultClientContext>,
    pub(super) reader: Arc<BaseConsumer>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Admin {
    pub fn new(options: &Options, topics: &topics::Options) -> KafkaResult<Self> {
        let names = options.topics();
        Ok(Self {
            declared: topics::declared(&names, topics),
            names,
            client: AdminClient::from_config(&options.client())?,
            reader: Arc::new(peek::reader(options)?),
            options: options.clone(),
        })
    }

    /// Everything in which the log differs from its declaration.
    pub async fn differences(&self) -> Result<Vec<Difference>, Error> {
        Ok(self.inspect().await?.0)
    }

    fn count(&self) -> PartitionId {
        self.declared.first().map_or(0, |topic| topic.partitions)
    }

    pub(super) async fn inspect(&self) -> Result<(Vec<Difference>, Verdict), Error> {
        let observed = self.observe().await?;
        let mut differences = drift::compare(&self.declared, &observed);
        let verdict = self.judge(&observed).await?;
        differences.extend(verdict.differences.iter().cloned());
        Ok((differences, verdict))
    }

    async fn judge(&self, observed: &BTreeMap<String, Observed>) -> Result<Verdict, Error> {
        let begun = self.declared.iter().filter(|topic| topic.genesis);
        let begun = begun.filter_map(|topic| {
            let actual = observed.get(&topic.topic)?;
            Some((topic.topic.clone(), actual.partitions))
        });
        let starts = self.starts(begun.collect()).await?;
        Ok(genesis::judge(&starts, &self.names.commands))
    }

    pub(super) async fn starts(
        &self,
        topics: Vec<(String, PartitionId)>,
    ) -> Result<Vec<Start>, Error> {
        let reader = Arc::clone(&self.reader);
        aside(move || genesis::starts(&reader, &topics)).await
    }

    /// The declared topics that are there.
    pub async fn observe(&self) -> Result<BTreeMap<String, Observed>, Error> {
        let names: Vec<String> = self.declared.iter().map(|t| t.topic.clone()).collect();
        let reader = Arc::clone(&self.reader);
        let mut observed = aside(move || layouts(&reader, &names)).await?;
        if observed.is_empty() {
            return Ok(observed);
        }
        let resources: Vec<ResourceSpecifier<'_>> = observed
            .keys()
            .map(|topic| ResourceSpecifier::Topic(topic))
            .collect();
        let answers = self
            .client
            .describe_configs(&resources, &admin_options())
            .await?;
        let names: Vec<String> = observed.keys().cloned().collect();
        for (topic, answer) in names.into_iter().zip(answers) {
            let resource = answer.map_err(|code| Error::Refused {
                topic: topic.clone(),
                code,
            })?;
            let entry = observed.entry(topic).or_default();
            for setting in resource.entries {
                let value = setting.value.unwrap_or_default();
                if setting.source == ConfigSource::DynamicTopic {
                    entry.own.insert(setting.name.clone(), value.clone());
                }
                entry.settings.insert(setting.name, value);
            }
        }
        Ok(observed)
    }
}

pub(super) fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(WAIT))
        .operation_timeout(Some(WAIT))
}

/// Counts of those topics that are there.
pub(super) fn layouts(
    reader: &BaseConsumer,
    names: &[String],
) -> KafkaResult<BTreeMap<String, Observed>> {
    let mut found = BTreeMap::new();
    for name in names {
        let metadata = reader.fetch_metadata(Some(name), WAIT)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let Some(topic) = topic.filter(|topic| !topic.partitions().is_empty()) else {
            continue;
        };
        let replicas = topic.partitions().iter().map(|p| p.replicas().len()).min();
        let observed = Observed {
            partitions: PartitionId::try_from(topic.partitions().len()).unwrap_or(PartitionId::MAX),
            replication_factor: u16::try_from(replicas.unwrap_or_default()).unwrap_or(u16::MAX),
            ..Observed::default()
        };
        found.insert(name.clone(), observed);
    }
    Ok(found)
}

/// Runs what blocks where it may.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, Error> {
    let joined = tokio::task::spawn_blocking(work).await;
    let result = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    Ok(result?)
}
