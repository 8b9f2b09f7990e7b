//! What a partition keeps of a hold: made at every stop, ended by home or by a refusal.

use super::page::Page;
use super::turn::Turn;
use super::visit::Visit;
use super::way::partition_of;
use crate::ledger::command::Body;
use crate::ledger::{
    Amount, Asset, Carried, Command, Decision, Direction, Hold, Part, PartitionId, Portion,
    Rejection, Stage, Target, TransactionId,
};

impl Turn<'_> {
    /// After a stop has let a transaction pass: if it is a hold, what stays here of it. Home keeps
    /// all of it, and waits for the last stop's word.
    pub(super) fn reserve(&mut self, visit: &Visit<'_>) {
        let Body::Hold(terms) = &visit.command.body else {
            return;
        };
        let (home, only) = (visit.index == 0, visit.stops.len() == 1);
        let count = self.oracle.count;
        let touches = |part: &Part| {
            let ours = |balance| partition_of(balance, count) == self.here;
            home || ours(part.source) || ours(part.destination)
        };
        let all = (0..).zip(&terms.postings).map(|(index, posting)| Part {
            index,
            source: posting.source.id,
            destination: posting.destination.id,
            asset: posting.asset,
            amount: posting.amount.minor(),
            rest: posting.amount.minor(),
            posted: 0,
            reversed: 0,
        });
        let seconds = terms.expires_in.filter(|_| home).map(i64::from);
        let hold = Hold {
            ledger: visit.command.ledger.clone(),
            reference: visit.command.reference.clone(),
            stage: if home && !only {
                Stage::Pending
            } else {
                Stage::Open
            },
            parts: all.filter(touches).collect(),
            expires_at_ms: seconds.map(|seconds| self.outcome.at_ms + 1000 * seconds),
            reversals: 0,
            version: 0,
            offset: 0,
            at_ms: 0,
        };
        self.keep(visit.transaction, hold);
    }

    /// The last stop has let it pass: from now on home may post it.
    pub(super) fn confirm(&mut self, id: TransactionId) -> Decision {
        let mut hold = self.kept(id);
        hold.stage = Stage::Open;
        self.keep(id, hold);
        Decision::Held
    }

    /// A later stop refused it: what is reserved here is free again, and the stop before is told.
    pub(super) fn unreserve(&mut self, visit: &Visit<'_>, reason: Rejection) {
        let hold = self.kept(visit.transaction);
        let rests = rests(&hold);
        self.give_up(&rests);
        self.keep(visit.transaction, less(hold, &rests, Stage::Refused));
        for (stop, step) in visit.back(Vec::new(), reason) {
            self.send(stop, step);
        }
    }

    /// What is kept here of a hold, as it must be where home or the last stop speaks of it.
    pub(super) fn kept(&self, id: TransactionId) -> Hold {
        let hold = self.oracle.holds.get(&(self.here, id));
        hold.expect("nobody speaks of a hold that is not here")
            .clone()
    }

    pub(super) fn keep(&mut self, id: TransactionId, mut hold: Hold) {
        hold.version += 1;
        hold.offset = self.outcome.offset;
        hold.at_ms = self.outcome.at_ms;
        self.oracle.holds.insert((self.here, id), hold.clone());
        self.outcome.effects.hold = Some(Box::new((id, hold)));
    }

    /// The hold that a command names, if this is its home and its ledger is the same.
    pub(super) fn known(&mut self, command: &Command, target: Target) -> Option<Hold> {
        let home = target.hold.home() == self.here;
        let hold = self.within_horizon(target.hold).filter(|_| home);
        hold.filter(|hold| hold.ledger == command.ledger)
    }

    /// What is kept here of a hold, or of what was reversed, if it is open or has ended within the
    /// horizon.
    pub(super) fn within_horizon(&mut self, id: TransactionId) -> Option<Hold> {
        let horizon = i128::from(self.setting().horizon_seconds) * 1000;
        let kept = self.oracle.holds.get(&(self.here, id))?;
        let age = i128::from(self.outcome.at_ms) - i128::from(kept.at_ms);
        let open = kept.stage == Stage::Pending || kept.stage == Stage::Open;
        (open || age <= horizon).then(|| kept.clone())
    }
}

