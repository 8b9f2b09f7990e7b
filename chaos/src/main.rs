//! The fault lab: real processes, a seeded plan of faults, and a checker that trusts nothing but
//! the commands topic. The README has the method; `./dev chaos` runs it.

mod catchup;
mod check;
mod drive;
mod faults;
mod fleet;
mod flow;
mod lab;
mod node;
mod plan;
mod proxy;
mod run;
mod stack;
mod takeover;
mod topics;
mod wait;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Faults done to Steelyard under load, and the proof that nothing was lost and nothing done twice.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Args {
    #[command(flatten)]
    run: run::Options,
    /// The program under test [default: the one beside this program]
    #[arg(long, env = "STEELYARD_BIN", global = true)]
    steelyard: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Name every fault.
    List,
    /// Measure how long partitions stand when a processor ends.
    Takeover(takeover::Options),
    /// Measure how fast the sinks are after Postgres was away.
    Catchup(catchup::Options),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(play(args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(args: Args) -> Result<()> {
    let beside = || {
        let here = std::env::current_exe().unwrap_or_default();
        here.with_file_name("steelyard")
    };
    let program = args.steelyard.unwrap_or_else(beside);
    match args.command {
        None => Box::pin(run::run(&args.run, &program)).await,
        Some(Command::List) => {
            run::list();
            Ok(())
        }
        Some(Command::Takeover(options)) => Box::pin(takeover::run(&options, &program)).await,
        Some(Command::Catchup(options)) => Box::pin(catchup::run(&options, &program)).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_options_are_well_formed() {
        super::Args::command().debug_assert();
    }
}
