//! What goes back of a transaction: never more than it has moved.

use std::sync::Arc;

use super::hold::{self, portion};
use super::turn::Turn;
use super::visit::{Visit, holds, postings};
use super::way::{self, partition_of};
use crate::ledger::command::{Body, Party, Reverse};
use crate::ledger::{
    Command, Decision, Hold, Part, Portion, Posting, Rejection, Stage, TransactionId,
};

impl Turn<'_> {
    pub(super) fn reverse(&mut self, command: &Arc<Command>, id: TransactionId, asked: &Reverse) {
        let found = self.original(command, asked);
        let chosen = found.and_then(|kept| Ok((what(&kept, asked)?, kept)));
        let (portions, mut kept) = match chosen {
            Ok(chosen) => chosen,
            Err(reason) => {
                let refused = Decision::Rejected(reason);
                return self.conclude(command, id, refused, refused);
            }
        };
        self.pass(&self.visit_of(command, id, &[], &portions));
        if let Decision::Rejected(_) = self.outcome.decision {
            return;
        }
        for portion in &portions {
            kept.parts[usize::from(portion.index)].reversed += portion.amount.minor();
        }
        kept.reversals += 1;
        self.keep(asked.transaction, kept);
    }

    /// A later stop has refused to give it back: it can be asked for again.
    pub(super) fn not_reversed(&mut self, asked: &Reverse, portions: &[Portion]) {
        if let Some(mut kept) = self.within_horizon(asked.transaction) {
            for portion in portions {
                kept.parts[usize::from(portion.index)].reversed -= portion.amount.minor();
            }
            self.keep(asked.transaction, kept);
        }
    }

    /// At the stop that has decided on the original, if that is not its home: whether it was done.
    pub(super) fn undone(&mut self, visit: &Visit<'_>) -> Option<Rejection> {
        let Body::Reverse(asked) = &visit.command.body else {
            return None;
        };
        let original = &*asked.original;
        let way = way::stops(postings(original), self.oracle.count);
        let last = way.last().map(|(partition, _)| *partition);
        if holds(original) || way.len() == 1 || last != Some(self.here) {
            return None;
        }
        match self.recall(original, Some(asked.transaction)) {
            Some(known) if known.decision == Decision::Applied => None,
            Some(known) if matches!(known.decision, Decision::Rejected(_)) => {
                Some(Rejection::NotReversible)
            }
            Some(_) | None => Some(Rejection::OriginalUndecided),
        }
    }

    /// The original, if it is at home here and is what the asker says.
    fn original(&mut self, command: &Command, asked: &Reverse) -> Result<Hold, Rejection> {
        let (id, original) = (asked.transaction, &*asked.original);
        let elsewhere = id.home() != self.here || original.ledger != command.ledger;
        if elsewhere {
            return Err(Rejection::OriginalNotFound);
        }
        let kept = self.within_horizon(id);
        if kept.as_ref().is_some_and(|kept| !is_same(kept, original)) {
            return Err(Rejection::OriginalMismatch);
        }
        if let Some(hold) = kept.as_ref().filter(|_| holds(original)) {
            return Ok(hold.clone());
        }
        let generation = self.setting().generation;
        let Some(known) = self.recall(original, None) else {
            return Err(Rejection::OriginalNotFound);
        };
        let same = TransactionId::new(self.here, known.offset, generation) == id;
        if !same || known.content != self.contents.original {
            return Err(Rejection::OriginalMismatch);
        }
        let horizon = i64::try_from(self.setting().horizon_seconds).unwrap_or(i64::MAX / 2000);
        if (known.at_ms.div_euclid(1000) + horizon) * 1000 < self.outcome.at_ms {
            return Err(Rejection::OriginalNotFound);
        }
        let mut gets = postings(original).iter().map(|it| it.destination.id);
        let waits = gets.any(|id| partition_of(id, self.oracle.count) == self.here);
        if !holds(original) && known.decision == Decision::Forwarded && waits {
            return Err(Rejection::OriginalUndecided);
        }
        if matches!(known.decision, Decision::Rejected(_)) {
            return Err(Rejection::NotReversible);
        }
        match holds(original) {
            false => Ok(kept.unwrap_or_else(|| moved(original))),
            true => Err(Rejection::OriginalNotFound),
        }
    }
}

/// Which part of which posting goes back.
fn what(kept: &Hold, asked: &Reverse) -> Result<Vec<Portion>, Rejection> {
    let left = |part: &Part| part.posted - part.reversed;
    if let Some((amount, asset)) = asked.amount {
        let beyond = Rejection::ReverseExceedsOriginal;
        return hold::some(kept, (amount.minor(), asset), left, beyond);
    }
    let parts = kept.parts.iter();
    let all: Vec<Portion> = parts.filter_map(|part| portion(part, left(part))).collect();
    match all.is_empty() {
        true => Err(Rejection::NothingToReverse),
        false => Ok(all),
    }
}

fn is_same(kept: &Hold, original: &Command) -> bool {
    let said = postings(original).iter().map(|posting| {
        let sides = (posting.source.id, posting.destination.id);
        (sides, posting.asset, posting.amount.minor())
    });
    let parts = kept.parts.iter();
    let known = parts.map(|part| ((part.source, part.destination), part.asset, part.amount));
    let same_kind = holds(original) != (kept.stage == Stage::Moved);
    same_kind
        && kept.ledger == original.ledger
        && kept.reference == original.reference
        && known.eq(said)
}

/// A transfer that was done, as something to take back from.
fn moved(original: &Command) -> Hold {
    let part = |(index, posting): (u16, &Posting)| Part {
        index,
        source: posting.source.id,
        destination: posting.destination.id,
        asset: posting.asset,
        amount: posting.amount.minor(),
        rest: 0,
        posted: posting.amount.minor(),
        reversed: 0,
    };
    Hold {
        ledger: original.ledger.clone(),
        reference: original.reference.clone(),
        stage: Stage::Moved,
        parts: (0..).zip(postings(original)).map(part).collect(),
        expires_at_ms: None,
        reversals: 0,
        version: 0,
        offset: 0,
        at_ms: 0,
    }
}

/// What portions of an original move, seen from the way back.
pub(super) fn back(portions: &[Portion]) -> Vec<Posting> {
    let party = |id| Party { id, striped: false };
    let turned = portions.iter().map(|portion| Posting {
        source: party(portion.destination),
        destination: party(portion.source),
        amount: portion.amount,
        asset: portion.asset,
    });
    turned.collect()
}

/// The stops of a reversal: home of the original, then as its postings turned round would have it.
pub(super) fn stops(asked: &Reverse, count: u16) -> Vec<way::Stop> {
    let original = postings(&asked.original);
    let home = original[0].source.id;
    let destinations = original.iter().map(|posting| posting.destination.id);
    let sources = original.iter().map(|posting| posting.source.id);
    let mut stops = vec![(partition_of(home, count), home)];
    for id in destinations.chain(sources) {
        let partition = partition_of(id, count);
        if stops.iter().all(|(known, _)| *known != partition) {
            stops.push((partition, id));
        }
    }
    stops
}
