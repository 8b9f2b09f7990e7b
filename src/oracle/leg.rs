//! Legs, from and to other partitions: each once, in the order of its number.

use std::sync::Arc;

use super::turn::Turn;
use super::visit::{Visit, holds};
use super::way::Stop;
use crate::ledger::command::Body;
use crate::ledger::outcome::Ignored;
use crate::ledger::{Command, Decision, Leg, PartitionId, Rejection, Step, TransactionId};

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
        let known = self.rules_at(self.outcome.offset);
        assert!(
            known > 1 || leg.rules < 3,
            "a leg that is not known here yet"
        );
        self.purse = Self::purse_by(leg.rules, leg.step.command());
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
                portions,
            } => {
                self.pass(&self.visit_of(command, *transaction, carried, portions));
            }
            Step::Settle {
                transaction,
                command,
                carried,
                portions,
            } => {
                self.accepted(
                    from,
                    &self.visit_of(command, *transaction, carried, portions),
                );
            }
            Step::Unwind {
                transaction,
                command,
                carried,
                reason,
                portions,
            } => {
                let visit = self.visit_of(command, *transaction, carried, portions);
                self.turned_back(from, &visit, *reason);
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
    fn accepted(&mut self, from: PartitionId, visit: &Visit<'_>) {
        let done = if holds(visit.command) {
            self.confirm(visit.transaction)
        } else {
            self.settle(from, visit)
        };
        self.conclude(visit.command, visit.transaction, done, done);
    }

    /// A later stop has refused it.
    fn turned_back(&mut self, from: PartitionId, visit: &Visit<'_>, reason: Rejection) {
        if holds(visit.command) {
            self.unreserve(visit, reason);
        } else {
            self.unwind(from, visit, reason);
        }
        if let (Body::Reverse(asked), 0) = (&visit.command.body, visit.index) {
            self.not_reversed(asked, visit.portions);
        }
        let (done, said) = (Decision::Returned(reason), Decision::Rejected(reason));
        self.conclude(visit.command, visit.transaction, done, said);
    }

    pub(super) fn send(&mut self, (to, key): Stop, step: Step) {
        let last = self.place().sent.entry(to).or_default();
        *last += 1;
        let number = *last;
        self.outcome.effects.sent.push((to, number));
        let from = self.here;
        let moves = !matches!(step, Step::Question { .. } | Step::Forward { .. });
        let rules = if moves && self.purse.is_some() { 3 } else { 1 };
        self.outcome.legs.push(Leg {
            from,
            to,
            number,
            key,
            rules,
            step,
        });
    }
}
