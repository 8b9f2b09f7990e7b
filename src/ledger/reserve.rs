//! Holds, decided at home and done wherever they touch: reserving, posting, voiding, expiring.

use std::sync::Arc;

use super::command::{Command, Post, Target};
use super::decide::Turn;
use super::draft::Draft;
use super::hold::{Hold, Portion, Stage, by_place};
use super::id::{BalanceId, TransactionId};
use super::outcome::{Decision, Direction, Ignored};
use super::rejection::Rejection;
use super::route::{PartitionId, partition_of};
use super::visit::Visit;
use super::walk::{self, Leg, Step};

impl<'a> Turn<'a> {
    /// Keeps what a stop of a walk has just reserved.
    pub(super) fn reserve(&mut self, visit: &Visit<'_>, terms: &super::command::Hold) {
        let due = |seconds: u32| {
            let span = i64::from(seconds).saturating_mul(1000);
            self.outcome.at_ms.saturating_add(span)
        };
        let expires_at = terms.expires_in.filter(|_| visit.index == 0).map(due);
        let hold = Hold::at_stop(visit.command, &visit.walk, visit.index, expires_at);
        self.keep(visit.transaction, hold);
    }

    /// A later stop refused the hold: releases what was reserved here, and tells the stop before.
    pub(super) fn unreserve(&mut self, visit: &Visit<'_>, reason: Rejection) {
        let hold = self.part_of(visit.transaction);
        let mut draft = self.draft(visit.command.postings().len());
        self.give_up(&mut draft, &hold.rests());
        self.outcome.effects.entries = draft.entries;
        self.keep(visit.transaction, hold.refused());
        if let Some(before) = visit.walk.stop_before(visit.index) {
            let step = Step::Unwind {
                transaction: visit.transaction,
                command: visit.command.clone(),
                carried: Vec::new(),
                reason,
                portions: Vec::new(),
            };
            self.send(before.partition, before.key, step);
        }
    }

    /// The last stop has accepted the hold: home knows now, and answers.
    pub(super) fn confirm(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        let mut hold = self.part_of(transaction).clone();
        hold.stage = Stage::Open;
        self.keep(transaction, hold);
        self.conclude(command, transaction, Decision::Held, Decision::Held);
    }

    pub(super) fn post(&mut self, command: &Arc<Command>, transaction: TransactionId, post: &Post) {
        let chosen = self.decidable(command, post.target).and_then(|hold| {
            let portions = match post.amount {
                None => hold.rests(),
                Some(amount) => hold.rests_up_to(amount)?,
            };
            Ok((hold, portions))
        });
        let decision = match chosen {
            Err(rejection) => Decision::Rejected(rejection),
            Ok((hold, portions)) => {
                self.follow_hold(command, post.target.hold);
                self.keep(post.target.hold, hold.less(&portions, Stage::Spent));
                let mut draft = self.draft(portions.len().saturating_mul(2));
                let count = self.partition.count;
                for (to, portions) in by_place(&portions, |p| partition_of(p.source, count)) {
                    if to == self.partition.id {
                        self.take(&mut draft, command, transaction, &portions);
                    } else if let Some(key) = portions.first().map(|portion| portion.source) {
                        let step = Step::Take {
                            transaction,
                            command: command.clone(),
                            portions,
                        };
                        self.send(to, key, step);
                    }
                }
                self.outcome.effects.entries = draft.entries;
                Decision::Posted
            }
        };
        self.conclude(command, transaction, decision, decision);
    }

    pub(super) fn void(
        &mut self,
        command: &Arc<Command>,
        transaction: TransactionId,
        target: Target,
    ) {
        let decision = match self.decidable(command, target) {
            Err(rejection) => Decision::Rejected(rejection),
            Ok(hold) => {
                self.release(command, transaction, target.hold, hold, Stage::Voided);
                Decision::Voided
            }
        };
        self.conclude(command, transaction, decision, decision);
    }

    /// Releases a hold that is due by log time; anything else is ignored, and may come again.
    pub(super) fn expire(&mut self, command: &Arc<Command>, target: Target) {
        self.outcome.decision = Decision::Ignored(Ignored::NotDue);
        let at_ms = self.outcome.at_ms;
        let due = self.hold_at_home(command, target);
        let due = due.filter(|hold| hold.stage == Stage::Open && hold.is_due(at_ms));
        if let Some(hold) = due {
            self.outcome.transaction = Some(target.hold);
            self.outcome.decision = Decision::Expired;
            self.release(command, target.hold, target.hold, hold, Stage::Expired);
        }
    }

    /// Home gives up the rest of a hold, here and wherever it touches.
    fn release(
        &mut self,
        command: &Arc<Command>,
        transaction: TransactionId,
        id: TransactionId,
        hold: &Hold,
        end: Stage,
    ) {
        self.follow_hold(command, id);
        let rests = hold.rests();
        let mut draft = self.draft(rests.len().saturating_mul(2));
        self.give_up(&mut draft, &rests);
        self.outcome.effects.entries = draft.entries;
        self.keep(id, hold.less(&rests, end));
        for (to, key) in self.elsewhere(&rests) {
            let ours = |id: BalanceId| partition_of(id, self.partition.count) == to;
            let touched = rests.iter().copied();
            let step = Step::Release {
                transaction,
                command: command.clone(),
                portions: touched
                    .filter(|portion| ours(portion.source) || ours(portion.destination))
                    .collect(),
            };
            self.send(to, key, step);
        }
    }

