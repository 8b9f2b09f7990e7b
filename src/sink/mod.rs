//! The sinks: the log into Postgres.
//!
//! | sink | reads | writes | when |
//! |---|---|---|---|
//! | journal | `outcomes` | transactions, entries, references | as outcomes arrive |
//! | balances | `snapshots` | balances | as a marker is accepted |
//!
//! Both take turns of the same three phases:
//!
//! | phase | what | when it fails |
//! |---|---|---|
//! | gather | what has arrived, bounded by records, bytes and time; no waiting at low load | the log is away: wait |
//! | write | rows and positions, one transaction over all partitions | Postgres is away: the same batch again |
//! | tell | hot, and the group's offsets | somebody looks at an older number |
//!
//! - **S1** balances change only in the transaction that accepts a marker.
//! - **S2** a marker is accepted only if rows and gathered snapshots sum up to it ([`check`]).
//! - **S3** rows and position move together; the group's offset follows.
//! - **S4** a reference stands for one transaction in its ledger.
//!
//! Where to read on is in Postgres alone. Several instances share the partitions; one that writes
//! for a partition it has lost is stopped by the position it would start from. While Postgres is
//! away a sink keeps its membership, reads nothing, and says what it waits for.

mod balances;
mod batch;
mod chain;
mod check;
mod desk;
mod journal;
pub mod metrics;
mod page;
mod pages;
pub mod ports;
pub mod services;
mod watch;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cold::write::Sink;
use crate::telemetry::health::Report;

pub use metrics::SinkMetrics;
use ports::World;
use services::Services;

/// How much the sinks take at once.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Static name of this sink process in its consumer groups: a restart keeps its partitions.
    #[arg(long, env = "STEELYARD_SINK_INSTANCE")]
    pub sink_instance: Option<String>,
    /// Most outcomes of one write.
    #[arg(long, env = "STEELYARD_SINK_BATCH_RECORDS", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub sink_batch_records: u32,
    /// Most bytes of rows of one write.
    #[arg(long, env = "STEELYARD_SINK_BATCH_BYTES", default_value_t = 16 * 1024 * 1024,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub sink_batch_bytes: u32,
    /// Most balances gathered before those with a marker are written.
    #[arg(long, env = "STEELYARD_SINK_BATCH_BALANCES", default_value_t = 50_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub sink_batch_balances: u32,
    /// Longest time to gather for one write, in milliseconds. What has arrived is written at
    /// once; this bounds a gathering that never runs dry.
    #[arg(long, env = "STEELYARD_SINK_BATCH_MS", default_value_t = 500)]
    pub sink_batch_ms: u32,
    /// Seconds without an accepted marker, while snapshots arrive, after which the balance sink
    /// raises an alarm.
    #[arg(long, env = "STEELYARD_SINK_ALARM_SECONDS", default_value_t = 300)]
    pub sink_alarm_seconds: u32,
    /// Seconds that a balance stays in Redis after its version is in Postgres.
    #[arg(long, env = "STEELYARD_HOT_TTL_SECONDS", default_value_t = 3600,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub hot_ttl_seconds: u32,
}

impl Options {
    fn gather_max(&self) -> Duration {
        Duration::from_millis(self.sink_batch_ms.into())
    }
}

/// What a sink works with.
#[derive(Clone)]
pub struct Wiring {
    /// The log's identity. Positions of another log are a refusal to start.
    pub generation: Uuid,
    pub metrics: SinkMetrics,
    pub report: Report,
    /// Cancelled, the sinks finish what they write, and leave.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Wiring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// The name under which health and groups know a sink.
fn role(sink: Sink) -> &'static str {
    match sink {
        Sink::Journal => "journal-sink",
        Sink::Balances => "balance-sink",
    }
}

/// Follows `outcomes` until stopped.
///
/// # Errors
/// If it must not go on: cold was filled from another log, or the log has lost what comes next.
pub fn run_journal<W: World>(
    options: Options,
    world: Arc<W>,
    wiring: Wiring,
) -> BoxFuture<'static, anyhow::Result<()>> {
    async move { journal::Journal::join(&options, world, wiring)?.run().await }.boxed()
}

/// Follows `snapshots` until stopped.
///
/// # Errors
/// As [`run_journal`].
pub fn run_balances<W: World>(
    options: Options,
    world: Arc<W>,
    wiring: Wiring,
) -> BoxFuture<'static, anyhow::Result<()>> {
    async move {
        balances::Balances::join(&options, world, wiring)?
            .run()
            .await
    }
    .boxed()
}

/// Runs both. If one must not go on, the other is stopped too.
///
/// # Errors
/// As [`run_journal`].
pub async fn run(services: Services, wiring: Wiring) -> anyhow::Result<()> {
    let options = services.options.clone();
    let world = Arc::new(services);
    let stop = wiring.stop.child_token();
    let _also_if_dropped = stop.clone().drop_guard();
    let wiring = Wiring {
        stop: stop.clone(),
        ..wiring
    };
    let ends = || {
        let stop = stop.clone();
        move |_: &anyhow::Result<()>| stop.cancel()
    };
    let journal = run_journal(options.clone(), world.clone(), wiring.clone());
    let balances = run_balances(options, world, wiring);
    let (journal, balances) = tokio::join!(journal.inspect(ends()), balances.inspect(ends()));
    journal.and(balances)
}
