//! One stop of a transaction: what it takes there, what it gives, and what goes on.

use std::sync::Arc;

use super::page::{Page, Refusal};
use super::way::{self, Stop, partition_of};
use crate::ledger::command::Body;
use crate::ledger::{
    Carried, Command, Direction, PartitionId, Portion, Posting, Rejection, Step, TransactionId,
};

/// A transaction at one of its stops.
pub(super) struct Visit<'a> {
    pub(super) transaction: TransactionId,
    pub(super) command: &'a Arc<Command>,
    pub(super) stops: Vec<Stop>,
    pub(super) index: usize,
    pub(super) carried: &'a [Carried],
    /// Of a reversal: what of the original goes back.
    pub(super) portions: &'a [Portion],
    /// What is to be moved.
    pub(super) moves: Vec<Posting>,
}

impl Visit<'_> {
    pub(super) fn sources(&self, here: PartitionId, count: PartitionId) -> Vec<&Posting> {
        let postings = self.moves.iter();
        postings
            .filter(|posting| partition_of(posting.source.id, count) == here)
            .collect()
    }

    pub(super) fn destinations(&self, here: PartitionId, count: PartitionId) -> Vec<&Posting> {
        let postings = self.moves.iter();
        postings
            .filter(|posting| partition_of(posting.destination.id, count) == here)
            .collect()
    }

    /// What the first `stops` stops have taken from their balances.
    pub(super) fn taken(&self, stops: usize, count: PartitionId) -> Vec<Carried> {
        let stops = self.stops[..stops].iter();
        let taken = stops.flat_map(|(partition, _)| self.sources(*partition, count));
        way::total(taken.map(|posting| (posting.asset, posting.amount.minor())))
    }

    pub(super) fn taken_before(&self, count: PartitionId) -> Vec<Carried> {
        self.taken(self.index, count)
    }

    /// The leg that gives `carried` back to the stop before, if there is one.
    pub(super) fn back(&self, carried: Vec<Carried>, reason: Rejection) -> Vec<(Stop, Step)> {
        let before = self.stops[..self.index].last();
        let (transaction, command) = (self.transaction, self.command.clone());
        let step = Step::Unwind {
            transaction,
            command,
            carried,
            reason,
            portions: self.portions.to_vec(),
        };
        before.map(|before| (*before, step)).into_iter().collect()
    }
}

pub(super) fn pass(
    page: &mut Page<'_>,
    here: PartitionId,
    count: PartitionId,
    visit: &Visit<'_>,
) -> Result<Vec<(Stop, Step)>, Refusal> {
    let Visit {
        transaction,
        command,
        stops,
        index,
        carried,
        portions,
        ..
    } = visit;
    if let Some((before, _)) = stops[..*index].last() {
        for money in *carried {
            page.transit(here, (*before, here), Direction::Debit, *money)?;
        }
    }
    let after = stops.get(index + 1);
    if let Body::Hold(_) = &command.body {
        return hold(page, here, count, visit);
    }
    let credit = match after {
        Some(_) => Direction::Reserve,
        None => Direction::Credit,
    };
    untouched(page, (here, count), visit)?;
    let forced = matches!(&command.body, Body::Reverse(asked) if asked.force);
    let debit = match forced {
        true => Direction::Force,
        false => Direction::Debit,
    };
    both_sides(page, (here, count), visit, (debit, credit))?;
    let (transaction, command) = (*transaction, (*command).clone());
    let mut legs = Vec::new();
    if let Some(after) = after {
        let carried = visit.taken(index + 1, count);
        for money in &carried {
            page.transit(here, (here, after.0), Direction::Credit, *money)?;
        }
        legs.push((
            *after,
            Step::Visit {
                transaction,
                command,
                carried,
                portions: portions.to_vec(),
            },
        ));
        return Ok(legs);
    }
    for stop in &stops[..*index] {
        let reserved = visit.destinations(stop.0, count).into_iter();
        let carried = way::total(reserved.map(|to| (to.asset, to.amount.minor())));
        for money in &carried {
            page.transit(here, (here, stop.0), Direction::Credit, *money)?;
        }
        if !carried.is_empty() {
            let command = command.clone();
            let theirs = |it: &&Portion| partition_of(it.source, count) == stop.0;
            let portions = portions.iter().filter(theirs).copied().collect();
            legs.push((
                *stop,
                Step::Settle {
                    transaction,
                    command,
                    carried,
                    portions,
                },
            ));
        }
    }
    Ok(legs)
}

