//! What is remembered of references.

use super::Memory;
use super::turn::Turn;
use crate::ledger::{Command, Decision, Mark, SeenKey, TransactionId};

impl Turn<'_> {
    /// What is remembered here, within the horizon: of a reference, or of a transaction that came
    /// by or is at home here.
    pub(super) fn recall(
        &mut self,
        command: &Command,
        passed: Option<TransactionId>,
    ) -> Option<Memory> {
        let horizon = i128::from(self.setting().horizon_seconds);
        let key = match passed {
            None => command.seen_key,
            Some(transaction) => self.key(command, transaction),
        };
        let known = *self.oracle.memory.get(&(self.here, key))?;
        let age = self.outcome.at_ms.div_euclid(1000) - known.at_ms.div_euclid(1000);
        (i128::from(age) <= horizon).then_some(known)
    }

    /// Decides, and remembers what a repeat will be told.
    pub(super) fn conclude(
        &mut self,
        command: &Command,
        transaction: TransactionId,
        decision: Decision,
        said: Decision,
    ) {
        let key = self.key(command, transaction);
        let memory = Memory {
            content: self.contents.own,
            offset: transaction.offset(),
            at_ms: self.outcome.at_ms,
            decision: said,
        };
        self.oracle.memory.insert((self.here, key), memory);
        self.outcome.decision = decision;
        let fingerprint = command.fingerprint;
        let decision = said;
        self.outcome.effects.mark = Some(Mark {
            key,
            transaction,
            fingerprint,
            decision,
        });
    }

    /// A transaction that only comes by has another key than one under the same reference at home.
    fn key(&self, command: &Command, transaction: TransactionId) -> SeenKey {
        match transaction.home() == self.here {
            true => command.seen_key,
            false => command.seen_key.at_stop(transaction),
        }
    }
}
