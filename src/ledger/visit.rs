//! One stop of a walk: passing on, deciding, settling, turning back.

use std::sync::Arc;

use super::command::{Body, Command};
use super::decide::Turn;
use super::draft::{Draft, Refusal};
use super::hold::Portion;
use super::id::TransactionId;
use super::outcome::{Decision, Direction};
use super::period;
use super::rejection::Rejection;
use super::route::{PartitionId, partition_of};
use super::walk::{self, Carried, Step, Stop, Walk};

/// A transaction at one of its stops.
pub(super) struct Visit<'a> {
    pub(super) transaction: TransactionId,
    pub(super) command: &'a Arc<Command>,
    pub(super) walk: Walk<'a>,
    /// Which stop this is.
    pub(super) index: usize,
    /// What was sent here, or what this stop had sent on and now comes back.
    pub(super) carried: &'a [Carried],
    /// Of a reversal: what of the original moves back.
    pub(super) portions: &'a [Portion],
}

impl Visit<'_> {
    /// What of the original moves back to `partition`.
    fn portions_to(&self, partition: PartitionId, count: PartitionId) -> Vec<Portion> {
        let portions = self.portions.iter();
        let there = |portion: &&Portion| partition_of(portion.source, count) == partition;
        portions.filter(there).copied().collect()
    }
}

impl Turn<'_> {
    /// Debits first, then credits, then the money goes on.
    pub(super) fn visit(&mut self, visit: &Visit<'_>) {
        let closed = period::refuse_closed(self.partition, visit.command);
        if let Some(reason) = closed.or_else(|| self.refuse_undone(visit)) {
            self.turn_back(visit, reason);
            let refused = Decision::Rejected(reason);
            return self.conclude(visit.command, visit.transaction, refused, refused);
        }
        let entries_max = visit.walk.postings().len().saturating_mul(2);
        let mut draft = self.draft(entries_max);
        let decision = match pass(&mut draft, visit) {
            Ok((decision, legs)) => {
                self.outcome.effects.entries = draft.entries;
                if let Body::ClosePeriod(close) = &visit.command.body {
                    let ledger = visit.command.ledger.clone();
                    self.outcome.effects.closed = Some((ledger, close.before_ms));
                }
                for (stop, step) in legs {
                    self.send(stop.partition, stop.key, step);
                }
                decision
            }
            Err(refusal) => {
                self.turn_back(visit, refusal.0);
                self.refuse(refusal)
            }
        };
        self.conclude(visit.command, visit.transaction, decision, decision);
        let held = matches!(decision, Decision::Held | Decision::Forwarded);
        if let (true, Some(hold)) = (held, visit.command.hold()) {
            self.reserve(visit, hold);
        }
    }

    /// Refused: nothing happened here, and what came goes back the way it came.
    fn turn_back(&mut self, visit: &Visit<'_>, reason: Rejection) {
        let Some(before) = visit.walk.stop_before(visit.index) else {
            return;
        };
        let (transaction, command) = (visit.transaction, visit.command.clone());
        let (carried, portions) = (visit.carried.to_vec(), visit.portions.to_vec());
        let step = Step::Unwind {
            transaction,
            command,
            carried,
            reason,
            portions,
        };
        self.send(before.partition, before.key, step);
    }

    /// Accepted by the last stop, `from`: the credits that were reserved here are posted.
    pub(super) fn settle(&mut self, from: PartitionId, visit: &Visit<'_>) {
        let mut draft = self.draft(visit.walk.postings().len());
        for money in visit.carried {
            let arrived = draft.arrive(from, *money);
            arrived.expect("what a partition sends fits the mirror of what it sent");
        }
        for posting in visit.walk.credits_at(self.partition.id) {
            draft.resolve(posting.destination.id, posting.amount, Direction::Settle);
        }
        self.outcome.effects.entries = draft.entries;
    }

    /// Refused by a later stop: undoes what was done here, takes the money back from the stop
    /// after this one, and hands on what had come from the stop before.
    pub(super) fn unwind(&mut self, from: PartitionId, visit: &Visit<'_>, reason: Rejection) {
        let here = self.partition.id;
        let entries_max = visit.walk.postings().len().saturating_mul(2);
        let mut draft = self.draft(entries_max);
        let mut back = visit.carried.to_vec();
        if visit.command.hold().is_some() {
            return self.unreserve(visit, reason);
        }
        for posting in visit.walk.debits_at(here) {
            if !draft.give_back(posting.source.id, posting.amount) {
                walk::take(&mut back, posting.asset, posting.amount);
            }
        }
        for posting in visit.walk.credits_at(here) {
            draft.resolve(posting.destination.id, posting.amount, Direction::Release);
        }
        for money in &back {
            draft.come_back(from, *money);
        }
        if let Some(before) = visit.walk.stop_before(visit.index) {
            let carried = visit.walk.carried_from(visit.index.saturating_sub(1));
            for money in &carried {
                draft.go_back(before.partition, *money);
            }
            let (transaction, command) = (visit.transaction, visit.command.clone());
            let step = Step::Unwind {
                transaction,
                command,
                carried,
                reason,
                portions: visit.portions.to_vec(),
            };
            self.send(before.partition, before.key, step);
        } else if let Some(reverse) = visit.command.reverse() {
            self.unreverse(reverse, visit.portions);
        }
        self.outcome.effects.entries = draft.entries;
    }
}

