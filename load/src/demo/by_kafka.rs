//! The half of the day that arrives straight on the log.

use std::sync::Arc;

use anyhow::Result;

use super::half::Half;
use crate::kafka::{Road, Tail};

/// Starts reading answers. Those to one reference are given to its attempts in turn: the first
/// answer to the first, the second to the second. `references` is how many there are.
pub fn listen(road: &Road, half: &Half, references: usize) -> Result<Tail> {
    let mut attempts = vec![Vec::new(); references];
    for (attempt, payment) in half.payments.iter().enumerate().rev() {
        attempts[payment.reference].push(attempt);
    }
    let track = half.track.clone();
    road.finals(move |decision| {
        let reference = track.tag.read(decision.reference);
        let attempts = reference.and_then(|reference| attempts.get_mut(reference));
        if let Some(attempt) = attempts.and_then(Vec::pop) {
            track.settled(attempt, decision.verdict, decision.replayed);
        }
    })
}

/// Sends this half and waits for its last answer.
pub async fn play(road: &Road, half: &Arc<Half>) -> Result<()> {
    let playing = half.clone();
    let write = move |attempt: usize, out: &mut Vec<u8>| playing.write(attempt, out);
    road.send(&half.track, &road.topics.commands, write).await?;
    road.await_complete(&half.track).await
}
