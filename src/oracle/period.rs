//! When something may take effect.

use super::turn::Turn;
use crate::ledger::command::Body;
use crate::ledger::{Command, Rejection};

impl Turn<'_> {
    /// At home: no date more than a minute ahead, no closing of what is not over or was closed
    /// further, no date in what is closed.
    pub(super) fn out_of_time(&mut self, command: &Command) -> Option<Rejection> {
        let (now, closed) = (self.outcome.at_ms, self.closed(command));
        let date = command.note.effective_at;
        let closing = if let Body::ClosePeriod(close) = &command.body {
            Some(close.before_ms)
        } else {
            None
        };
        let objections = [
            (
                date.is_some_and(|date| date - now > 60_000),
                Rejection::EffectiveInFuture,
            ),
            (
                closing.is_some_and(|end| end > now),
                Rejection::EffectiveInFuture,
            ),
            (
                closing.is_some_and(|end| Some(end) < closed),
                Rejection::PeriodClosed,
            ),
        ];
        let first = objections.into_iter().find(|(holds, _)| *holds);
        first
            .map(|(_, reason)| reason)
            .or_else(|| self.in_closed_period(command))
    }

    /// At every stop.
    pub(super) fn in_closed_period(&mut self, command: &Command) -> Option<Rejection> {
        let (date, closed) = (command.note.effective_at?, self.closed(command)?);
        (date < closed).then_some(Rejection::PeriodClosed)
    }

    pub(super) fn close(&mut self, command: &Command) {
        if let Body::ClosePeriod(close) = &command.body {
            let end = self
                .closed(command)
                .map_or(close.before_ms, |closed| closed.max(close.before_ms));
            self.place().closed.insert(command.ledger.to_string(), end);
            self.outcome.effects.closed = Some((command.ledger.clone(), close.before_ms));
        }
    }

    fn closed(&mut self, command: &Command) -> Option<i64> {
        self.place().closed.get(&*command.ledger).copied()
    }
}
