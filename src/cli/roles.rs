//! The roles: which services each runs, and what a service is built from.

use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::serve::Services;
use crate::config::Config;
use crate::log::admin::Verified;
use crate::telemetry::health::Health;
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

async fn processor(parts: &Parts, services: &Services, _: Verified) -> anyhow::Result<()> {
    let _secret = parts.config.leg_secret()?;
    services.start("processor", idle(parts.stop.clone()));
    Ok(())
}

async fn sink(parts: &Parts, services: &Services, _: Verified) -> anyhow::Result<()> {
    services.start("sink", idle(parts.stop.clone()));
    Ok(())
}

async fn ingress(parts: &Parts, services: &Services, _: Verified) -> anyhow::Result<()> {
    services.start("ingress", idle(parts.stop.clone()));
    Ok(())
}

/// Stands for a service that this build does not have yet.
async fn idle(stop: CancellationToken) -> anyhow::Result<()> {
    stop.cancelled().await;
    Ok(())
}
