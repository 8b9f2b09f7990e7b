//! The options of every module, composed: one set of names for all roles.
//!
//! Each module owns its options beside its code; this file only puts them together and checks
//! what no single module can. Only `cli` reads it.

use std::time::Duration;

use crate::wire::Secret;
use crate::{cold, hot, ingress, log, processor, sink, telemetry};

/// The configuration of a role.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    #[command(flatten, next_help_heading = "Kafka")]
    pub log: log::Options,
    #[command(flatten)]
    pub topics: log::topics::Options,
    #[command(flatten, next_help_heading = "Redis")]
    pub hot: hot::Options,
    #[command(flatten, next_help_heading = "Postgres")]
    pub cold: cold::Options,
    #[command(flatten, next_help_heading = "Processing")]
    pub process: Process,
    #[command(flatten)]
    pub processor: processor::Options,
    #[command(flatten, next_help_heading = "Sinks")]
    pub sink: sink::Options,
    #[command(flatten, next_help_heading = "HTTP")]
    pub ingress: ingress::Options,
    #[command(flatten, next_help_heading = "Operations")]
    pub telemetry: telemetry::Options,
    /// How long a stop may take until what is left is dropped.
    #[arg(
        long,
        env = "STEELYARD_STOP_TIMEOUT",
        default_value = "25s",
        value_parser = duration
    )]
    pub stop_timeout: Duration,
}

/// What only processors need, and ask for themselves.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Process {
    /// Seals the legs between partitions, so that nobody who may write commands can forge money;
    /// the same for all processors of a log, at least 16 bytes. Processors do not start without it.
    /// Of one log only: another log, and one made again, has another, for what is sealed does not
    /// say of which log it is.
    #[arg(
        long,
        env = "STEELYARD_LEG_SECRET",
        hide_env_values = true,
        value_parser = Secret::new
    )]
    pub leg_secret: Option<Secret>,
}

impl Config {
    /// # Errors
    /// If there is none.
    pub fn leg_secret(&self) -> anyhow::Result<Secret> {
        let missing = "a processor needs --leg-secret or STEELYARD_LEG_SECRET";
        let secret = self.process.leg_secret.clone();
        secret.ok_or_else(|| anyhow::anyhow!(missing))
    }
}

/// Reads a duration such as `250ms`, `15m` or `7d`.
///
/// # Errors
/// Says which forms there are.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let number = number.parse::<u64>().ok().filter(|_| unit_ms > 0);
    let ms = number.and_then(|number| number.checked_mul(unit_ms));
    ms.map(Duration::from_millis)
        .ok_or_else(|| format!("{text} is not a duration such as 250ms, 30s, 15m, 12h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        let table = [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("15m", Some(900_000)),
            ("12h", Some(43_200_000)),
            ("7d", Some(604_800_000)),
            ("7", None),
            ("d", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("7 d", None),
            ("99999999999999999999d", None),
            ("9999999999999999d", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }
}
