//! `steelyard rebuild`: hot or cold from the log, while everything runs.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::progress::{bar, done};
use crate::cold::read::journaled;
use crate::cold::write::foreign_generation;
use crate::config::{Config, duration};
use crate::hot::audit::Reader;
use crate::hot::key::Keys;
use crate::ledger::PartitionId;
use crate::log::admin::{self, Verified};
use crate::processor::rebuild::{Basis, Rebuilt, Source, cold};
use crate::{hot, sink, telemetry};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Empties Redis and waits until the owners have filled it again. Readers get answers from
    /// Postgres meanwhile; ingress claims stay.
    Hot(Box<Options>),
    /// Writes balances, transactions and entries anew from outcomes. Balances change in one
    /// transaction for each partition; transactions and entries are missing until they are
    /// written again.
    Cold(Box<Options>),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Options {
    /// Rebuilds this partition only; repeat or separate with commas. All of them by default.
    #[arg(
        long = "partition",
        env = "STEELYARD_REBUILD_PARTITIONS",
        value_name = "PARTITION",
        value_delimiter = ',',
        help_heading = "Rebuild"
    )]
    only: Vec<PartitionId>,
    /// How long to wait for a partition until it is whole again.
    #[arg(
        long,
        env = "STEELYARD_REBUILD_WAIT",
        default_value = "10m",
        value_parser = duration,
        help_heading = "Rebuild"
    )]
    wait: Duration,
    #[command(flatten)]
    config: Config,
}

const PAUSE: Duration = Duration::from_millis(100);

/// Exits with 0 once everything is whole.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (What::Hot(options) | What::Cold(options)) = &args.what;
    telemetry::init(&options.config.telemetry.logs)?;
    let verified = admin::verify(&options.config.log, &options.config.topics).await?;
    let count = verified.partitions;
    let partitions = match &*options.only {
        [] => (0..count).collect(),
        only => only.to_vec(),
    };
    if let Some(beyond) = partitions.iter().find(|number| **number >= count) {
        bail!("there is no partition {beyond}: the log has {count}");
    }
    match &args.what {
        What::Hot(_) => rebuild_hot(options, verified, &partitions).await?,
        What::Cold(_) => rebuild_cold(options, verified, &partitions).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn rebuild_hot(
    options: &Options,
    verified: Verified,
    partitions: &[PartitionId],
) -> anyhow::Result<()> {
    let hot = &options.config.hot;
    let mut reader = Reader::new(hot.connect()?, Keys::new(&hot.redis_prefix));
    let found = reader.balances().await.context("redis")?;
    for partition in partitions {
        let stands = reader.standing(*partition).await.context("redis")?;
        let foreign = stands
            .generation
            .filter(|it| *it != verified.generation.to_string());
        if let Some(other) = foreign {
            bail!("redis holds the balances of another log ({other}) under this prefix");
        }
        let of = |(number, _): &&(PartitionId, _)| number == partition;
        let ids: Vec<_> = found.iter().filter(of).map(|(_, id)| *id).collect();
        let removed = hot::rebuild::empty(hot, *partition, &ids)
            .await
            .context("redis")?;
        let bar = bar(&format!("partition {partition}: hot"));
        let started = Instant::now();
        let offset = loop {
            let stands = reader.standing(*partition).await.context("redis")?;
            if let (true, Some(offset)) = (stands.installed, stands.offset) {
                break offset;
            }
            let waited = started.elapsed();
            ensure!(
                waited < options.wait,
                "partition {partition}: emptied, and no processor has filled it in {waited:.0?}"
            );
            bar.tick();
            tokio::time::sleep(PAUSE).await;
        };
        let line = format!(
            "partition {partition}: {removed} balances removed, whole again as of command {offset}"
        );
        done(&bar, &line);
    }
    Ok(())
}

async fn rebuild_cold(
    options: &Options,
    verified: Verified,
    partitions: &[PartitionId],
) -> anyhow::Result<()> {
    let config = &options.config;
    let pool = config.cold.connect()?;
    let other = foreign_generation(&pool, verified.generation).await;
    if let Some(other) = other.context("postgres")? {
        bail!("postgres holds positions of another log ({other})");
    }
    let mut rebuilt = Vec::new();
    for partition in partitions {
        let source = Source {
            log: config.log.clone(),
            pool: pool.clone(),
            generation: verified.generation,
            partition: *partition,
            count: verified.partitions,
        };
        let bar = bar(&format!("partition {partition}: balances"));
        let shown = bar.clone();
        let show = move |read, all| {
            shown.set_length(all);
            shown.set_position(read);
        };
        let it = cold(source, show).await;
        let it = it.with_context(|| format!("partition {partition}"))?;
        done(&bar, &told(*partition, &it));
        rebuilt.push((*partition, it));
    }
    journal(options, verified, pool, &rebuilt).await
}

fn told(partition: PartitionId, it: &Rebuilt) -> String {
    let Some(offset) = it.command_offset else {
        return format!("partition {partition}: nothing was decided yet");
    };
    let base = match &it.basis {
        Basis::Outcomes => String::new(),
        Basis::Snapshots(as_of) => {
            format!("; outcomes are trimmed: begun from snapshots as of command {as_of}")
        }
        Basis::Cold(why) => format!(
            "; outcomes are trimmed, and the log alone does not tell ({why}): rows that did not \
             change since are as they were"
        ),
    };
    let balances = it.balances;
    format!("partition {partition}: {balances} balances as of command {offset}{base}")
}

/// Takes part in the journal's group until the rebuilt partitions are written again, by whomever.
async fn journal(
    options: &Options,
    verified: Verified,
    pool: sqlx::PgPool,
    rebuilt: &[(PartitionId, Rebuilt)],
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let config = &options.config;
    let services = sink::services::Services {
        log: config.log.clone(),
        hot: config.hot.clone(),
        pool: pool.clone(),
        generation: verified.generation,
        // A static name would put out whoever has it.
        options: sink::Options {
            sink_instance: None,
            ..config.sink.clone()
        },
    };
    let wiring = sink::Wiring {
        generation: verified.generation,
        metrics: sink::SinkMetrics::new(&Registry::new())?,
        report: Arc::new(|_, _| {}),
        stop: stop.clone(),
    };
    let taken = services.options.clone();
    let running = sink::run_journal(taken, Arc::new(services), wiring);
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => ended.context("the journal"),
        written = written(options, &pool, rebuilt) => {
            stop.cancel();
            running.await?;
            written
        }
    }
}

async fn written(
    options: &Options,
    pool: &sqlx::PgPool,
    rebuilt: &[(PartitionId, Rebuilt)],
) -> anyhow::Result<()> {
    for (partition, it) in rebuilt {
        let Some(last) = it.command_offset else {
            continue;
        };
        let bar = bar(&format!("partition {partition}: journal"));
        bar.set_length(last);
        let started = Instant::now();
        loop {
            let stands = journaled(pool, *partition).await.context("postgres")?;
            let offset = stands.map_or(0, |as_of| as_of.command_offset);
            bar.set_position(offset);
            if stands.is_some() && offset >= last {
                break;
            }
            let waited = started.elapsed();
            ensure!(
                waited < options.wait,
                "partition {partition}: the journal is at command {offset} of {last} after \
                 {waited:.0?}; a sink goes on from there"
            );
            tokio::time::sleep(PAUSE).await;
        }
        let line = format!("partition {partition}: journal as of command {last}");
        done(&bar, &line);
    }
    Ok(())
}
