//! The roles: which services each runs, and what a service is built from.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::serve::Services;
use crate::config::Config;
use crate::hot;
use crate::ingress::{self, IngressMetrics};
use crate::log::admin::Verified;
use crate::log::fenced;
use crate::processor;
use crate::sink::{self, SinkMetrics};
use crate::telemetry;
use crate::telemetry::health::{Health, State};
use crate::telemetry::ops::Overview;

/// Which services a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
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

    pub(super) fn runs(self, service: Self) -> bool {
        self == service || self == Self::All
    }
}

/// What every service is built from.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) registry: Registry,
    pub(super) health: Health,
    pub(super) overview: Overview,
    /// Cancelled when services have to stop.
    pub(super) stop: CancellationToken,
}

/// Builds and starts the role's services.
pub(super) async fn start(
    role: Role,
    parts: &Parts,
    services: &Services,
    verified: Verified,
) -> anyhow::Result<()> {
    let (count, generation) = (verified.partitions, verified.generation);
    tracing::info!(role = role.name(), count, generation = %generation, "starting");
    if role.runs(Role::Processor) {
        processor(parts, services, verified).await?;
    }
    if role.runs(Role::Sink) {
        sink(parts, services, verified).await?;
    }
    if role.runs(Role::Ingress) {
        ingress(parts, services, verified).await?;
    }
    Ok(())
}

async fn processor(parts: &Parts, services: &Services, verified: Verified) -> anyhow::Result<()> {
    let config = &parts.config;
    refuse_eviction(&config.hot).await?;
    let built = processor::Parts {
        secret: config.leg_secret()?,
        options: config.processor.clone(),
        log: config.log.clone(),
        partitions: verified.partitions,
        generation: verified.generation,
        metrics: processor::Metrics::new(&parts.registry)?,
        report: parts.health.reporter(),
    };
    let stores = processor::Stores {
        hot: config.hot.clone(),
        pool: config.cold.connect()?,
    };
    let joining = State::waiting("joining the group");
    parts.health.set("processor-group", joining);
    let stop = parts.stop.clone();
    let run = move || processor::run(built.clone(), stores.clone(), stop.clone());
    services.start("processor", fenced::taking_the_name_back(run));
    Ok(())
}

/// A Redis that evicts balances is refused at once. One that does not answer is no reason not to
/// start: every takeover looks again.
async fn refuse_eviction(hot: &hot::Options) -> anyhow::Result<()> {
    let mut redis = hot.connect()?;
    let policy = hot::policy::check(&mut redis);
    match tokio::time::timeout(Duration::from_secs(2), policy).await {
        Ok(Ok(Err(why))) => anyhow::bail!(why),
        Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(()),
    }
}

async fn sink(parts: &Parts, services: &Services, verified: Verified) -> anyhow::Result<()> {
    let config = &parts.config;
    let reached = sink::services::Services {
        log: config.log.clone(),
        hot: config.hot.clone(),
        pool: config.cold.connect()?,
        generation: verified.generation,
        options: config.sink.clone(),
    };
    let wiring = sink::Wiring {
        generation: verified.generation,
        metrics: SinkMetrics::new(&parts.registry)?,
        report: parts.health.reporter(),
        stop: parts.stop.clone(),
    };
    let run = move || sink::run(reached.clone(), wiring.clone());
    services.start("sink", fenced::taking_the_name_back(run));
    Ok(())
}

async fn ingress(parts: &Parts, services: &Services, verified: Verified) -> anyhow::Result<()> {
    let (config, stop) = (parts.config.clone(), parts.stop.clone());
    let metrics = IngressMetrics::new(&parts.registry)?;
    let pool = config.cold.connect()?;
    let health = parts.health.clone();
    health.set("http", State::waiting("is being started"));
    let bound = move |address| {
        tracing::info!(%address, "http is served");
        health.set("http", State::Ok);
    };
    services.start("ingress", async move {
        let (options, log, hot, count) =
            (config.ingress, config.log, config.hot, verified.partitions);
        ingress::run(options, log, hot, pool, count, metrics, stop, bound).await
    });
    Ok(())
}

/// Brings the schema of Postgres up to date.
///
/// # Errors
/// If Postgres cannot be reached or a migration fails.
pub(super) async fn migrate(config: Config) -> anyhow::Result<ExitCode> {
    telemetry::init(&config.telemetry.logs)?;
    let pool = config.cold.connect()?;
    config.cold.migrate(&pool).await.context("postgres")?;
    println!("schema {} is up to date", config.cold.database_schema);
    Ok(ExitCode::SUCCESS)
}