/// This stop's part, and the legs that follow from it.
fn pass(
    draft: &mut Draft<'_>,
    visit: &Visit<'_>,
) -> Result<(Decision, Vec<(Stop, Step)>), Refusal> {
    let Visit {
        transaction,
        command,
        walk,
        index,
        carried,
        portions,
    } = visit;
    let here = draft.partition_id();
    let after = walk.stop_after(*index);
    if let Some(before) = walk.stop_before(*index) {
        for money in *carried {
            draft.arrive(before.partition, *money)?;
        }
    }
    let holds = command.hold().is_some();
    if command.reverse().is_some() {
        expect_untouched(draft, visit)?;
    }
    let forced = command.reverse().is_some_and(|reverse| reverse.force);
    let debit = match (holds, forced) {
        (true, _) => Direction::Hold,
        (false, true) => Direction::Force,
        (false, false) => Direction::Debit,
    };
    let credit = match holds || after.is_some() {
        true => Direction::Reserve,
        false => Direction::Credit,
    };
    for posting in walk.debits_at(here) {
        let (party, amount) = (posting.source, posting.amount);
        draft.debit(command, party, posting.asset, amount, debit)?;
    }
    for posting in walk.credits_at(here) {
        let (party, amount) = (posting.destination, posting.amount);
        draft.credit(command, party, posting.asset, amount, credit)?;
    }
    if holds {
        for (to, money) in walk.ways_from(here) {
            draft.reserve_way(to, money)?;
        }
    }
    let Some(after) = after else {
        return match holds {
            true => Ok((Decision::Held, confirmation(visit))),
            false => Ok((Decision::Applied, settlements(draft, visit)?)),
        };
    };
    let (transaction, command) = (*transaction, (*command).clone());
    let carried = match holds {
        true => Vec::new(),
        false => walk.carried_from(*index),
    };
    for money in &carried {
        draft.leave(after.partition, *money)?;
    }
    let step = Step::Visit {
        transaction,
        command,
        carried,
        portions: portions.to_vec(),
    };
    Ok((Decision::Forwarded, vec![(after, step)]))
}

/// A reversal may expect something of a balance that it moves nothing at, too.
fn expect_untouched(draft: &Draft<'_>, visit: &Visit<'_>) -> Result<(), Refusal> {
    let (here, count) = (draft.partition_id(), draft.partition_count());
    let moves = |id| {
        let mut postings = visit.walk.postings().iter();
        postings.any(|posting| posting.source.id == id || posting.destination.id == id)
    };
    let expected = visit.command.expect.iter().map(|(id, _)| *id);
    let mut untouched = expected.filter(|id| partition_of(*id, count) == here && !moves(*id));
    untouched.try_for_each(|id| draft.expect(visit.command, id))
}

/// The leg that tells home of an accepted hold, unless this is home.
fn confirmation(visit: &Visit<'_>) -> Vec<(Stop, Step)> {
    let home = visit.walk.stops().first().filter(|_| visit.index > 0);
    let step = |home: &Stop| {
        let (transaction, command) = (visit.transaction, visit.command.clone());
        let step = Step::Settle {
            transaction,
            command,
            carried: Vec::new(),
            portions: Vec::new(),
        };
        (*home, step)
    };
    home.map(step).into_iter().collect()
}

/// The legs that post what the stops before the last one have reserved.
fn settlements(draft: &mut Draft<'_>, visit: &Visit<'_>) -> Result<Vec<(Stop, Step)>, Refusal> {
    let mut legs = Vec::new();
    for stop in visit.walk.stops().iter().take(visit.index) {
        let carried = walk::sum(visit.walk.credits_at(stop.partition));
        for money in &carried {
            draft.leave(stop.partition, *money)?;
        }
        if !carried.is_empty() {
            let (transaction, command) = (visit.transaction, visit.command.clone());
            let step = Step::Settle {
                transaction,
                command,
                carried,
                portions: visit.portions_to(stop.partition, draft.partition_count()),
            };
            legs.push((*stop, step));
        }
    }
    Ok(legs)
}
