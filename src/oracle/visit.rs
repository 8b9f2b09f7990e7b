//! One stop of a transaction: what it takes there, what it gives, and what goes on.

use std::sync::Arc;

use super::page::{Page, Refusal};
use super::way::{self, Stop, partition_of, unknown};
use crate::ledger::command::Body;
use crate::ledger::{
    Carried, Command, Direction, PartitionId, Posting, Rejection, Step, TransactionId,
};

/// A transaction at one of its stops.
pub(super) struct Visit<'a> {
    pub(super) transaction: TransactionId,
    pub(super) command: &'a Arc<Command>,
    pub(super) stops: Vec<Stop>,
    pub(super) index: usize,
    pub(super) carried: &'a [Carried],
}

impl Visit<'_> {
    pub(super) fn sources(&self, here: PartitionId, count: PartitionId) -> Vec<&Posting> {
        let postings = postings(self.command).iter();
        postings
            .filter(|posting| partition_of(posting.source.id, count) == here)
            .collect()
    }

    pub(super) fn destinations(&self, here: PartitionId, count: PartitionId) -> Vec<&Posting> {
        let postings = postings(self.command).iter();
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
            portions: Vec::new(),
            transaction,
            command,
            carried,
            reason,
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
    } = visit;
    if let Some((before, _)) = stops[..*index].last() {
        for money in *carried {
            page.transit(here, (*before, here), Direction::Debit, *money)?;
        }
    }
    for posting in visit.sources(here, count) {
        let amount = posting.amount.minor();
        page.post(
            command,
            posting.source,
            Direction::Debit,
            posting.asset,
            amount,
        )?;
    }
    let after = stops.get(index + 1);
    let credit = if after.is_some() {
        Direction::Reserve
    } else {
        Direction::Credit
    };
    for posting in visit.destinations(here, count) {
        let amount = posting.amount.minor();
        page.post(command, posting.destination, credit, posting.asset, amount)?;
    }
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
                portions: Vec::new(),
                transaction,
                command,
                carried,
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
            legs.push((
                *stop,
                Step::Settle {
                    portions: Vec::new(),
                    transaction,
                    command,
                    carried,
                },
            ));
        }
    }
    Ok(legs)
}

pub(super) fn postings(command: &Command) -> &[Posting] {
    match &command.body {
        Body::Transfer(postings) => postings,
        Body::Open(_) | Body::Configure(_) | Body::ClosePeriod(_) => &[],
        Body::Hold(_) | Body::Post(_) | Body::Void(_) | Body::Expire(_) | Body::Reverse(_) => {
            unknown()
        }
    }
}
