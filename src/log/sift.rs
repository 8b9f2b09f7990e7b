//! What records of the log say of a partition as of one command c, in whatever order they stand.
//!
//! Every record is true, whoever wrote it, for a decision is a function of the log. What must be
//! found out is whether any is missing: outcomes name the command before theirs, so that a gap
//! between them shows, and of what they do not tell a marker says what the versions sum up to.
//! Nothing of after c counts, so no version is greater than the true one, and equal sums are equal
//! versions. Where that is not enough the sift says so, and gives nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::hash::Hash;

use foldhash::fast::FixedState;

use super::reader::Found;
use crate::ledger::{
    Balance, BalanceId, Entry, Hold, Outcome, PartitionId, Seen, SeenKey, State, Terms,
    TransactionId, chain,
};
use crate::wire::outcome::{OutcomeBody, hash, shared_ledger};
use crate::wire::record::{CLAIM_KEY, GENESIS_KEY};
use crate::wire::{BalanceBody, Decoder, HoldBody, Invalid, MarkerBody};

/// How far the clocks of brokers may be apart, in milliseconds: log time can go back by that much
/// from one record to the next.
const CLOCKS_APART_MS: i64 = 10_000;

/// Why the log does not tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untold(pub String);

/// A partition as of its marker's command c.
#[derive(Debug)]
pub struct Told {
    pub marker: MarkerBody,
    /// The hash of c's outcome.
    pub hash: [u8; 32],
    pub balances: Vec<(BalanceId, Balance)>,
    /// All holds there ever were.
    pub holds: Vec<(TransactionId, Hold)>,
    /// What the decisions that are left say of references, in their order.
    pub seen: Vec<(SeenKey, Seen)>,
    /// The first decision that is left, and its log time.
    first: (u64, i64),
}

/// What is known as of the marker's command c.
#[derive(Debug)]
pub struct Sift {
    partition: PartitionId,
    marker: MarkerBody,
    decoder: Decoder,
    balances: HashMap<BalanceId, Balance, FixedState>,
    holds: HashMap<TransactionId, Hold, FixedState>,
    changed: HashMap<BalanceId, Changed, FixedState>,
    seen: Vec<(u64, SeenKey, Seen)>,
    decided: chain::Stretches,
    /// Log time of the first decision that is left.
    oldest: Option<(u64, i64)>,
    /// The hash of c's outcome.
    hash: Option<[u8; 32]>,
    failure: Option<Untold>,
}

/// What entries tell of a balance.
#[derive(Debug)]
struct Changed {
    /// The version that the first of them made.
    first: u64,
    last: Entry,
    /// The command of the last one.
    offset: u64,
    /// What the last one of those that set terms set, and its version.
    terms: Option<(u64, Box<Terms>)>,
}

impl Sift {
    pub fn new(marker: MarkerBody, partition: PartitionId) -> Self {
        Self {
            partition,
            marker,
            decoder: Decoder::new(),
            balances: HashMap::default(),
            holds: HashMap::default(),
            changed: HashMap::default(),
            seen: Vec::new(),
            decided: chain::Stretches::default(),
            oldest: None,
            hash: None,
            failure: None,
        }
    }

    /// Takes one record of `snapshots`; whether to go on.
    pub fn snapshot(&mut self, found: Found<'_>) -> bool {
        let taken = match found.key {
            key if key.starts_with(b"balance:") => self.balance(found.value),
            key if key.starts_with(b"hold:") => self.hold(found.value),
            _ => Ok(()),
        };
        self.goes_on("snapshot", found.offset, taken)
    }

    /// Takes one record of `outcomes`; whether to go on.
    pub fn outcome(&mut self, found: Found<'_>) -> bool {
        if found.key == CLAIM_KEY.as_bytes() || found.key == GENESIS_KEY.as_bytes() {
            return true;
        }
        let taken = self.decision(found.value);
        self.goes_on("outcome", found.offset, taken)
    }

    fn goes_on(&mut self, what: &str, at: u64, taken: Result<(), Invalid>) -> bool {
        match taken {
            Ok(()) => true,
            Err(error) => {
                self.failure = Some(untold(format!("{what} {at}: {error}")));
                false
            }
        }
    }

    fn balance(&mut self, value: &[u8]) -> Result<(), Invalid> {
        let body = BalanceBody::parse(value)?;
        if body.partition == self.partition && body.command_offset <= self.marker.command_offset {
            let ledger = shared_ledger(&mut self.decoder, &body.ledger);
            let (id, balance) = body.to_ledger(ledger)?;
            newest(&mut self.balances, id, balance, |balance| {
                balance.state.version
            });
        }
        Ok(())
    }

    fn hold(&mut self, value: &[u8]) -> Result<(), Invalid> {
        let body = HoldBody::parse(value)?;
        let ours = body.partition == Some(self.partition);
        if ours && body.command_offset <= self.marker.command_offset {
            let (id, hold) = body.to_ledger(&mut self.decoder)?;
            newest(&mut self.holds, id, hold, |hold| hold.version);
        }
        Ok(())
    }

