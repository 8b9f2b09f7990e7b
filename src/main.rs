//! Parses, runs, and turns the result into an exit code.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match steelyard::cli::run(std::env::args_os()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("steelyard: {error:#}");
            ExitCode::FAILURE
        }
    }
}
