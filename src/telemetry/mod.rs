//! Logs, metrics, readiness, and the listener that operators ask. Imports nothing of ours.

pub mod clock;
pub mod failpoint;
pub mod field;
pub mod health;
pub mod metrics;
pub mod ops;

use std::io::IsTerminal;
use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;

/// What an operator sees, and where.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub logs: Logs,
    /// Where /metrics, /livez, /readyz and /ops are served.
    #[arg(long, env = "STEELYARD_OPS_LISTEN", default_value = "127.0.0.1:9464")]
    pub ops_listen: SocketAddr,
    /// Never in production: ends the process when it passes a failpoint for the N-th time, such as
    /// `after-publish:3`. The fault lab tries the worst moments with it.
    #[arg(long, env = "STEELYARD_FAIL_AT", value_name = "POINT:N")]
    pub fail_at: Option<failpoint::FailAt>,
    /// Never in production: takes the machine's clock to be so many seconds ahead, or behind if
    /// negative. The fault lab tries wrong clocks with it.
    #[arg(
        long,
        env = "STEELYARD_CLOCK_OFF",
        value_name = "SECONDS",
        allow_hyphen_values = true
    )]
    pub clock_off: Option<i32>,
}

/// What is logged, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Logs {
    /// How logs are written to standard error.
    #[arg(long, env = "STEELYARD_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: Format,
    /// Which logs are written, such as `info` or `steelyard=debug,warn`.
    #[arg(long, env = "STEELYARD_LOG", default_value = "info,librdkafka=error")]
    pub log_filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Sends logs to standard error for the rest of the process.
///
/// # Errors
/// If the filter cannot be read, or logs are set up already.
pub fn init(options: &Logs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.log_filter)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let set = match options.log_format {
        Format::Text => logs.try_init(),
        Format::Json => logs.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("logs: {error}"))
}