    fn decision(&mut self, value: &[u8]) -> Result<(), Invalid> {
        let body = OutcomeBody::parse(value)?;
        let offset = body.offset;
        if offset > self.marker.command_offset || !self.decided.add(body.follows, offset) {
            return Ok(());
        }
        if offset == self.marker.command_offset {
            self.hash = Some(hash(value).0);
        }
        let outcome = body.to_ledger(&mut self.decoder)?;
        if self.oldest.is_none_or(|(oldest, _)| offset < oldest) {
            self.oldest = Some((offset, outcome.at_ms));
        }
        if let Some(mark) = outcome.effects.mark {
            let seen = mark.seen(outcome.at_ms);
            self.seen.push((offset, mark.key, seen));
        }
        self.tell(outcome);
        Ok(())
    }

    fn tell(&mut self, outcome: Outcome) {
        let offset = outcome.offset;
        if let Some((id, hold)) = outcome.effects.hold.map(|hold| *hold) {
            newest(&mut self.holds, id, hold, |hold| hold.version);
        }
        for mut entry in outcome.effects.entries {
            let version = entry.after.version;
            let terms = entry.terms.take().map(|terms| (version, terms));
            match self.changed.entry(entry.balance) {
                Vacant(new) => {
                    new.insert(Changed {
                        first: version,
                        last: entry,
                        offset,
                        terms,
                    });
                }
                Occupied(known) => known.into_mut().add(entry, offset, terms),
            }
        }
    }

    /// The state as of c, if all of it is known.
    ///
    /// # Errors
    /// If anything is missing or cannot be read.
    pub fn told(mut self) -> Result<Told, Untold> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let first = self.reaches()?;
        for (id, changed) in std::mem::take(&mut self.changed) {
            let known = changed.on(self.balances.remove(&id));
            let known = known.ok_or_else(|| untold(format!("the terms of balance {id}")))?;
            self.balances.insert(id, known);
        }
        let versions = self.balances.values().map(|balance| balance.state.version);
        if sum(versions) != u128::from(self.marker.version_sum) {
            return Err(untold("balances that no outcome left has changed"));
        }
        let changes = self.marker.holds.changes.map(u128::from);
        if Some(sum(self.holds.values().map(|hold| hold.version))) != changes {
            return Err(untold("holds that no outcome left has changed"));
        }
        self.seen.sort_unstable_by_key(|(offset, ..)| *offset);
        let seen = self.seen.into_iter();
        Ok(Told {
            hash: self
                .hash
                .ok_or_else(|| untold("the marker's own outcome is gone"))?,
            balances: self.balances.into_iter().collect(),
            holds: self.holds.into_iter().collect(),
            seen: seen.map(|(_, key, seen)| (key, seen)).collect(),
            first,
            marker: self.marker,
        })
    }

    /// The first decision that is left, where outcomes go on from it without a gap up to c.
    fn reaches(&self) -> Result<(u64, i64), Untold> {
        let (Some((first, last)), Some((_, at_ms))) = (self.decided.only(), self.oldest) else {
            return Err(untold("outcomes have gaps, or none is left"));
        };
        match last == self.marker.command_offset {
            true => Ok((first, at_ms)),
            false => Err(untold("the marker's own outcome is gone")),
        }
    }
}

impl Told {
    /// Whether all references are told that count within the dedupe horizon: they stand in outcomes
    /// and nowhere else.
    ///
    /// # Errors
    /// If outcomes are trimmed to within the horizon.
    pub fn has_all_references(&self) -> Result<(), Untold> {
        let (first, at_ms) = self.first;
        let from_ms = self.marker.horizon().timestamp_millis();
        match first == 0 || at_ms.saturating_add(CLOCKS_APART_MS) <= from_ms {
            true => Ok(()),
            false => Err(untold("outcomes do not reach back over the dedupe horizon")),
        }
    }
}

impl Changed {
    fn add(&mut self, entry: Entry, offset: u64, terms: Option<(u64, Box<Terms>)>) {
        self.first = self.first.min(entry.after.version);
        let version = |terms: &Option<(u64, Box<Terms>)>| terms.as_ref().map(|terms| terms.0);
        if version(&terms) > version(&self.terms) {
            self.terms = terms;
        }
        if entry.after.version > self.last.after.version {
            (self.last, self.offset) = (entry, offset);
        }
    }

    /// The balance after the last entry, given its newest snapshot. Entries that set no terms need
    /// one that they join on to: an older one may hide a change of terms. A snapshot that says more
    /// than the last entry is of no command of c or before, whatever it says.
    fn on(self, snapshot: Option<Balance>) -> Option<Balance> {
        let State { version, .. } = self.last.after;
        if snapshot
            .as_ref()
            .is_some_and(|it| it.state.version > version)
        {
            return None;
        }
        let known = match (self.terms, snapshot) {
            (Some((_, terms)), _) => terms.balance(self.last.asset),
            (None, Some(known)) if chain::joins(Some(known.state.version), self.first) => known,
            (None, _) => return None,
        };
        Some(Balance {
            state: self.last.after,
            offset: self.offset,
            ..known
        })
    }
}

fn newest<K: Eq + Hash, V>(
    known: &mut HashMap<K, V, FixedState>,
    id: K,
    value: V,
    version: impl Fn(&V) -> u64,
) {
    match known.entry(id) {
        Vacant(new) => {
            new.insert(value);
        }
        Occupied(mut old) => {
            if version(&value) > version(old.get()) {
                old.insert(value);
            }
        }
    }
}

fn sum(versions: impl Iterator<Item = u64>) -> u128 {
    versions.map(u128::from).sum()
}

fn untold(what: impl Into<String>) -> Untold {
    Untold(what.into())
}

#[cfg(test)]
mod tests;
