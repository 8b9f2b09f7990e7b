//! Plays load and a demo day against a running Steelyard. The README has the method.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use load::stop::Stop;
use load::{demo, run};

/// Load, floors and a demo day for Steelyard.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
enum Command {
    /// Measure rates and latencies, and check that nothing was lost.
    Run(Box<run::Options>),
    /// Play a day of payments, half over HTTP and half from Kafka, and audit it.
    Demo(Box<demo::Options>),
}

fn main() -> ExitCode {
    let command = Command::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(play(command)));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Plays a command until it ends; the first interrupt asks it to clear up, the second one does not.
async fn play(command: Command) -> Result<u8> {
    let stop = Stop::default();
    let asked = stop.clone();
    let played = async {
        match command {
            Command::Run(options) => run::run(*options, stop).await,
            Command::Demo(options) => demo::run(*options, stop).await,
        }
    };
    let interrupts = async {
        tokio::signal::ctrl_c().await?;
        asked.set();
        eprintln!("load: stopping; once more to stop at once");
        tokio::signal::ctrl_c().await
    };
    tokio::select! {
        ended = played => ended,
        interrupted = interrupts => {
            interrupted?;
            anyhow::bail!("interrupted")
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_options_are_well_formed() {
        super::Command::command().debug_assert();
    }
}
