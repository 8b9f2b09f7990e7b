//! Commands in; state, outcomes and snapshots out.
//!
//! | phase | what | waits on |
//! |---|---|---|
//! | fetch | what has arrived, bounded by records and bytes | Kafka |
//! | recognise | decode, verify seal and route, find poison ([`batch`]) | nothing |
//! | decide | [`crate::ledger::Partition::apply`] in order, in memory ([`batch`]) | nothing |
//! | publish | outcomes, then legs, acknowledged by all replicas ([`finish`]) | Kafka |
//! | store | hot: one script call per batch ([`hot`]) | Redis |
//! | answer | replies ([`finish`]), to old repeats by way of cold ([`recall`]) | Kafka |
//! | flush | one snapshot per touched balance and hold, a marker, the consumer offset ([`flush`]) | Kafka |
//!
//! Later batches are decided while earlier ones are published.
//!
//! - **P1** one partition, one order.
//! - **P2** nothing before its outcome is acknowledged. Dead letters are the exception: they are
//!   no effect, and must not be lost.
//! - **P3** everything produced can be produced again ([`restore`]).
//! - **P4** two owners at once do no harm: they write the same bytes.
//!
//! A dependency that is down never sends anything to the dead letters: the partition waits, keeps
//! its membership and says what it waits for. Knows nothing of HTTP and of the sinks.

mod alone;
pub mod assignment;
mod batch;
mod dead_letter;
mod finish;
mod flush;
mod fold;
mod gauges;
mod hot;
pub mod metrics;
pub mod partition;
pub mod ports;
pub mod rebuild;
mod recall;
mod restore;
pub mod services;
pub mod standby;
mod ticks;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::ledger::{PartitionId, RULES_KNOWN};
use crate::log::{self, Topics};
use crate::telemetry::health::Report;
use crate::wire::Secret;

pub use assignment::run;
pub use metrics::Metrics;
use ports::World;

/// How partitions are processed.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Name of this instance in the group, unique among the instances: a restart within the
    /// session then moves no partition. Without a name membership is dynamic.
    #[arg(long, env = "STEELYARD_INSTANCE")]
    pub instance: Option<String>,
    /// How long the group waits for an instance that has died, in milliseconds [default: 2000, or
    /// what the brokers' group.min.session.timeout.ms allows]
    #[arg(long, env = "STEELYARD_SESSION_MS")]
    pub session_ms: Option<u64>,
    /// Which partitions of other instances to stand by for: with their state in memory a takeover
    /// does not wait for Postgres to be read.
    #[arg(long, env = "STEELYARD_STANDBY", value_enum, default_value_t = StandBy::All)]
    pub standby: StandBy,
    /// How often touched balances are published as snapshots, in milliseconds.
    #[arg(long, env = "STEELYARD_FLUSH_MS", default_value_t = 500)]
    pub flush_ms: u64,
    /// Most records of one batch.
    #[arg(long, env = "STEELYARD_BATCH_RECORDS", default_value_t = 1_000)]
    pub batch_records: usize,
    /// Most bytes of one batch's commands.
    #[arg(long, env = "STEELYARD_BATCH_BYTES", default_value_t = 1_048_576)]
    pub batch_bytes: usize,
    /// Topics besides our own that Kafka producers may ask for replies on, comma separated.
    #[arg(long, env = "STEELYARD_REPLY_TOPICS", value_delimiter = ',')]
    pub reply_topics: Vec<String>,
}

impl Options {
    /// Every topic that replies may be sent to: our own, and those of other requesters.
    pub fn replies_allowed(&self, topics: &Topics) -> Vec<String> {
        let mut allowed = self.reply_topics.clone();
        allowed.push(topics.replies.clone());
        allowed
    }
}

/// For which partitions an instance keeps a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StandBy {
    /// For every partition that it does not own: memory for all of them.
    All,
    /// For none: memory for its own, and a takeover that reads Postgres first.
    None,
}