/// What a reversal expects of balances that it moves nothing at.
fn untouched(
    page: &Page<'_>,
    (here, count): (PartitionId, PartitionId),
    visit: &Visit<'_>,
) -> Result<(), Refusal> {
    let Body::Reverse(_) = &visit.command.body else {
        return Ok(());
    };
    let moved = |id| {
        let mut moves = visit.moves.iter();
        moves.any(|it| it.source.id == id || it.destination.id == id)
    };
    for (id, version) in &visit.command.expect {
        if partition_of(*id, count) == here && !moved(*id) {
            page.expect(*id, *version)?;
        }
    }
    Ok(())
}

/// A stop of a hold: debits, credits and the ways between partitions are reserved. No money goes
/// on; the last stop tells home.
fn hold(
    page: &mut Page<'_>,
    here: PartitionId,
    count: PartitionId,
    visit: &Visit<'_>,
) -> Result<Vec<(Stop, Step)>, Refusal> {
    let sides = (Direction::Hold, Direction::Reserve);
    both_sides(page, (here, count), visit, sides)?;
    for (to, _) in visit.stops.iter().filter(|(to, _)| *to != here) {
        let sources = visit.sources(here, count).into_iter();
        let leaving = sources.filter(|posting| partition_of(posting.destination.id, count) == *to);
        for money in way::total(leaving.map(|to| (to.asset, to.amount.minor()))) {
            page.transit(here, (here, *to), Direction::Reserve, money)?;
        }
    }
    let (transaction, command, carried) = (visit.transaction, visit.command.clone(), Vec::new());
    let leg = match visit.stops.get(visit.index + 1) {
        Some(after) => Some((
            *after,
            Step::Visit {
                transaction,
                command,
                carried,
                portions: Vec::new(),
            },
        )),
        None if visit.index == 0 => None,
        None => Some((
            visit.stops[0],
            Step::Settle {
                transaction,
                command,
                carried,
                portions: Vec::new(),
            },
        )),
    };
    Ok(leg.into_iter().collect())
}

/// Every source that is here, then every destination.
fn both_sides(
    page: &mut Page<'_>,
    (here, count): (PartitionId, PartitionId),
    visit: &Visit<'_>,
    (debit, credit): (Direction, Direction),
) -> Result<(), Refusal> {
    let sources = visit.sources(here, count).into_iter();
    let destinations = visit.destinations(here, count).into_iter();
    let sources = sources.map(|posting| (posting, posting.source, debit));
    let destinations = destinations.map(|posting| (posting, posting.destination, credit));
    for (posting, party, direction) in sources.chain(destinations) {
        let amount = posting.amount.minor();
        page.post(visit.command, party, direction, posting.asset, amount)?;
    }
    Ok(())
}

pub(super) fn postings(command: &Command) -> &[Posting] {
    match &command.body {
        Body::Transfer(postings) => postings,
        Body::Hold(hold) => &hold.postings,
        Body::Open(_)
        | Body::Configure(_)
        | Body::ClosePeriod(_)
        | Body::Post(_)
        | Body::Void(_)
        | Body::Expire(_)
        | Body::Reverse(_) => &[],
    }
}

pub(super) fn holds(command: &Command) -> bool {
    matches!(command.body, Body::Hold(_))
}
