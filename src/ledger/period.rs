//! Periods: when a command may say that it takes effect.
//!
//! A command without a date takes effect at its log time, which no closing can be after. Closing is
//! a walk over every partition, so each of them refuses by its own log; once the last one has
//! answered, none takes an earlier date. A walk that was under way is refused at the first stop
//! that is closed; what is settled or given back for it is never refused.

use super::command::{Body, Command};
use super::partition::Partition;
use super::rejection::Rejection;

/// How far a date may be ahead of log time, in milliseconds: the clocks of clients are not ours.
pub const AHEAD_MAX_MS: i64 = 60_000;

/// Why a command may not take effect when it says; asked at home, at log time `at_ms`.
pub(super) fn refuse(partition: &Partition, command: &Command, at_ms: i64) -> Option<Rejection> {
    let latest = at_ms.saturating_add(AHEAD_MAX_MS);
    if command.note.effective_at.is_some_and(|date| date > latest) {
        return Some(Rejection::EffectiveInFuture);
    }
    if let Body::ClosePeriod(close) = &command.body {
        let closed = partition.closed.get(&command.ledger);
        if close.before_ms > at_ms {
            return Some(Rejection::EffectiveInFuture);
        }
        if closed.is_some_and(|closed| close.before_ms < *closed) {
            return Some(Rejection::PeriodClosed);
        }
    }
    refuse_closed(partition, command)
}

/// Why it may not, at any stop: its date is in a period that is closed here.
pub(super) fn refuse_closed(partition: &Partition, command: &Command) -> Option<Rejection> {
    let date = command.note.effective_at?;
    let closed = partition.closed.get(&command.ledger)?;
    (date < *closed).then_some(Rejection::PeriodClosed)
}