/// What the partitions of one process share.
pub struct Shared<W> {
    parts: Parts,
    topics: Topics,
    world: W,
    standby: standby::Standby,
    /// Replies to be completed from cold.
    recall: mpsc::Sender<batch::Reply>,
}

impl<W> std::fmt::Debug for Shared<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.parts.options)
            .finish_non_exhaustive()
    }
}

/// What a [`Shared`] is made of, beside the world it works in.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "it holds a closure and secrets"
)]
pub struct Parts {
    pub options: Options,
    pub log: log::Options,
    /// The number of partitions, frozen.
    pub partitions: PartitionId,
    pub generation: Uuid,
    /// Seals legs.
    pub secret: Secret,
    pub metrics: Metrics,
    pub report: Report,
}

/// The stores beside the log.
#[derive(Clone, Debug)]
pub struct Stores {
    pub hot: crate::hot::Options,
    pub pool: PgPool,
}

impl<W> std::ops::Deref for Shared<W> {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl<W: World> Shared<W> {
    /// A process in `world`, and the task that completes its replies from cold, which never ends.
    pub fn new(parts: Parts, world: W) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (recall, waiting) = mpsc::channel(recall::QUEUE_MAX);
        let topics = parts.log.topics();
        parts.metrics.show_zeros();
        let open = parts.options.standby == StandBy::All;
        let shared = Arc::new(Self {
            standby: standby::Standby::new(parts.partitions, open),
            parts,
            topics,
            world,
            recall,
        });
        (shared.clone(), recall::run(shared, waiting))
    }
}

impl<W> Shared<W> {
    fn flush_every(&self) -> Duration {
        Duration::from_millis(self.options.flush_ms.max(10))
    }
}

/// Why an ownership ended before it was told to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Append(#[from] log::producer::AppendFailed),
    #[error("a later owner, of epoch {0}, has the partition")]
    Zombie(u64),
    #[error(
        "redis holds another log's balances under this prefix; give this one a prefix of its own or empty it"
    )]
    OtherLog,
    #[error("redis: {0}")]
    EvictionPolicy(String),
    #[error("postgres: {0}")]
    Cold(#[from] sqlx::Error),
    #[error("kafka: {0}")]
    Read(#[from] log::reader::ReadError),
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("the base is newer than the outcomes folded on it (up to {folded:?}, base {base})")]
    Torn { folded: Option<u64>, base: u64 },
    #[error("outcome {0} cannot be read: {1}")]
    BadOutcome(u64, String),
    #[error("commands were trimmed to {low}, but are needed from {needed}")]
    CommandsTrimmed { needed: u64, low: u64 },
    #[error(
        "the log asks for rules {asked}, and this binary knows those up to {RULES_KNOWN}: run a newer one"
    )]
    Rules { asked: u32 },
    #[error("the log alone does not tell: {0}")]
    Untold(#[from] log::sift::Untold),
    #[error("postgres: {cold}; without it: {log}")]
    NoBase {
        cold: sqlx::Error,
        log: Box<Failure>,
    },
    #[error("postgres holds positions of another log ({0}); this is a refusal, not a wait")]
    OtherGeneration(Uuid),
}

impl Failure {
    /// A label for metrics.
    fn slug(&self) -> &'static str {
        match self {
            Self::Append(_) => "append",
            Self::Zombie(_) => "zombie",
            Self::OtherLog | Self::OtherGeneration(_) => "other-log",
            Self::EvictionPolicy(_) => "eviction-policy",
            Self::Cold(_) | Self::NoBase { .. } => "postgres",
            Self::Untold(_) => "untold",
            Self::Read(_) | Self::Kafka(_) => "kafka",
            Self::Torn { .. } => "torn-base",
            Self::BadOutcome(..) => "bad-outcome",
            Self::CommandsTrimmed { .. } => "commands-trimmed",
            Self::Rules { .. } => "rules",
        }
    }
}
