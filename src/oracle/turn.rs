//! One record, from what it asks to its outcome.

use std::sync::Arc;

use super::page::{Page, Refusal};
use super::visit::{Visit, pass, postings};
use super::way::{self, partition_of, unknown};
use super::{Memory, Oracle, Place, limits};
use crate::ledger::command::Body;
use crate::ledger::outcome::Ignored;
use crate::ledger::{
    BalanceId, Carried, Command, Decision, Direction, Effects, Leg, Mark, Outcome, PartitionId,
    Record, Rejection, Setting, Step, TransactionId,
};

/// Decides a record and changes the books accordingly.
pub(super) fn turn(
    oracle: &mut Oracle,
    here: PartitionId,
    offset: u64,
    at_ms: i64,
    record: &Record,
) -> Outcome {
    let place = oracle.places.entry(here).or_default();
    let outcome = Outcome {
        offset,
        at_ms: at_ms.max(place.log_time_ms),
        follows: place.last,
        decision: Decision::Ignored(Ignored::DeadLetter),
        transaction: None,
        command: None,
        replay_of: None,
        detail: None,
        effects: Effects::default(),
        legs: Vec::new(),
    };
    let mut turn = Turn {
        oracle,
        here,
        outcome,
    };
    match record {
        Record::DeadLetter => {}
        Record::Genesis(setting) => {
            turn.outcome.decision = Decision::Ignored(Ignored::Genesis);
            turn.outcome.effects.setting = Some(*setting);
            turn.place().setting = Some(*setting);
        }
        Record::Rules(rules) => {
            let place = turn.place();
            let raised = place.rules.is_none_or(|known| known < *rules) && *rules > 1;
            turn.outcome.decision = Decision::Ignored(Ignored::Rules);
            if raised {
                turn.place().rules = Some(*rules);
                turn.outcome.effects.rules = Some(*rules);
            }
        }
        Record::Command(command) => turn.arrived(command),
        Record::Leg(leg) => turn.leg(leg),
    }
    turn.outcome
}

pub(super) struct Turn<'a> {
    pub(super) oracle: &'a mut Oracle,
    pub(super) here: PartitionId,
    pub(super) outcome: Outcome,
}

