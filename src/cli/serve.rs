//! Runs roles: the one place that builds clients, spawns services and stops them.
//!
//! Start: logs, the operators' listener, then the log's own checks; a broker that is away is
//! waited for, a log that is not as declared is refused. Stop, on SIGTERM or SIGINT or when a
//! service fails: every service is told, ends its batch and returns; what has not returned in
//! time is dropped. A second signal exits at once.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Setting, to_json};
use crate::config::Config;
use crate::ingress::{self, IngressMetrics};
use crate::ledger::PartitionId;
use crate::log::admin::{self, Verified};
use crate::log::lag;
use crate::processor;
use crate::sink::{self, SinkMetrics};
use crate::telemetry;
use crate::telemetry::health::{Health, State};
use crate::telemetry::ops::{self, Ops, Overview};

/// Which services a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ingress,
    Processor,
    Sink,
    All,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Processor => "processor",
            Self::Sink => "sink",
            Self::All => "all",
        }
    }

    fn runs(self, service: Self) -> bool {
        self == service || self == Self::All
    }
}

/// What every service is built from.
#[derive(Debug)]
struct Parts {
    config: Config,
    registry: Registry,
    health: Health,
    overview: Overview,
    /// Cancelled when services have to stop.
    stop: CancellationToken,
}

/// The services of this process.
#[derive(Debug)]
struct Services {
    tasks: TaskTracker,
    stop: CancellationToken,
    ended: mpsc::UnboundedSender<(&'static str, anyhow::Result<()>)>,
}

impl Services {
    /// Runs a service until it returns; that it did is told to [`run`].
    fn start(
        &self,
        name: &'static str,
        service: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            let result = AssertUnwindSafe(service).catch_unwind().await;
            let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
            // The receiver is gone once the process is past waiting.
            let _ = ended.send((name, result));
        });
    }
}

/// What runs beside the services, and is stopped after them.
#[derive(Debug, Default)]
struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Runs a role until it is stopped or fails.
///
/// # Errors
/// If it cannot start, if the log is not as declared, or if a service failed.
pub async fn run(role: Role, config: Config, settings: Vec<Setting>) -> anyhow::Result<ExitCode> {
    telemetry::init(&config.telemetry.logs)?;
    let stop = stop_on_signal()?;
    let parts = Parts {
        registry: Registry::new(),
        health: Health::default(),
        overview: Overview::default(),
        stop: stop.clone(),
        config,
    };
    parts.overview.set("config", to_json(&settings));
    let background = Background::default();
    serve_ops(&parts, &background).await?;

    let result = serve(role, &parts, &background).await;

    background.stop.cancel();
    background.tasks.close();
    // A scrape that hangs must not keep the process.
    let _ = tokio::time::timeout(Duration::from_secs(1), background.tasks.wait()).await;
    result.map(|()| ExitCode::SUCCESS)
}

async fn serve(role: Role, parts: &Parts, background: &Background) -> anyhow::Result<()> {
    let Some(verified) = await_log(parts).await? else {
        return Ok(());
    };
    measure_lag(parts, verified.partitions, background)?;
    let (ended, mut endings) = mpsc::unbounded_channel();
    let services = Services {
        tasks: TaskTracker::new(),
        stop: parts.stop.clone(),
        ended,
    };
    start(role, parts, &services, verified)?;

    let mut result = Ok(());
    tokio::select! {
        biased;
        () = parts.stop.cancelled() => tracing::info!("stopping"),
        Some((name, ending)) = endings.recv() => {
            let unasked = anyhow::anyhow!("returned without being asked to");
            let error = ending.err().unwrap_or(unasked).context(name);
            tracing::error!(error = format!("{error:#}"), "stopping, as a service has failed");
            result = Err(error);
        }
    }
    services.stop.cancel();
    parts.health.set("stop", State::waiting("is being stopped"));
    services.tasks.close();
    let limit = parts.config.stop_timeout;
    let stopped = tokio::time::timeout(limit, services.tasks.wait()).await;
    while let Ok((name, ending)) = endings.try_recv() {
        result = result.and(ending.context(name));
    }
    stopped.with_context(|| format!("services did not stop within {limit:?}"))?;
    result
}

/// Builds and starts the role's services.
fn start(role: Role, parts: &Parts, services: &Services, verified: Verified) -> anyhow::Result<()> {
    let Verified {
        partitions,
        generation,
        ..
    } = verified;
    tracing::info!(role = role.name(), count = partitions, generation = %generation, "starting");
    if role.runs(Role::Processor) {
        let parts = processor_parts(parts, verified)?;
        services.start("processor", processor::run(parts, services.stop.clone()));
    }
    if role.runs(Role::Sink) {
        let (options, wiring) = sink_wiring(parts, verified, services.stop.clone())?;
        services.start("sink", async move { sink::run(&options, wiring).await });
    }
    if role.runs(Role::Ingress) {
        let ingress = ingress(parts, partitions, services.stop.clone())?;
        services.start("ingress", ingress);
    }
    Ok(())
}

