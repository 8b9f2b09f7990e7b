//! Runs a role: the one place that spawns services, waits for them and stops them.
//!
//! Start: logs, the operators' listener, then the log's own checks; a broker that is away is
//! waited for, a log that is not as declared is refused. Stop, on SIGTERM or SIGINT or when a
//! service fails: every service is told, ends its batch and returns; what has not returned in
//! time is dropped. A second signal exits at once.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
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
use super::roles::{self, Parts, Role};
use crate::config::Config;
use crate::ledger::PartitionId;
use crate::log::admin::{self, Verified};
use crate::log::lag;
use crate::telemetry;
use crate::telemetry::health::{Health, State};
use crate::telemetry::ops::{self, Ops, Overview};
use crate::telemetry::{clock, failpoint};

/// The services of this process.
#[derive(Debug)]
pub(super) struct Services {
    tasks: TaskTracker,
    stop: CancellationToken,
    ended: mpsc::UnboundedSender<(&'static str, anyhow::Result<()>)>,
}

impl Services {
    /// Runs a service until it returns; that it did is told to [`run`].
    pub(super) fn start(
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
pub(super) async fn run(
    role: Role,
    config: Config,
    settings: Vec<Setting>,
) -> anyhow::Result<ExitCode> {
    if role.runs(Role::Processor) {
        config.leg_secret()?;
    }
    telemetry::init(&config.telemetry.logs)?;
    if let Some(at) = config.telemetry.fail_at {
        failpoint::arm(at);
    }
    if let Some(seconds) = config.telemetry.clock_off {
        clock::set_off(seconds);
    }
    let stop = stop_on_signal()?;
    let parts = Parts {
        registry: Registry::new(),
        health: Health::default(),
        overview: Overview::default(),
        stop: stop.clone(),
        config,
    };
    parts.overview.set("config", to_json(&settings));
    // Nothing is ready before everything has been started, and says itself how it is; whoever asks
    // first is told so too.
    parts.health.set("start", State::waiting("the services"));
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
    roles::start(role, parts, &services, verified).await?;
    parts.health.set("start", State::Ok);

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
