//! Where the instance under load is.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::http::Endpoint;

#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    #[command(flatten)]
    pub log: steelyard::log::Options,
    /// Base address of the HTTP listener [also: STEELYARD_HTTP_URL] [default:
    /// http://127.0.0.1:8080]
    #[arg(long, env = "STEELYARD_HTTP")]
    pub http: Option<String>,
    /// Base address of the listener with /metrics [also: STEELYARD_OPS_URL] [default:
    /// http://127.0.0.1:9464]
    #[arg(long, env = "STEELYARD_OPS")]
    pub ops: Option<String>,
    /// Sent as a bearer token.
    #[arg(long, env = "STEELYARD_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Redis, for the audit; left to its own default when not given.
    #[arg(long, env = "STEELYARD_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Postgres, for the audit; left to its own default when not given.
    #[arg(long, env = "STEELYARD_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// The steelyard program that audits [default: the one beside this program]
    #[arg(long, env = "STEELYARD_BIN")]
    pub steelyard: Option<PathBuf>,
}

impl Target {
    pub fn http(&self) -> Result<Arc<Endpoint>> {
        let base = address(
            self.http.as_deref(),
            "STEELYARD_HTTP_URL",
            "http://127.0.0.1:8080",
        );
        Endpoint::new(&base, self.api_key.as_deref())
    }

    pub fn ops(&self) -> Result<Arc<Endpoint>> {
        let base = address(
            self.ops.as_deref(),
            "STEELYARD_OPS_URL",
            "http://127.0.0.1:9464",
        );
        Endpoint::new(&base, None)
    }

    pub fn steelyard(&self) -> PathBuf {
        let beside = || {
            let here = std::env::current_exe().unwrap_or_default();
            here.with_file_name("steelyard")
        };
        self.steelyard.clone().unwrap_or_else(beside)
    }
}

fn address(given: Option<&str>, variable: &str, fallback: &str) -> String {
    let text = |text: &str| text.trim_end_matches('/').to_owned();
    given
        .map(text)
        .or_else(|| std::env::var(variable).ok().as_deref().map(text))
        .unwrap_or_else(|| fallback.to_owned())
}
