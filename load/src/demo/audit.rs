//! The audit's word on the day: `steelyard audit` with the same addresses.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::target::Target;

/// How long hot and cold may take to catch up with the log, in seconds.
const WAIT: &str = "60";

/// What the audit's exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Clean,
    Broken,
    /// It could not be told.
    Untold,
}

/// Lets the audit print its table and verdict.
pub fn audit(target: &Target) -> Result<Finding> {
    let program = target.steelyard();
    let name = program.display().to_string();
    let log = &target.log;
    let mut command = Command::new(program);
    command
        .args(["audit", "--wait", WAIT])
        .stdin(Stdio::null())
        .env("STEELYARD_KAFKA_BROKERS", &log.kafka_brokers)
        .env("STEELYARD_TOPIC_PREFIX", &log.topic_prefix);
    if !log.kafka_properties.is_empty() {
        let properties = log.properties();
        let properties: Vec<_> = properties
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        command.env("STEELYARD_KAFKA_PROPERTIES", properties.join("\n"));
    }
    let addresses = [
        ("STEELYARD_REDIS_URL", &target.redis_url),
        ("STEELYARD_DATABASE_URL", &target.database_url),
    ];
    for (variable, address) in addresses {
        if let Some(address) = address {
            command.env(variable, address);
        }
    }
    let ended = command.status();
    let ended = ended.with_context(|| format!("cannot run {name} audit"))?;
    Ok(match ended.code() {
        Some(0) => Finding::Clean,
        Some(1) => Finding::Broken,
        Some(_) | None => Finding::Untold,
    })
}
