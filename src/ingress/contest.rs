//! One reference, two contents: which of them it belongs to.
//!
//! Only what is final says so. Content that is under way may be refused yet, because the reference
//! belongs to what somebody else has sent over Kafka, and that may be the very content asked for
//! now. So a claim of other content is given a moment to become final; then cold is asked, for the
//! note of an answer can be lost; and where neither knows, the caller is told to ask again, and
//! nothing is sent: two contents in two partitions might both be applied.

use tokio::time::{Instant, sleep, timeout};

use super::context::Context;
use super::error::Kind;
use super::lookup::{ARRIVES, COLD_PATIENCE, LOOK_AGAIN};
use super::problem::Problem;
use super::submit::claimed;
use crate::cold::transaction;
use crate::hot::claims::Claim;
use crate::ledger::Command;

impl Context {
    /// Claims the reference of a command.
    pub async fn claim(&self, command: &Command) -> Claim {
        let deadline = Instant::now() + ARRIVES;
        loop {
            let claim = self.claims.begin(claimed(command)).await;
            if claim != Claim::Contested {
                return claim;
            }
            if Instant::now() >= deadline {
                return self.belongs(command).await;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whose a contested reference is, by cold.
    async fn belongs(&self, command: &Command) -> Claim {
        let looking = transaction::transaction(&self.pool, &command.ledger, &command.reference);
        match timeout(COLD_PATIENCE, looking).await {
            Ok(Ok(Some(known))) if known.decider.fingerprint == command.fingerprint.0 => {
                // Its partition answers the repeat.
                Claim::Pending
            }
            Ok(Ok(Some(_))) => Claim::Other,
            Ok(Ok(None) | Err(_)) | Err(_) => Claim::Contested,
        }
    }
}

/// What the caller of a contested reference is told.
pub fn contested() -> Problem {
    let detail = "another content under this reference is not decided yet; \
        send this again in a moment";
    Problem::new(Kind::RequestInFlight, detail)
}
