//! A transaction that walks: passing a stop, settling there, and turning back.

use std::sync::Arc;

use super::page::Page;
use super::turn::Turn;
use super::visit::{Visit, holds, pass, postings};
use super::{reverse, way};
use crate::ledger::command::Body;
use crate::ledger::{
    Carried, Command, Decision, Direction, PartitionId, Portion, Rejection, TransactionId,
};

impl Turn<'_> {
    /// Money in from the stop before, debits, credits, money on to the stop after.
    pub(super) fn pass(&mut self, visit: &Visit<'_>) {
        let closed = self.in_closed_period(visit.command);
        if let Some(reason) = closed.or_else(|| self.undone(visit)) {
            for (stop, step) in visit.back(visit.carried.to_vec(), reason) {
                self.send(stop, step);
            }
            let refused = Decision::Rejected(reason);
            return self.conclude(visit.command, visit.transaction, refused, refused);
        }
        self.close(visit.command);
        let mut page = Page::of(&mut self.oracle.balances, self.outcome.offset, &self.purse);
        let (decision, legs) = match pass(&mut page, self.here, self.oracle.count, visit) {
            Ok(legs) => {
                self.outcome.effects.entries = page.entries;
                let last = visit.index + 1 == visit.stops.len();
                let decision = match (last, holds(visit.command)) {
                    (false, _) => Decision::Forwarded,
                    (true, true) => Decision::Held,
                    (true, false) => Decision::Applied,
                };
                self.reserve(visit);
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

    pub(super) fn settle(&mut self, from: PartitionId, visit: &Visit<'_>) -> Decision {
        let (here, count) = (self.here, self.oracle.count);
        let mut page = Page::of(&mut self.oracle.balances, self.outcome.offset, &self.purse);
        for money in visit.carried {
            let arrived = page.transit(here, (from, here), Direction::Debit, *money);
            arrived.expect("the mirror has room for what it shows");
        }
        for posting in visit.destinations(here, count) {
            let amount = posting.amount.minor();
            page.change(posting.destination.id, Direction::Settle, amount);
        }
        self.outcome.effects.entries = page.entries;
        Decision::Applied
    }

    /// Undoes this stop's part: what it gave comes back, what it got goes back.
    pub(super) fn unwind(&mut self, from: PartitionId, visit: &Visit<'_>, reason: Rejection) {
        let (here, count) = (self.here, self.oracle.count);
        let mut page = Page::of(&mut self.oracle.balances, self.outcome.offset, &self.purse);
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

    pub(super) fn visit_of<'c>(
        &self,
        command: &'c Arc<Command>,
        transaction: TransactionId,
        carried: &'c [Carried],
        portions: &'c [Portion],
    ) -> Visit<'c> {
        let count = self.oracle.count;
        let (stops, moves) = if let Body::ClosePeriod(close) = &command.body {
            (way::everywhere(close.home, count), Vec::new())
        } else if let Body::Reverse(asked) = &command.body {
            (reverse::stops(asked, count), reverse::back(portions))
        } else {
            let postings = postings(command);
            (way::stops(postings, count), postings.to_vec())
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
            portions,
            moves,
        }
    }
}
