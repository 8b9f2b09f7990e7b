//! Programs that are not ours, which some tests run.
//!
//! `./dev test` installs them and sets `STEELYARD_TEST_STRICT`: a test that lacks one fails then.
//! Without it the test says aloud that it is skipped.

use std::io::Write;
use std::process::{Command, Stdio};

/// `found`, or word on what is skipped without it.
///
/// # Panics
/// If nothing may be skipped.
pub fn or_skip<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        let strict = std::env::var_os("STEELYARD_TEST_STRICT").is_some();
        assert!(
            !strict,
            "there is no {what} here, and no test may be skipped"
        );
        // Straight to the terminal: what a test prints is shown only when it fails.
        writeln!(std::io::stderr(), "SKIPPED: there is no {what} here").ok();
    }
    found
}

/// Whether `command` runs and succeeds; else the test is to be left.
pub fn there_is(command: &mut Command, what: &str) -> bool {
    let ran = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let ran = ran.ok().filter(|status| status.success());
    or_skip(ran, what).is_some()
}

/// Kafka's own jars, for a Java client or a tool of Kafka's.
pub fn kafka_classpath() -> Option<String> {
    let classpath = std::env::var("STEELYARD_TEST_KAFKA_CLASSPATH").ok();
    or_skip(
        classpath,
        "STEELYARD_TEST_KAFKA_CLASSPATH, so no Java client",
    )
}
