//! Reversals: what a transaction has moved, moved back, all of it or in parts.
//!
//! The original's home decides, for it alone counts how much of every posting was reversed, as part
//! of what it keeps of a hold; a transfer is kept like a hold that was posted at once, from its
//! first reversal on. The count goes up as the reversal sets out and down again if a later stop
//! refuses it, so that no interleaving of reversals comes to more than the original (L8).
//!
//! Home does not know whether a walk was accepted that had only debits there. The stop that has
//! decided on the original knows, and every reversal passes it.

use std::sync::Arc;

use super::amount::Amount;
use super::asset::Asset;
use super::command::{Body, Command, Party, Posting, Reverse};
use super::decide::Turn;
use super::hold::{Hold, Part, Portion, Stage, portion};
use super::id::TransactionId;
use super::outcome::Decision;
use super::rejection::Rejection;
use super::route::partition_of;
use super::visit::Visit;
use super::walk::Walk;

impl Turn<'_> {
    /// Home decides what moves back, and sets out.
    pub(super) fn reverse(
        &mut self,
        command: &Arc<Command>,
        transaction: TransactionId,
        reverse: &Reverse,
    ) {
        let chosen = self.known(command, reverse).and_then(|original| {
            let portions = original.reversible(reverse.amount)?;
            Ok((original, portions))
        });
        match chosen {
            Err(rejection) => {
                let refused = Decision::Rejected(rejection);
                self.conclude(command, transaction, refused, refused);
            }
            Ok((original, portions)) => {
                self.set_out(transaction, command, &portions);
                if matches!(
                    self.outcome.decision,
                    Decision::Applied | Decision::Forwarded
                ) {
                    self.keep(reverse.transaction, original.less_reversible(&portions));
                }
            }
        }
    }

    /// A later stop refused the reversal: home may reverse it yet.
    pub(super) fn unreverse(&mut self, reverse: &Reverse, portions: &[Portion]) {
        let horizon = self.setting().horizon_seconds;
        let holds = &self.partition.holds;
        let kept = holds.find(reverse.transaction, self.outcome.at_ms, horizon);
        // Beyond the horizon nothing of it can be reversed anyway.
        if let Some(after) = kept.map(|kept| kept.more_reversible(portions)) {
            self.keep(reverse.transaction, after);
        }
    }

    /// Why nothing can be reversed, as the stop knows that decided on the original.
    pub(super) fn refuse_undone(&self, visit: &Visit<'_>) -> Option<Rejection> {
        let reverse = visit.command.reverse()?;
        let original = &*reverse.original;
        let stops = Walk::new(original.postings(), self.partition.count);
        let decided_here =
            stops.stops().last().map(|stop| stop.partition) == Some(self.partition.id);
        // What is posted of a hold is counted at home.
        if original.hold().is_some() || visit.index == 0 || !decided_here {
            return None;
        }
        let horizon = self.setting().horizon_seconds;
        let key = original.seen_key.at_stop(reverse.transaction);
        let seen = self.partition.seen.find(key, self.outcome.at_ms, horizon);
        match seen.map(|seen| seen.decision) {
            Some(Decision::Applied) => None,
            Some(Decision::Rejected(_)) => Some(Rejection::NotReversible),
            _ => Some(Rejection::OriginalUndecided),
        }
    }

    /// What home knows of the original.
    fn known(&self, command: &Command, reverse: &Reverse) -> Result<Hold, Rejection> {
        let (partition, original) = (self.partition, &*reverse.original);
        let (setting, at_ms) = (self.setting(), self.outcome.at_ms);
        let horizon = setting.horizon_seconds;
        if original.ledger != command.ledger || reverse.transaction.home() != partition.id {
            return Err(Rejection::OriginalNotFound);
        }
        let kept = partition.holds.find(reverse.transaction, at_ms, horizon);
        if kept.is_some_and(|kept| !kept.is_of(original)) {
            return Err(Rejection::OriginalMismatch);
        }
        if let Some(hold) = kept.filter(|kept| kept.stage != Stage::Moved) {
            return Ok(hold.clone());
        }
        let seen = partition.seen.find(original.seen_key, at_ms, horizon);
        let seen = seen.ok_or(Rejection::OriginalNotFound)?;
        let id = TransactionId::new(partition.id, seen.offset, setting.generation);
        if id != reverse.transaction || !seen.same_content(original.fingerprint) {
            return Err(Rejection::OriginalMismatch);
        }
        // To the millisecond, as what is kept of it is known: nobody finds the reference, and not
        // what was reversed before.
        let last_ms = i64::from(seen.at_seconds)
            .saturating_add(i64::try_from(horizon).unwrap_or(i64::MAX))
            .saturating_mul(1000);
        if last_ms < at_ms {
            return Err(Rejection::OriginalNotFound);
        }
        match (seen.decision, &original.body) {
            // The last stop's word comes by here, and then the reference is known anew.
            (Decision::Forwarded, Body::Transfer(postings)) if self.is_credited(postings) => {
                Err(Rejection::OriginalUndecided)
            }
            (Decision::Applied | Decision::Forwarded, Body::Transfer(postings)) => {
                let first = || Hold::of_transfer(original, postings);
                Ok(kept.cloned().unwrap_or_else(first))
            }
            (Decision::Rejected(_), _) => Err(Rejection::NotReversible),
            _ => Err(Rejection::OriginalNotFound),
        }
    }

    fn is_credited(&self, postings: &[Posting]) -> bool {
        let (here, count) = (self.partition.id, self.partition.count);
        let mut destinations = postings.iter().map(|posting| posting.destination.id);
        destinations.any(|id| partition_of(id, count) == here)
    }
}

