//! Redis: hot balances and the ingress's claims. A projection that may be emptied at any time.
//!
//! All keys of a partition share one hash tag, so a batch is one atomic script.

pub mod audit;
pub mod claims;
pub mod claims_writer;
pub mod key;
pub mod policy;
pub mod read;
pub mod rebuild;
pub mod store;
pub mod synced;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use std::time::Duration;

/// How to reach hot.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Redis URL; `rediss://` for TLS.
    #[arg(
        long,
        env = "STEELYARD_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    pub redis_url: String,
    /// First part of every key, so that several installations can share one Redis.
    #[arg(long, env = "STEELYARD_REDIS_PREFIX", default_value = "steelyard")]
    pub redis_prefix: String,
}

impl Options {
    /// A connection that comes back with the next command after Redis has. Nobody waits for that:
    /// a command that cannot be answered in time fails, and its caller paces the next attempt.
    pub fn connect(&self) -> redis::RedisResult<ConnectionManager> {
        let client = redis::Client::open(self.redis_url.as_str())?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(2)))
            .set_number_of_retries(0);
        ConnectionManager::new_lazy_with_config(client, config)
    }
}
