//! How the ingress listens, whom it lets in, and where its limits are.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The longest wait that a caller may ask for.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// HTTP → commands.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Address of the HTTP API.
    #[arg(long, env = "STEELYARD_HTTP_LISTEN", default_value = "127.0.0.1:8080")]
    pub http_listen: SocketAddr,
    /// Let everybody do everything: no API keys.
    #[arg(long, env = "STEELYARD_INSECURE")]
    pub insecure: bool,
    /// API keys, TOML or JSON (by the name's ending): a list `keys` of `name`, `hash` (BLAKE3 of
    /// the key, hex), `scopes` (ORGANIZATION/LEDGER, `*` for any) and `permission` (read,
    /// write, force).
    #[arg(long, env = "STEELYARD_API_KEYS_FILE")]
    pub api_keys_file: Option<PathBuf>,
    /// Requests per second of one API key; a batch counts as its items. 0 is no limit.
    #[arg(long, env = "STEELYARD_QUOTA_RATE", default_value_t = 0)]
    pub quota_rate: u32,
    /// Requests that a key may send at once before the rate counts.
    #[arg(long, env = "STEELYARD_QUOTA_BURST", default_value = "1000")]
    pub quota_burst: NonZeroU32,

    /// How long a caller waits for the outcome if it does not say (`Prefer: wait=N`), at most 30s.
    #[arg(long, env = "STEELYARD_WAIT_DEFAULT", default_value = "5s", value_parser = duration)]
    pub wait_default: Duration,
    /// Callers that may wait for an outcome at once; more get 503.
    #[arg(long, env = "STEELYARD_WAITERS_MAX", default_value_t = 10_000)]
    pub waiters_max: usize,
    /// Commands whose outcome is awaited at once, items of batches included; more get 503.
    #[arg(long, env = "STEELYARD_PENDING_MAX", default_value_t = 100_000)]
    pub pending_max: usize,
    /// Items of one batch.
    #[arg(long, env = "STEELYARD_BATCH_ITEMS_MAX", default_value_t = 10_000)]
    pub batch_items_max: usize,
    /// Bytes of a request's body.
    #[arg(long, env = "STEELYARD_BODY_BYTES_MAX", default_value_t = 1024 * 1024)]
    pub body_bytes_max: usize,
    /// Bytes of a batch's body.
    #[arg(long, env = "STEELYARD_BATCH_BYTES_MAX", default_value_t = 8 * 1024 * 1024)]
    pub batch_bytes_max: usize,

    /// Connections at once; more wait to be accepted. Each is an open file (`ulimit -n`). More
    /// than --waiters-max, so that one caller too many is told so
    #[arg(long, env = "STEELYARD_CONNECTIONS_MAX", default_value_t = 12_000)]
    pub connections_max: usize,
    /// How long a connection may take to send a request's head; an idle one is closed after it.
    #[arg(long, env = "STEELYARD_HEAD_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub head_timeout: Duration,
    /// How long a request may take to send its body.
    #[arg(long, env = "STEELYARD_BODY_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub body_timeout: Duration,
    /// How long to go on taking requests after /readyz says that the instance stops.
    #[arg(long, env = "STEELYARD_DRAIN_WAIT", default_value = "0s", value_parser = duration)]
    pub drain_wait: Duration,

    /// How long a claim on a reference lasts; shorter than the dedupe horizon.
    #[arg(long, env = "STEELYARD_CLAIM_TTL", default_value = "24h", value_parser = duration)]
    pub claim_ttl: Duration,
    /// How long to wait for Redis before going on without it.
    #[arg(long, env = "STEELYARD_CLAIM_TIMEOUT", default_value = "200ms", value_parser = duration)]
    pub claim_timeout: Duration,
    /// This instance's partition of the replies topic; one at random by default.
    #[arg(long, env = "STEELYARD_REPLY_PARTITION")]
    pub reply_partition: Option<u16>,
    /// How long commands gather before they are sent to Kafka, while many are under way.
    #[arg(long, env = "STEELYARD_INGRESS_LINGER", default_value = "8ms", value_parser = duration)]
    pub ingress_linger: Duration,
    /// How long Kafka may take to acknowledge a command before its outcome is unknown.
    #[arg(long, env = "STEELYARD_PUBLISH_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub publish_timeout: Duration,
}

impl Options {
    /// What contradicts itself, before anything is started.
    pub fn check(&self) -> Result<(), String> {
        if !self.insecure && self.api_keys_file.is_none() {
            return Err(
                "no API keys: give --api-keys-file, or --insecure to let everybody in".to_owned(),
            );
        }
        if self.insecure && self.api_keys_file.is_some() {
            return Err("--insecure and --api-keys-file contradict each other".to_owned());
        }
        if self.wait_default > WAIT_MAX {
            return Err("--wait-default is more than 30s".to_owned());
        }
        if self.ingress_linger >= self.publish_timeout {
            return Err("--ingress-linger must be shorter than --publish-timeout".to_owned());
        }
        let limits = [
            ("--waiters-max", self.waiters_max),
            ("--pending-max", self.pending_max),
            ("--batch-items-max", self.batch_items_max),
            ("--body-bytes-max", self.body_bytes_max),
            ("--batch-bytes-max", self.batch_bytes_max),
            ("--connections-max", self.connections_max),
        ];
        match limits.iter().find(|(_, limit)| *limit == 0) {
            Some((name, _)) => Err(format!("{name} is zero")),
            None => Ok(()),
        }
    }
}

/// Reads `1500ms`, `5s`, `2m` or `24h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text} is not like 500ms, 5s or 24h"))?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(format!("{text} has no unit of ms, s, m or h")),
    };
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "5", "s", "-1s", "1.5s", "5 s", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