/// Whether an open hold's time is over.
pub(super) fn is_over(hold: &Hold, now_ms: i64) -> bool {
    hold.stage == Stage::Open && hold.expires_at_ms.is_some_and(|end| now_ms >= end)
}

/// Why nothing of it can be posted or voided any more, or not yet.
pub(super) fn refusal(hold: &Hold, now_ms: i64) -> Option<Rejection> {
    match hold.stage {
        Stage::Open if is_over(hold, now_ms) => Some(Rejection::HoldExpired),
        Stage::Open => None,
        Stage::Expired => Some(Rejection::HoldExpired),
        Stage::Pending => Some(Rejection::HoldPending),
        Stage::Spent => Some(Rejection::HoldSpent),
        Stage::Voided => Some(Rejection::HoldVoided),
        Stage::Refused | Stage::Moved => Some(Rejection::HoldNotFound),
    }
}

/// All that is left.
pub(super) fn rests(hold: &Hold) -> Vec<Portion> {
    let parts = hold.parts.iter();
    parts.filter_map(|part| portion(part, part.rest)).collect()
}

/// An amount of what is `left`, posting after posting; `beyond` if that is less.
pub(super) fn some(
    hold: &Hold,
    (amount, asset): (i128, Asset),
    left: fn(&Part) -> i128,
    beyond: Rejection,
) -> Result<Vec<Portion>, Rejection> {
    let held_in = hold.parts[0].asset;
    let all: i128 = hold.parts.iter().map(left).sum();
    let objections = [
        (
            hold.parts.iter().any(|part| part.asset != held_in),
            Rejection::AmountAmbiguous,
        ),
        (held_in != asset, Rejection::AssetMismatch),
        (amount > all, beyond),
    ];
    if let Some((_, rejection)) = objections.into_iter().find(|(holds, _)| *holds) {
        return Err(rejection);
    }
    let (mut portions, mut wanted) = (Vec::new(), amount);
    for part in &hold.parts {
        let taken = wanted.min(left(part));
        wanted -= taken;
        portions.extend(portion(part, taken));
    }
    Ok(portions)
}

pub(super) fn portion(part: &Part, amount: i128) -> Option<Portion> {
    Some(Portion {
        index: part.index,
        source: part.source,
        destination: part.destination,
        asset: part.asset,
        amount: Amount::new(amount).ok()?,
    })
}

/// The hold without some of its rest; without any rest it has come to that `end`.
pub(super) fn less(mut hold: Hold, portions: &[Portion], end: Stage) -> Hold {
    for portion in portions {
        let mut parts = hold.parts.iter_mut();
        let part = parts.find(|part| part.index == portion.index);
        let part = part.expect("a portion is of one of its postings");
        part.rest -= portion.amount.minor();
        assert!(part.rest >= 0, "more leaves a hold than it has");
        if end == Stage::Spent {
            part.posted += portion.amount.minor();
        }
    }
    if hold.parts.iter().all(|part| part.rest == 0) {
        hold.stage = end;
    }
    hold
}

/// Frees what partition `here` has reserved for portions: debits, credits, and ways elsewhere.
pub(super) fn release(
    page: &mut Page<'_>,
    here: PartitionId,
    count: PartitionId,
    portions: &[Portion],
) {
    for portion in portions {
        let (asset, amount) = (portion.asset, portion.amount.minor());
        let to = partition_of(portion.destination, count);
        let leaves = partition_of(portion.source, count) == here;
        if leaves {
            page.change(portion.source, Direction::Void, amount);
        }
        if to == here {
            page.change(portion.destination, Direction::Release, amount);
        } else if leaves {
            let money = Carried { asset, amount };
            let way = page.transit(here, (here, to), Direction::Release, money);
            way.expect("the way was reserved");
        }
    }
}