fn ingress(
    parts: &Parts,
    partitions: PartitionId,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
    let config = parts.config.clone();
    let metrics = IngressMetrics::new(&parts.registry)?;
    let pool = config.cold.connect()?;
    let health = parts.health.clone();
    health.set("http", State::waiting("is being started"));
    let bound = move |address| {
        tracing::info!(%address, "http is served");
        health.set("http", State::Ok);
    };
    Ok(async move {
        let (options, log, hot) = (config.ingress, config.log, config.hot);
        ingress::run(options, log, hot, pool, partitions, metrics, stop, bound).await
    })
}

fn sink_wiring(
    parts: &Parts,
    verified: Verified,
    stop: CancellationToken,
) -> anyhow::Result<(sink::Options, sink::Wiring<impl sink::Health + use<>>)> {
    let config = &parts.config;
    let report = reporter(&parts.health);
    let wiring = sink::Wiring {
        log: config.log.clone(),
        hot: config.hot.clone(),
        pool: config.cold.connect()?,
        partitions: verified.partitions,
        generation: verified.generation,
        metrics: SinkMetrics::new(&parts.registry)?,
        health: move |check: &str, state| report(check, state),
        stop,
    };
    Ok((config.sink.clone(), wiring))
}

fn processor_parts(parts: &Parts, verified: Verified) -> anyhow::Result<processor::Parts> {
    let config = &parts.config;
    Ok(processor::Parts {
        secret: config.leg_secret()?,
        options: config.processor.clone(),
        log: config.log.clone(),
        hot: config.hot.clone(),
        pool: config.cold.connect()?,
        partitions: verified.partitions,
        generation: verified.generation,
        metrics: processor::Metrics::new(&parts.registry)?,
        report: reporter(&parts.health),
    })
}

/// Tells readiness under a check's name.
fn reporter(health: &Health) -> processor::Report {
    let health = health.clone();
    Arc::new(move |check, state| match state {
        Ok(()) => health.set(check, State::Ok),
        Err(why) => health.set(check, State::waiting(why)),
    })
}

/// Brings the schema of Postgres up to date.
///
/// # Errors
/// If Postgres cannot be reached or a migration fails.
pub async fn migrate(config: Config) -> anyhow::Result<ExitCode> {
    telemetry::init(&config.telemetry.logs)?;
    let pool = config.cold.connect()?;
    config.cold.migrate(&pool).await.context("postgres")?;
    println!("schema {} is up to date", config.cold.database_schema);
    Ok(ExitCode::SUCCESS)
}

async fn serve_ops(parts: &Parts, background: &Background) -> anyhow::Result<()> {
    let address = parts.config.telemetry.ops_listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address} for operators"))?;
    tracing::info!(address = %listener.local_addr()?, "metrics, readiness and overview are served");
    let ops = Ops {
        registry: parts.registry.clone(),
        health: parts.health.clone(),
        overview: parts.overview.clone(),
    };
    let stop = background.stop.clone();
    background.tasks.spawn(async move {
        if let Err(error) = ops::serve(listener, ops, stop).await {
            tracing::error!(error = %error, "the operators' listener has ended");
        }
    });
    Ok(())
}

fn measure_lag(
    parts: &Parts,
    partitions: PartitionId,
    background: &Background,
) -> anyhow::Result<()> {
    let metrics = lag::Metrics::new(&parts.registry)?;
    let (options, overview) = (parts.config.log.clone(), parts.overview.clone());
    let stop = background.stop.clone();
    background.tasks.spawn(async move {
        if let Err(error) = lag::run(options, partitions, metrics, overview, stop).await {
            tracing::error!(error = %error, "consumer lag is measured no longer");
        }
    });
    Ok(())
}

/// The log's facts, or nothing if the process was stopped while its broker was away.
async fn await_log(parts: &Parts) -> anyhow::Result<Option<Verified>> {
    parts.health.set("log", State::waiting("its first answer"));
    loop {
        let verified = tokio::select! {
            () = parts.stop.cancelled() => return Ok(None),
            verified = admin::verify(&parts.config.log, &parts.config.topics) => verified,
        };
        let error = match verified {
            Err(admin::Error::Kafka(error)) => error,
            verified => {
                let verified = verified?;
                parts.health.set("log", State::Ok);
                return Ok(Some(verified));
            }
        };
        tracing::warn!(error = %error, "kafka cannot be asked yet");
        parts.health.set("log", State::waiting(error.to_string()));
        tokio::select! {
            () = parts.stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// A token that the first SIGTERM or SIGINT cancels; the second one ends the process.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    let wait = async move {
        for second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if second {
                tracing::warn!("stopped at once by a second signal");
                std::process::exit(130);
            }
            told.cancel();
        }
    };
    // Belongs to the process, not to a service that could be waited for.
    TaskTracker::new().spawn(wait);
    Ok(stop)
}