impl Hold {
    /// A transfer, as a hold that was posted at once.
    fn of_transfer(command: &Command, postings: &[Posting]) -> Self {
        let part = |(posting, index): (&Posting, u16)| Part {
            index,
            source: posting.source.id,
            destination: posting.destination.id,
            asset: posting.asset,
            amount: posting.amount.minor(),
            rest: 0,
            posted: posting.amount.minor(),
            reversed: 0,
        };
        Self {
            ledger: command.ledger.clone(),
            reference: command.reference.clone(),
            stage: Stage::Moved,
            parts: postings.iter().zip(0..).map(part).collect(),
            expires_at_ms: None,
            reversals: 0,
            version: 0,
            offset: 0,
            at_ms: 0,
        }
    }

    /// Whether this is what became of `command`.
    fn is_of(&self, command: &Command) -> bool {
        let postings = command.postings();
        let same = |(part, posting): (&Part, &Posting)| {
            let sides =
                part.source == posting.source.id && part.destination == posting.destination.id;
            sides && part.asset == posting.asset && part.amount == posting.amount.minor()
        };
        let same_kind = (self.stage == Stage::Moved) == command.hold().is_none();
        same_kind
            && self.ledger == command.ledger
            && self.reference == command.reference
            && self.parts.len() == postings.len()
            && self.parts.iter().zip(postings).all(same)
    }

    /// What is posted and not reversed, all of it or an amount.
    fn reversible(&self, amount: Option<(Amount, Asset)>) -> Result<Vec<Portion>, Rejection> {
        let left = |part: &Part| part.posted.saturating_sub(part.reversed);
        if let Some(amount) = amount {
            return self.up_to(amount, left, Rejection::ReverseExceedsOriginal);
        }
        let portions: Vec<Portion> = self
            .parts
            .iter()
            .filter_map(|part| portion((part, left(part))))
            .collect();
        match portions.is_empty() {
            true => Err(Rejection::NothingToReverse),
            false => Ok(portions),
        }
    }

    /// After `portions` set out to move back.
    fn less_reversible(&self, portions: &[Portion]) -> Self {
        let mut after = self.with_reversed(portions, i128::checked_add);
        let reversals = after.reversals.checked_add(1);
        after.reversals = reversals.expect("reversals are counted");
        after
    }

    /// After `portions` did not move back.
    fn more_reversible(&self, portions: &[Portion]) -> Self {
        self.with_reversed(portions, i128::checked_sub)
    }

    fn with_reversed(&self, portions: &[Portion], change: fn(i128, i128) -> Option<i128>) -> Self {
        let mut after = self.clone();
        for portion in portions {
            let mut parts = after.parts.iter_mut();
            let part = parts.find(|part| part.index == portion.index);
            let part = part.expect("L8: a reversal is of postings that are kept here");
            let reversed = change(part.reversed, portion.amount.minor());
            part.reversed = reversed.expect("amounts of 28 digits fit");
        }
        after
    }
}

impl Portion {
    /// The way back.
    pub(super) fn back(&self) -> Posting {
        let party = |id| Party { id, striped: false };
        Posting {
            source: party(self.destination),
            destination: party(self.source),
            amount: self.amount,
            asset: self.asset,
        }
    }
}
