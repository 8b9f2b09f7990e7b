//! `steelyard audit`: reads every store and proves that they agree.

use std::process::ExitCode;

use crate::audit::{self, Recognition};
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten, next_help_heading = "Audit")]
    pub audit: audit::Options,
    #[command(flatten)]
    pub config: Config,
}

/// Exits with 0 if all is clean, 1 if something differs, 2 if it could not be told.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = &args.config;
    let pool = config.cold.connect()?;
    let recognition = match args.audit.replay {
        true => Some(Recognition {
            secret: config.leg_secret()?,
            reply_topics: config.processor.replies_allowed(&config.log.topics()),
        }),
        false => None,
    };
    Ok(audit::command(&args.audit, &config.log, &config.hot, &pool, recognition).await)
}
