//! `steelyard topics`: the log as declared, planned, applied and checked.

use std::process::ExitCode;
use std::time::Duration;

use crate::config::duration;
use crate::log::acls;
use crate::log::admin::{Admin, Error};
use crate::log::drift::Difference;
use crate::log::topics::SCHEMAS;
use crate::{log, telemetry};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Prints what apply would change, and what it cannot.
    Plan(Options),
    /// Creates missing topics, sets drifted settings, writes missing genesis records. Never
    /// changes a partition count and never deletes.
    Apply(Apply),
    /// Says which setting of which topic differs, and fails if any does.
    Check(Options),
    /// Prints who may do what, as arguments of `kafka-acls --add`, one grant a line.
    Acls(Options),
    /// Prints the JSON Schema of a record's value.
    Schema {
        #[arg(value_parser = SCHEMAS.map(|(name, _)| name))]
        name: String,
    },
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Options {
    #[command(flatten, next_help_heading = "Kafka")]
    log: log::Options,
    #[command(flatten)]
    topics: log::topics::Options,
    #[command(flatten, next_help_heading = "Operations")]
    logs: telemetry::Logs,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Apply {
    #[command(flatten)]
    options: Options,
    /// How long a reference has one outcome, at least as long as commands are kept. Written into
    /// a new log's genesis records, frozen with them.
    #[arg(
        long,
        env = "STEELYARD_DEDUPE_HORIZON",
        default_value = "7d",
        value_parser = duration
    )]
    dedupe_horizon: Duration,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Plan(options) => plan(&admin(options)?).await,
        Action::Check(options) => check(&admin(options)?).await,
        Action::Acls(options) => {
            for line in acls::lines(&options.log) {
                println!("{line}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Schema { name } => schema(name),
        Action::Apply(args) => apply(&admin(&args.options)?, args.dedupe_horizon).await,
    }
}

fn schema(name: &str) -> anyhow::Result<ExitCode> {
    let found = SCHEMAS.iter().find(|(known, _)| *known == name);
    let (_, schema) = found.ok_or_else(|| anyhow::anyhow!("there is no schema {name}"))?;
    print!("{schema}");
    Ok(ExitCode::SUCCESS)
}

fn admin(options: &Options) -> anyhow::Result<Admin> {
    telemetry::init(&options.logs)?;
    Ok(Admin::new(&options.log, &options.topics)?)
}

async fn plan(admin: &Admin) -> anyhow::Result<ExitCode> {
    let differences = admin.differences().await?;
    for difference in &differences {
        let by = match difference.can_be_applied() {
            true => "apply",
            false => "not by apply",
        };
        println!("{difference}  [{by}]");
    }
    if differences.is_empty() {
        println!("nothing to do: the topics are as declared");
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(admin: &Admin) -> anyhow::Result<ExitCode> {
    let differences = admin.differences().await?;
    Ok(verdict(&differences))
}

async fn apply(admin: &Admin, horizon: Duration) -> anyhow::Result<ExitCode> {
    let applied = match admin.apply(horizon.as_secs()).await {
        Err(Error::Drift(differences)) => {
            println!("nothing was changed");
            return Ok(verdict(&differences));
        }
        applied => applied?,
    };
    for topic in &applied.created {
        println!("{topic}: created");
    }
    for difference in &applied.altered {
        println!("{difference}; set");
    }
    if applied.begun > 0 {
        println!("{} genesis records written", applied.begun);
    }
    let genesis = applied.genesis;
    let (generation, horizon) = (genesis.generation, genesis.horizon_seconds);
    println!("generation {generation}, dedupe horizon {horizon} s");
    Ok(verdict(&applied.remaining))
}

/// Says what differs; anything is a failure.
fn verdict(differences: &[Difference]) -> ExitCode {
    for difference in differences {
        println!("{difference}");
    }
    match differences.is_empty() {
        true => {
            println!("the topics are as declared");
            ExitCode::SUCCESS
        }
        false => ExitCode::FAILURE,
    }
}
