//! Waiting for a condition, never longer than said.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer; an error that names `what` after `at_most`.
pub async fn until<T>(
    what: &str,
    at_most: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return Ok(found);
        }
        if started.elapsed() > at_most {
            bail!("waited {} s in vain for {what}", at_most.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}
