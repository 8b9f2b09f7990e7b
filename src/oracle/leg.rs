//! Legs, from and to other partitions: each once, in the order of its number.

use std::sync::Arc;

use super::turn::Turn;
use super::visit::holds;
use super::way::Stop;
use crate::ledger::outcome::Ignored;
use crate::ledger::{Carried, Command, Decision, Leg, PartitionId, Rejection, Step, TransactionId};

impl Turn<'_> {
    pub(super) fn leg(&mut self, leg: &Leg) {
        self.outcome.command = Some(leg.step.command().clone());
        self.outcome.transaction = leg.step.transaction();
        assert!(leg.from < self.oracle.count, "a leg comes from a partition");
        let last = self.place().received.get(&leg.from).copied().unwrap_or(0);
        if leg.number != last + 1 {
            let known = leg.number <= last;
            let why = if known {
                Ignored::KnownLeg
            } else {
                Ignored::LegGap
            };
            self.outcome.decision = Decision::Ignored(why);
            return;
        }
        self.place().received.insert(leg.from, leg.number);
        self.outcome.effects.received = Some((leg.from, leg.number));
        self.step(leg.from, &leg.step);
    }

    fn step(&mut self, from: PartitionId, step: &Step) {
        match step {
            Step::Forward { command, .. } => self.command(command),
            Step::Question {
                transaction,
                command,
            } => self.question(command, *transaction),
            Step::Visit {
                transaction,
                command,
                carried,
            } => {
                self.pass(&self.visit_of(command, *transaction, carried));
            }
            Step::Settle {
                transaction,
                command,
                carried,
            } => {
                self.accepted(from, (command, *transaction), carried);
            }
            Step::Unwind {
                transaction,
                command,
                carried,
                reason,
            } => {
                self.turned_back(from, (command, *transaction), carried, *reason);
            }
            Step::Take {
                transaction,
                command,
                portions,
            } => self.take(command, *transaction, portions),
            Step::Give {
                transaction,
                command,
                carried,
                portions,
            } => {
                self.give(from, carried, portions);
                self.note(command, *transaction, portions);
            }
            Step::Release {
                transaction,
                command,
                portions,
            } => {
                self.give_up(portions);
                self.note(command, *transaction, portions);
            }
        }
    }

    fn question(&mut self, command: &Arc<Command>, id: TransactionId) {
        self.outcome.replay_of = Some(id.offset());
        match self.recall(command, Some(id)) {
            Some(known) => self.repeat(command, id, known.decision),
            None => self.outcome.decision = Decision::Ignored(Ignored::Forgotten),
        }
    }

    /// The last stop has let it pass.
    fn accepted(
        &mut self,
        from: PartitionId,
        (command, id): (&Arc<Command>, TransactionId),
        carried: &[Carried],
    ) {
        let done = if holds(command) {
            self.confirm(id)
        } else {
            self.settle(from, &self.visit_of(command, id, carried))
        };
        self.conclude(command, id, done, done);
    }

    /// A later stop has refused it.
    fn turned_back(
        &mut self,
        from: PartitionId,
        (command, id): (&Arc<Command>, TransactionId),
        carried: &[Carried],
        reason: Rejection,
    ) {
        let visit = self.visit_of(command, id, carried);
        if holds(command) {
            self.unreserve(&visit, reason);
        } else {
            self.unwind(from, &visit, reason);
        }
        let (done, said) = (Decision::Returned(reason), Decision::Rejected(reason));
        self.conclude(command, id, done, said);
    }

    pub(super) fn send(&mut self, (to, key): Stop, step: Step) {
        let last = self.place().sent.entry(to).or_default();
        *last += 1;
        let number = *last;
        self.outcome.effects.sent.push((to, number));
        let from = self.here;
        self.outcome.legs.push(Leg {
            from,
            to,
            number,
            key,
            step,
        });
    }
}