impl Turn<'_> {
    pub(super) fn place(&mut self) -> &mut Place {
        self.oracle.places.entry(self.here).or_default()
    }

    fn setting(&mut self) -> Setting {
        let setting = self.place().setting;
        setting.expect("the log's first record comes before its commands")
    }

    /// A client's command, perhaps on the wrong partition.
    fn arrived(&mut self, command: &Arc<Command>) {
        self.outcome.command = Some(command.clone());
        let key = match &command.body {
            Body::Open(open) => open.balance,
            Body::Configure(configure) => configure.balance,
            Body::ClosePeriod(close) => close.home,
            Body::Transfer(postings) => postings[0].source.id,
            Body::Hold(_) | Body::Post(_) | Body::Void(_) | Body::Expire(_) | Body::Reverse(_) => {
                unknown()
            }
        };
        let home = partition_of(key, self.oracle.count);
        if home == self.here {
            return self.command(command);
        }
        self.outcome.decision = Decision::Ignored(Ignored::Misrouted);
        let step = Step::Forward {
            command: command.clone(),
            origin_offset: self.outcome.offset,
        };
        self.send((home, key), step);
    }

    /// A command at home: the first of its reference, a repeat, or another one under its name.
    fn command(&mut self, command: &Arc<Command>) {
        let generation = self.setting().generation;
        let Some(known) = self.recall(command, None) else {
            let id = TransactionId::new(self.here, self.outcome.offset, generation);
            self.outcome.transaction = Some(id);
            return self.fresh(command, id);
        };
        if known.fingerprint != command.fingerprint.0 {
            self.outcome.decision = Decision::Rejected(Rejection::ReferenceReused);
            return;
        }
        let id = TransactionId::new(self.here, known.offset, generation);
        self.outcome.transaction = Some(id);
        self.repeat(command, id, known.decision);
    }

    /// Says again what was said, or asks on.
    fn repeat(&mut self, command: &Arc<Command>, id: TransactionId, said: Decision) {
        self.outcome.replay_of = Some(id.offset());
        self.outcome.decision = said;
        if said == Decision::Forwarded {
            let visit = self.visit_of(command, id, &[]);
            let next = visit.stops[visit.index + 1];
            let (transaction, command) = (id, command.clone());
            self.send(
                next,
                Step::Question {
                    transaction,
                    command,
                },
            );
        }
    }

    fn fresh(&mut self, command: &Arc<Command>, id: TransactionId) {
        if let Some(reason) = self.out_of_time(command) {
            let refused = Decision::Rejected(reason);
            return self.conclude(command, id, refused, refused);
        }
        let mut page = Page::new(&mut self.oracle.balances, self.outcome.offset);
        let result = match &command.body {
            Body::Open(open) => limits::open(&mut page, command, open),
            Body::Configure(configure) => limits::configure(&mut page, command, configure),
            Body::Transfer(_) | Body::ClosePeriod(_) => {
                return self.pass(&self.visit_of(command, id, &[]));
            }
            Body::Hold(_) | Body::Post(_) | Body::Void(_) | Body::Expire(_) | Body::Reverse(_) => {
                unknown()
            }
        };
        let decision = match result {
            Ok(()) => {
                self.outcome.effects.entries = page.entries;
                Decision::Applied
            }
            Err(refusal) => {
                page.put_back();
                self.refuse(refusal)
            }
        };
        self.conclude(command, id, decision, decision);
    }

    fn leg(&mut self, leg: &Leg) {
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
        match &leg.step {
            Step::Forward { command, .. } => self.command(command),
            Step::Question {
                transaction,
                command,
            } => self.question(command, *transaction),
            Step::Visit {
                transaction,
                command,
                carried,
                ..
            } => {
                self.pass(&self.visit_of(command, *transaction, carried));
            }
            Step::Settle {
                transaction,
                command,
                carried,
                ..
            } => {
                self.settle(leg.from, &self.visit_of(command, *transaction, carried));
                let applied = Decision::Applied;
                self.conclude(command, *transaction, applied, applied);
            }
            Step::Unwind {
                transaction,
                command,
                carried,
                reason,
                ..
            } => {
                let visit = self.visit_of(command, *transaction, carried);
                self.unwind(leg.from, &visit, *reason);
                let (done, said) = (Decision::Returned(*reason), Decision::Rejected(*reason));
                self.conclude(command, *transaction, done, said);
            }
            Step::Take { .. } | Step::Give { .. } | Step::Release { .. } => unknown(),
        }
    }

    fn question(&mut self, command: &Arc<Command>, id: TransactionId) {
        self.outcome.replay_of = Some(id.offset());
        match self.recall(command, Some(id)) {
            Some(known) => self.repeat(command, id, known.decision),
            None => self.outcome.decision = Decision::Ignored(Ignored::Forgotten),
        }
    }

    /// Money in from the stop before, debits, credits, money on to the stop after.
    fn pass(&mut self, visit: &Visit<'_>) {
        if let Some(reason) = self.in_closed_period(visit.command) {
            for (stop, step) in visit.back(visit.carried.to_vec(), reason) {
                self.send(stop, step);
            }
            let refused = Decision::Rejected(reason);
            return self.conclude(visit.command, visit.transaction, refused, refused);
        }
        self.close(visit.command);
        let mut page = Page::new(&mut self.oracle.balances, self.outcome.offset);
        let (decision, legs) = match pass(&mut page, self.here, self.oracle.count, visit) {
            Ok(legs) => {
                self.outcome.effects.entries = page.entries;
                let last = visit.index + 1 == visit.stops.len();
                let decision = if last {
                    Decision::Applied
                } else {
                    Decision::Forwarded
                };
                (decision, legs)
            }
            Err(refusal) => {
                page.put_back();
                (
                    self.refuse(refusal),
                    visit.back(visit.carried.to_vec(), refusal.0),
                )
            }
        };
        for (stop, step) in legs {
            self.send(stop, step);
        }
        self.conclude(visit.command, visit.transaction, decision, decision);
    }

    fn settle(&mut self, from: PartitionId, visit: &Visit<'_>) {
        let (here, count) = (self.here, self.oracle.count);
        let mut page = Page::new(&mut self.oracle.balances, self.outcome.offset);
        for money in visit.carried {
            let arrived = page.transit(here, (from, here), Direction::Debit, *money);
            arrived.expect("the mirror has room for what it shows");
        }
        for posting in visit.destinations(here, count) {
            let amount = posting.amount.minor();
            page.change(posting.destination.id, Direction::Settle, amount);
        }
        self.outcome.effects.entries = page.entries;
    }

    /// Undoes this stop's part: what it gave comes back, what it got goes back.
    fn unwind(&mut self, from: PartitionId, visit: &Visit<'_>, reason: Rejection) {
        let (here, count) = (self.here, self.oracle.count);
        let mut page = Page::new(&mut self.oracle.balances, self.outcome.offset);
        let mut back = visit.carried.to_vec();
        for posting in visit.sources(here, count) {
            let amount = posting.amount.minor();
            if !page.give_back(posting.source.id, amount) {
                let mut same = back.iter_mut().filter(|money| money.asset == posting.asset);
                same.next().expect("it came back").amount -= amount;
            }
        }
        for posting in visit.destinations(here, count) {
            let amount = posting.amount.minor();
            page.change(posting.destination.id, Direction::Release, amount);
        }
        for money in back.into_iter().filter(|money| money.amount > 0) {
            let came = page.transit(here, (here, from), Direction::Debit, money);
            came.expect("the mirror has room for what it shows");
        }
        let had = visit.taken_before(count);
        let legs = visit.back(had.clone(), reason);
        for ((before, _), _) in &legs {
            for money in &had {
                let went = page.transit(here, (*before, here), Direction::Credit, *money);
                went.expect("the mirror has room for what it shows");
            }
        }
        self.outcome.effects.entries = page.entries;
        for (stop, step) in legs {
            self.send(stop, step);
        }
    }

    fn visit_of<'c>(
        &self,
        command: &'c Arc<Command>,
        transaction: TransactionId,
        carried: &'c [Carried],
    ) -> Visit<'c> {
        let stops = match &command.body {
            Body::ClosePeriod(close) => way::everywhere(close.home, self.oracle.count),
            Body::Transfer(_) | Body::Open(_) | Body::Configure(_) => {
                way::stops(postings(command), self.oracle.count)
            }
            Body::Hold(_) | Body::Post(_) | Body::Void(_) | Body::Expire(_) | Body::Reverse(_) => {
                unknown()
            }
        };
        let index = stops
            .iter()
            .position(|(partition, _)| *partition == self.here);
        let index = index.expect("a transaction only comes where it has something to do");
        Visit {
            transaction,
            command,
            stops,
            index,
            carried,
        }
    }

    fn refuse(&mut self, (rejection, detail): Refusal) -> Decision {
        self.outcome.detail = Some(detail);
        Decision::Rejected(rejection)
    }

    fn send(&mut self, (to, key): (PartitionId, BalanceId), step: Step) {
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

    /// What is remembered here, within the horizon: of a reference at home, or of a transaction
    /// that came by.
    fn recall(&mut self, command: &Command, passed: Option<TransactionId>) -> Option<Memory> {
        let horizon = i128::from(self.setting().horizon_seconds);
        let key = match passed {
            None => command.seen_key,
            Some(transaction) => command.seen_key.at_stop(transaction),
        };
        let known = *self.oracle.memory.get(&(self.here, key))?;
        let age = self.outcome.at_ms.div_euclid(1000) - known.at_ms.div_euclid(1000);
        (i128::from(age) <= horizon).then_some(known)
    }

    /// Decides, and remembers what a repeat will be told.
    fn conclude(
        &mut self,
        command: &Command,
        transaction: TransactionId,
        decision: Decision,
        said: Decision,
    ) {
        let key = match transaction.home() == self.here {
            true => command.seen_key,
            false => command.seen_key.at_stop(transaction),
        };
        let memory = Memory {
            fingerprint: command.fingerprint.0,
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
}
