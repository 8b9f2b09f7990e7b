//! What becomes of a hold: home decides, every partition that it touches does as it is told.

use std::sync::Arc;

use super::hold;
use super::page::Page;
use super::turn::Turn;
use super::way::{self, Stop, partition_of};
use crate::ledger::command::Body;
use crate::ledger::outcome::Ignored;
use crate::ledger::{
    Carried, Command, Decision, Direction, Hold, PartitionId, Portion, Post, Rejection, Stage,
    Step, Target, TransactionId,
};

impl Turn<'_> {
    pub(super) fn post(&mut self, command: &Arc<Command>, id: TransactionId, post: &Post) {
        let decision = match self.posted(command, post) {
            Err(reason) => Decision::Rejected(reason),
            Ok((hold, portions)) => {
                self.purse = Self::purse_by(self.rules_at(post.target.hold.offset()), command);
                self.keep(post.target.hold, hold::less(hold, &portions, Stage::Spent));
                self.collect(command, id, &portions);
                Decision::Posted
            }
        };
        self.conclude(command, id, decision, decision);
    }

    /// What a post takes of which hold.
    fn posted(
        &mut self,
        command: &Command,
        post: &Post,
    ) -> Result<(Hold, Vec<Portion>), Rejection> {
        let hold = self.ready(command, post.target)?;
        let portions = match post.amount {
            None => hold::rests(&hold),
            Some((amount, asset)) => {
                let (wanted, beyond) = ((amount.minor(), asset), Rejection::PostExceedsHold);
                hold::some(&hold, wanted, |part| part.rest, beyond)?
            }
        };
        Ok((hold, portions))
    }

    /// The sources here pay; those elsewhere are told to.
    fn collect(&mut self, command: &Arc<Command>, id: TransactionId, portions: &[Portion]) {
        let (here, count) = (self.here, self.oracle.count);
        let mut page = Page::of(&mut self.oracle.balances, self.outcome.offset, &self.purse);
        let mut legs = Vec::new();
        for (stop, portions) in way::by_stop(portions, |portion| portion.source, count) {
            if stop.0 == here {
                legs.extend(pay(&mut page, (here, count), command, id, &portions));
                continue;
            }
            let (transaction, command) = (id, command.clone());
            let step = Step::Take {
                transaction,
                command,
                portions,
            };
            legs.push((stop, step));
        }
        self.outcome.effects.entries = page.entries;
        for (stop, step) in legs {
            self.send(stop, step);
        }
    }

    pub(super) fn void(&mut self, command: &Arc<Command>, id: TransactionId, target: Target) {
        let decision = match self.ready(command, target) {
            Err(reason) => Decision::Rejected(reason),
            Ok(hold) => {
                self.free(command, id, target.hold, hold, Stage::Voided);
                Decision::Voided
            }
        };
        self.conclude(command, id, decision, decision);
    }

    /// A tick: frees the hold if it is open and its time is over by the log's. Nobody remembers
    /// a tick.
    pub(super) fn expire(&mut self, command: &Arc<Command>, target: Target) {
        let now = self.outcome.at_ms;
        let hold = self.known(command, target);
        match hold.filter(|hold| hold::is_over(hold, now)) {
            None => self.outcome.decision = Decision::Ignored(Ignored::NotDue),
            Some(hold) => {
                self.free(command, target.hold, target.hold, hold, Stage::Expired);
                self.outcome.transaction = Some(target.hold);
                self.outcome.decision = Decision::Expired;
            }
        }
    }

    /// The hold of a post or a void.
    fn ready(&mut self, command: &Command, target: Target) -> Result<Hold, Rejection> {
        let now = self.outcome.at_ms;
        let hold = self.known(command, target);
        let hold = hold.ok_or(Rejection::HoldNotFound)?;
        match hold::refusal(&hold, now) {
            Some(reason) => Err(reason),
            None => Ok(hold),
        }
    }

    /// Home frees all that is left, and tells every other partition that has something of it.
    fn free(
        &mut self,
        command: &Arc<Command>,
        id: TransactionId,
        held: TransactionId,
        hold: Hold,
        end: Stage,
    ) {
        let (here, count) = (self.here, self.oracle.count);
        self.purse = Self::purse_by(self.rules_at(held.offset()), command);
        let rests = hold::rests(&hold);
        self.give_up(&rests);
        self.keep(held, hold::less(hold, &rests, end));
        let mut told: Vec<PartitionId> = vec![here];
        let sources = rests.iter().map(|portion| portion.source);
        for balance in sources.chain(rests.iter().map(|portion| portion.destination)) {
            let place = partition_of(balance, count);
            if told.contains(&place) {
                continue;
            }
            told.push(place);
            let ours = rests.iter().filter(|portion| {
                partition_of(portion.source, count) == place
                    || partition_of(portion.destination, count) == place
            });
            let (transaction, portions) = (id, ours.copied().collect());
            let command = command.clone();
            let step = Step::Release {
                transaction,
                command,
                portions,
            };
            self.send((place, balance), step);
        }
    }

    /// Home has posted what sources here have to pay.
    pub(super) fn take(&mut self, command: &Arc<Command>, id: TransactionId, portions: &[Portion]) {
        self.collect(command, id, portions);
        self.note(command, id, portions);
    }

    /// Sources elsewhere have paid destinations here.
    pub(super) fn give(&mut self, from: PartitionId, carried: &[Carried], portions: &[Portion]) {
        let here = self.here;
        let mut page = Page::of(&mut self.oracle.balances, self.outcome.offset, &self.purse);
        for money in carried {
            let came = page.transit(here, (from, here), Direction::Debit, *money);
            came.expect("the mirror has room for what it shows");
        }
        receive(&mut page, portions);
        self.outcome.effects.entries = page.entries;
    }

    /// Nothing will come of these portions any more.
    pub(super) fn give_up(&mut self, portions: &[Portion]) {
        let (here, count) = (self.here, self.oracle.count);
        let mut page = Page::of(&mut self.oracle.balances, self.outcome.offset, &self.purse);
        hold::release(&mut page, here, count, portions);
        self.outcome.effects.entries = page.entries;
    }

    /// Counts portions of a hold that is at home elsewhere, and remembers who asked for it.
    pub(super) fn note(&mut self, command: &Command, id: TransactionId, portions: &[Portion]) {
        let (target, end, decision) = match &command.body {
            Body::Post(post) => (post.target, Stage::Spent, Decision::Posted),
            Body::Void(target) => (*target, Stage::Voided, Decision::Voided),
            Body::Expire(target) => (*target, Stage::Expired, Decision::Expired),
            Body::Open(_)
            | Body::Configure(_)
            | Body::ClosePeriod(_)
            | Body::Transfer(_)
            | Body::Hold(_)
            | Body::Reverse(_) => unreachable!("nothing else ends a hold"),
        };
        if target.hold.home() != self.here {
            let hold = self.kept(target.hold);
            self.keep(target.hold, hold::less(hold, portions, end));
        }
        if decision == Decision::Expired {
            self.outcome.decision = decision;
        } else {
            self.conclude(command, id, decision, decision);
        }
    }
}

/// Sources in `here` pay; destinations here are paid, money for those elsewhere leaves.
fn pay(
    page: &mut Page<'_>,
    (here, count): (PartitionId, PartitionId),
    command: &Arc<Command>,
    transaction: TransactionId,
    portions: &[Portion],
) -> Vec<(Stop, Step)> {
    for portion in portions {
        page.change(portion.source, Direction::Post, portion.amount.minor());
    }
    let mut legs = Vec::new();
    for (stop, portions) in way::by_stop(portions, |portion| portion.destination, count) {
        if stop.0 == here {
            receive(page, &portions);
            continue;
        }
        let amounts = portions.iter();
        let carried = way::total(amounts.map(|portion| (portion.asset, portion.amount.minor())));
        for money in &carried {
            let went = page.transit(here, (here, stop.0), Direction::Settle, *money);
            went.expect("the way was reserved");
        }
        let command = command.clone();
        let step = Step::Give {
            transaction,
            command,
            carried,
            portions,
        };
        legs.push((stop, step));
    }
    legs
}

fn receive(page: &mut Page<'_>, portions: &[Portion]) {
    for portion in portions {
        page.change(
            portion.destination,
            Direction::Settle,
            portion.amount.minor(),
        );
    }
}
