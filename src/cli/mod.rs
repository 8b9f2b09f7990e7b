//! The program: its commands, and which function runs each.
//!
//! The doc comment of an option is its help; `--help` is the manual.

pub mod audit;
pub mod config;
pub mod dlq;
pub mod manual;
mod progress;
pub mod rebuild;
mod roles;
pub mod rules;
mod serve;
mod table;
pub mod top;
pub mod topics;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::config::Config;
use roles::Role;

/// Moves money between balances, exactly once, in order per balance, at the speed of a log.
///
/// Commands arrive over HTTP or straight from Kafka producers; processors decide them in order,
/// keep hot balances in Redis, and sinks keep cold ones in Postgres. Every option can be given as
/// a flag or in the environment variable named beside it; a flag wins.
#[derive(Debug, clap::Parser)]
#[command(name = "steelyard", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Accepts transactions over HTTP and answers questions about balances.
    Ingress(Box<Config>),
    /// Decides commands: one task for each of its partitions.
    Processor(Box<Config>),
    /// Writes snapshots and outcomes to Postgres.
    Sink(Box<Config>),
    /// Runs ingress, processor and sink in one process.
    All(Box<Config>),
    /// Plans, applies and checks the topics that `topics/` declares.
    Topics(topics::Args),
    /// Brings the schema of Postgres up to date.
    Migrate(Box<Config>),
    /// Reads outcomes, hot and cold, and proves that they agree.
    ///
    /// Exits with 0 if everything is proved, 1 if something differs, 2 if it could not be told.
    Audit(Box<audit::Args>),
    /// Shows how far every group is behind on every partition, again and again.
    ///
    /// The numbers are those of `kafka-consumer-groups`. A status is judged over 12 measurements,
    /// and is `ok` before that.
    Top(top::Args),
    /// Lists, shows and sends again the records that could not be understood.
    Dlq(dlq::Args),
    /// Writes Redis or Postgres anew from the log, while everything runs.
    Rebuild(rebuild::Args),
    /// Shows by which rules the log is decided, or raises them after an upgrade.
    Rules(rules::Args),
    /// Prints the effective configuration, secrets masked.
    Config(Box<config::Args>),
}

/// Parses `args` and runs the command.
///
/// # Errors
/// Says what the command could not do.
pub async fn run(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let matches = Cli::command().try_get_matches_from(args);
    let matches = matches.unwrap_or_else(|error| hushed(error).exit());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Ingress(config) => serve::run(Role::Ingress, *config, settings(&matches)).await,
        Command::Processor(config) => {
            serve::run(Role::Processor, *config, settings(&matches)).await
        }
        Command::Sink(config) => serve::run(Role::Sink, *config, settings(&matches)).await,
        Command::All(config) => serve::run(Role::All, *config, settings(&matches)).await,
        Command::Topics(args) => topics::run(&args).await,
        Command::Migrate(config) => roles::migrate(*config).await,
        Command::Audit(args) => audit::run(&args).await,
        Command::Top(args) => top::run(&args).await,
        Command::Dlq(args) => dlq::run(args).await,
        Command::Rules(args) => rules::run(&args).await,
        Command::Rebuild(args) => rebuild::run(&args).await,
        Command::Config(args) => config::run(&args, &settings(&matches)),
    }
}

/// A refusal that does not repeat a value which help would not show.
fn hushed(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let flag = option.split(' ').next().unwrap_or_default().to_owned();
    let program = Cli::command();
    let mut options = program
        .get_subcommands()
        .flat_map(clap::Command::get_arguments);
    let hidden = |arg: &clap::Arg| {
        let long = arg.get_long().unwrap_or_default();
        arg.is_hide_env_values_set() && flag.strip_prefix("--") == Some(long)
    };
    if options.any(hidden) {
        let mask = ContextValue::String(config::MASK.to_owned());
        error.insert(ContextKind::InvalidValue, mask);
    }
    error
}

/// The effective configuration of the subcommand that was called.
fn settings(matches: &ArgMatches) -> Vec<config::Setting> {
    let command = Cli::command();
    let called = matches.subcommand().and_then(|(name, matches)| {
        let command = command.find_subcommand(name)?;
        Some(config::settings(command, matches))
    });
    called.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_and_options_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        for option in ["--leg-secret=hush", "--kafka-property=hush"] {
            let refused = Cli::command().try_get_matches_from(["steelyard", "all", option]);
            let told = hushed(refused.unwrap_err()).to_string();
            assert!(told.contains("***") && !told.contains("hush"), "{told}");
        }
        let refused = Cli::command().try_get_matches_from(["steelyard", "all", "--flush-ms=x"]);
        let told = hushed(refused.unwrap_err()).to_string();
        assert!(told.contains("'x'"), "{told}");
    }

    #[test]
    fn every_option_has_help_and_an_environment_variable() {
        let command = Cli::command();
        let roles = ["ingress", "processor", "sink", "all", "migrate", "audit"];
        for role in roles {
            let command = command.find_subcommand(role).unwrap();
            for arg in command.get_arguments() {
                let id = arg.get_id();
                assert!(arg.get_help().is_some(), "{role} {id} has no help");
                assert!(arg.get_env().is_some(), "{role} {id} has no variable");
            }
        }
    }
}