    /// The other partitions that portions touch, with a balance there.
    fn elsewhere(&self, portions: &[Portion]) -> Vec<(PartitionId, BalanceId)> {
        let mut places: Vec<(PartitionId, BalanceId)> = Vec::new();
        let sources = portions.iter().map(|portion| portion.source);
        let destinations = portions.iter().map(|portion| portion.destination);
        for key in sources.chain(destinations) {
            let to = partition_of(key, self.partition.count);
            if to != self.partition.id && !places.iter().any(|(place, _)| *place == to) {
                places.push((to, key));
            }
        }
        places
    }

    /// Does what home has decided of a hold.
    pub(super) fn part(&mut self, leg: &Leg) {
        let (portions, command) = (leg.step.portions(), leg.step.command());
        let transaction = leg.step.transaction();
        let transaction = transaction.expect("a part of a hold has a transaction");
        let target = command.target();
        let target = target.expect("a part of a hold is told by a command on it");
        let mut draft = self.draft(portions.len().saturating_mul(2));
        let (end, decision) = match command.kind() {
            "expire" => (Stage::Expired, Decision::Expired),
            "void" => (Stage::Voided, Decision::Voided),
            _ => (Stage::Spent, Decision::Posted),
        };
        if matches!(leg.step, Step::Take { .. }) {
            self.take(&mut draft, command, transaction, portions);
        } else if matches!(leg.step, Step::Give { .. }) {
            for money in leg.step.carried() {
                let arrived = draft.arrive(leg.from, *money);
                arrived.expect("what a partition sends fits the mirror of what it sent");
            }
            for portion in portions {
                draft.resolve(portion.destination, portion.amount, Direction::Settle);
            }
        } else {
            self.give_up(&mut draft, portions);
        }
        self.outcome.effects.entries = draft.entries;
        // Home has counted it when it decided.
        if target.hold.home() != self.partition.id {
            let after = self.part_of(target.hold).less(portions, end);
            self.keep(target.hold, after);
        }
        match end {
            Stage::Expired => self.outcome.decision = decision,
            Stage::Spent
            | Stage::Voided
            | Stage::Refused
            | Stage::Moved
            | Stage::Pending
            | Stage::Open => {
                self.conclude(command, transaction, decision, decision);
            }
        }
    }

    /// Debits the sources of portions, all of them here, and passes the money on.
    fn take(
        &mut self,
        draft: &mut Draft<'_>,
        command: &Arc<Command>,
        transaction: TransactionId,
        portions: &[Portion],
    ) {
        for portion in portions {
            draft.resolve(portion.source, portion.amount, Direction::Post);
        }
        let count = self.partition.count;
        for (to, portions) in by_place(portions, |p| partition_of(p.destination, count)) {
            if to == self.partition.id {
                for portion in portions {
                    draft.resolve(portion.destination, portion.amount, Direction::Settle);
                }
                continue;
            }
            let carried = walk::total(portions.iter().map(|p| (p.asset, p.amount)));
            for money in &carried {
                draft.resolve_way(to, *money, Direction::Settle);
            }
            let Some(key) = portions.first().map(|portion| portion.destination) else {
                continue;
            };
            let step = Step::Give {
                transaction,
                command: command.clone(),
                carried,
                portions,
            };
            self.send(to, key, step);
        }
    }

    /// Gives up what is reserved here for portions: their debits, credits and ways.
    fn give_up(&self, draft: &mut Draft<'_>, portions: &[Portion]) {
        let (here, count) = (self.partition.id, self.partition.count);
        for portion in portions {
            let (from, to) = (
                partition_of(portion.source, count),
                partition_of(portion.destination, count),
            );
            if from == here {
                draft.resolve(portion.source, portion.amount, Direction::Void);
            }
            if to == here {
                draft.resolve(portion.destination, portion.amount, Direction::Release);
            } else if from == here {
                let money = walk::Carried {
                    asset: portion.asset,
                    amount: portion.amount.minor(),
                };
                draft.resolve_way(to, money, Direction::Release);
            }
        }
    }

    /// From here on this is about a hold that is at home here: its ways go by the rules that were
    /// in force when it was made.
    fn follow_hold(&mut self, command: &Command, hold: TransactionId) {
        self.follow(self.partition.rules.at(hold.offset()), command);
    }

    /// The hold of a post or void, if this is its home and it may be decided on.
    fn decidable(&self, command: &Command, target: Target) -> Result<&'a Hold, Rejection> {
        let hold = self.hold_at_home(command, target);
        let hold = hold.ok_or(Rejection::HoldNotFound)?;
        match hold.refuses(self.outcome.at_ms) {
            Some(rejection) => Err(rejection),
            None => Ok(hold),
        }
    }

    fn hold_at_home(&self, command: &Command, target: Target) -> Option<&'a Hold> {
        let partition = self.partition;
        let horizon = self.setting().horizon_seconds;
        let hold = partition
            .holds
            .find(target.hold, self.outcome.at_ms, horizon)?;
        let home = target.hold.home() == partition.id;
        (home && hold.ledger == command.ledger).then_some(hold)
    }

    /// What this partition keeps of a hold that it was told about.
    fn part_of(&self, id: TransactionId) -> &'a Hold {
        let hold = self.partition.holds.get(id);
        hold.expect("L7: what home decides on is held here")
    }

    /// Sets what becomes of a hold.
    pub(super) fn keep(&mut self, id: TransactionId, mut hold: Hold) {
        hold.version = hold.version.checked_add(1).expect("versions fit 64 bits");
        hold.offset = self.outcome.offset;
        hold.at_ms = self.outcome.at_ms;
        self.outcome.effects.hold = Some(Box::new((id, hold)));
    }
}
