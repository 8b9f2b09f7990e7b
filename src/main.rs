//! Parses, runs, and turns the result into an exit code.

use std::process::ExitCode;
use std::time::Duration;

/// Every record makes a handful of small allocations on several threads: this one's strength.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("steelyard: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(steelyard::cli::run(std::env::args_os()));
    // A question to a broker that is away may still be open; nothing waits for its answer.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code.unwrap_or_else(|error| {
        eprintln!("steelyard: {error:#}");
        ExitCode::FAILURE
    })
}
