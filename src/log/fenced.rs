//! Taking back a name in a group that was given away by mistake.
//!
//! A coordinator that moves to another broker can fence a named member although nobody else came
//! under its name: the answer that told the member its new id was lost with the old coordinator.
//! So a service that is fenced takes its name back once. Of two processes under one name both do
//! that, and one is fenced a second time soon after: that one ends.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

/// Fenced again within this time, a service believes that the name is another one's.
const AGAIN: Duration = Duration::from_secs(120);

/// Runs `service`, and once more if it was fenced, unless it was a short time ago.
///
/// # Errors
/// The service's own.
pub async fn taking_the_name_back<F>(mut service: impl FnMut() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut last: Option<Instant> = None;
    loop {
        let ended = service().await;
        let fenced = ended.as_ref().is_err_and(is_fenced);
        if !fenced || last.is_some_and(|last| last.elapsed() < AGAIN) {
            return ended;
        }
        tracing::warn!("the group gave this member's name away; taking it back");
        last = Some(Instant::now());
    }
}

fn is_fenced(error: &anyhow::Error) -> bool {
    let codes = error.chain().filter_map(|error| {
        let error: &KafkaError = error.downcast_ref()?;
        error.rdkafka_error_code()
    });
    codes
        .into_iter()
        .any(|code| code == RDKafkaErrorCode::FencedInstanceId)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a service runs that ends with these errors one after the other, then well.
    async fn runs(errors: &[RDKafkaErrorCode]) -> (usize, bool) {
        let mut run = 0;
        let ended = taking_the_name_back(|| {
            let error = errors.get(run).copied();
            run += 1;
            async move {
                match error {
                    Some(code) => Err(KafkaError::MessageConsumptionFatal(code).into()),
                    None => Ok(()),
                }
            }
        });
        let ended = ended.await.is_ok();
        (run, ended)
    }

    #[tokio::test]
    async fn a_name_is_taken_back_once() {
        let fenced = RDKafkaErrorCode::FencedInstanceId;
        assert_eq!(runs(&[]).await, (1, true));
        assert_eq!(runs(&[fenced]).await, (2, true));
        assert_eq!(runs(&[fenced, fenced]).await, (2, false));
        assert_eq!(runs(&[RDKafkaErrorCode::Fatal]).await, (1, false));
    }
}
