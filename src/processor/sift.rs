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

use super::Failure;
use crate::cold::base::{Base, horizon};
use crate::ledger::{
    Balance, BalanceId, Entry, Hold, Outcome, PartitionId, Seen, SeenKey, State, Terms,
    TransactionId, chain,
};
use crate::log::reader::Found;
use crate::wire::outcome::{OutcomeBody, hash, shared_ledger};
use crate::wire::record::{CLAIM_KEY, GENESIS_KEY};
use crate::wire::{BalanceBody, Decoder, HoldBody, Invalid, MarkerBody};

/// How far the clocks of brokers may be apart, in milliseconds: log time can go back by that much
/// from one record to the next.
const CLOCKS_APART_MS: i64 = 10_000;

/// What is known as of the marker's command c.
pub(super) struct Sift {
    partition: PartitionId,
    marker: MarkerBody,
    decoder: Decoder,
    balances: HashMap<BalanceId, Balance, FixedState>,
    holds: HashMap<TransactionId, Hold, FixedState>,
    told: HashMap<BalanceId, Told, FixedState>,
    seen: Vec<(u64, SeenKey, Seen)>,
    decided: chain::Stretches,
    /// Log time of the first decision that is left.
    oldest: Option<(u64, i64)>,
    /// The hash of c's outcome.
    hash: Option<[u8; 32]>,
    failure: Option<Failure>,
}

/// What entries tell of a balance.
struct Told {
    /// The version that the first of them made.
    first: u64,
    last: Entry,
    /// The command of the last one.
    offset: u64,
    /// What the last one of those that set terms set, and its version.
    terms: Option<(u64, Box<Terms>)>,
}

impl Sift {
    pub(super) fn new(marker: MarkerBody, partition: PartitionId) -> Self {
        Self {
            partition,
            marker,
            decoder: Decoder::new(),
            balances: HashMap::default(),
            holds: HashMap::default(),
            told: HashMap::default(),
            seen: Vec::new(),
            decided: chain::Stretches::default(),
            oldest: None,
            hash: None,
            failure: None,
        }
    }

    /// Takes one record of `snapshots`; whether to go on.
    pub(super) fn snapshot(&mut self, found: Found<'_>) -> bool {
        let taken = match found.key {
            key if key.starts_with(b"balance:") => self.balance(found.value),
            key if key.starts_with(b"hold:") => self.hold(found.value),
            _ => Ok(()),
        };
        self.goes_on("snapshot", found.offset, taken)
    }

    /// Takes one record of `outcomes`; whether to go on.
    pub(super) fn outcome(&mut self, found: Found<'_>) -> bool {
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
                self.failure = Some(Failure::Untold(format!("{what} {at}: {error}")));
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
            match self.told.entry(entry.balance) {
                Vacant(new) => {
                    new.insert(Told {
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

    /// The state as of c, if all of it is known; of ended holds those that count within the
    /// horizon, or were changed after command `since`.
    pub(super) fn into_base(mut self, since: Option<u64>) -> Result<Base, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let from_ms = horizon(&self.marker).timestamp_millis();
        self.reaches(from_ms)?;
        let told = std::mem::take(&mut self.told);
        for (id, told) in told {
            let known = told.on(self.balances.remove(&id));
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
        self.holds.retain(|_, hold| {
            let lasts = hold.stage.is_open() || hold.at_ms >= from_ms;
            lasts || since.is_none_or(|since| hold.offset > since)
        });
        self.seen.sort_unstable_by_key(|(offset, ..)| *offset);
        let seen = self.seen.into_iter();
        Ok(Base {
            journal: Some((self.marker.position, self.marker.command_offset)),
            journal_hash: self.hash,
            balances: self.balances.into_iter().collect(),
            holds: self.holds.into_iter().collect(),
            seen: seen.map(|(_, key, seen)| (key, seen)).collect(),
            marker: Some(self.marker),
        })
    }

    /// Whether outcomes are left without a gap from before log time `from_ms` up to c: references
    /// stand nowhere else.
    fn reaches(&self, from_ms: i64) -> Result<(), Failure> {
        let (Some((first, last)), Some((_, at_ms))) = (self.decided.only(), self.oldest) else {
            return Err(untold("outcomes have gaps, or none is left"));
        };
        if last != self.marker.command_offset {
            return Err(untold("the marker's own outcome is gone"));
        }
        match first == 0 || at_ms.saturating_add(CLOCKS_APART_MS) <= from_ms {
            true => Ok(()),
            false => Err(untold("outcomes do not reach back over the dedupe horizon")),
        }
    }
}

impl Told {
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
    /// one that they join on to: an older one may hide a change of terms.
    fn on(self, snapshot: Option<Balance>) -> Option<Balance> {
        let State { version, .. } = self.last.after;
        let known = match (self.terms, snapshot) {
            (Some((_, terms)), _) => terms.balance(self.last.asset),
            (None, Some(known)) if chain::joins(Some(known.state.version), self.first) => known,
            (None, _) => return None,
        };
        debug_assert!(known.state.version <= version, "nothing is of after c");
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

fn untold(what: impl Into<String>) -> Failure {
    Failure::Untold(what.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{Partition, Record, Setting};
    use crate::wire::outcome::NO_HASH;

    const ACCOUNTS: u8 = 4;
    const HORIZON_SECONDS: u64 = 100;

    fn id(account: u8) -> Uuid {
        let asset = crate::ledger::Asset::parse("USD").unwrap();
        BalanceId::of("default/main", &format!("a{account}"), &asset, "default").uuid()
    }

    /// What a command does, by a number drawn for it.
    fn command(number: usize, drawn: (u8, u8, u8)) -> String {
        let (kind, one) = (drawn.0 % 8, drawn.1 % ACCOUNTS);
        let other = (one + 1 + drawn.2 % (ACCOUNTS - 1)) % ACCOUNTS;
        let (kind, key, body) = match kind {
            0 => (
                "open",
                "open",
                json!({"account": format!("a{one}"), "asset": "USD", "floor": "-1000"}),
            ),
            1 => (
                "configure",
                "configure",
                json!({"balance": id(one), "asset": "USD", "floor": format!("-{}", 500 + u32::from(drawn.2))}),
            ),
            _ => (
                "transfer",
                "postings",
                json!([{"source": id(one), "destination": id(other), "amount": "1.00",
                        "asset": "USD"}]),
            ),
        };
        let mut body = json!({key: body, "type": kind, "ledger": "main"});
        body["reference"] = json!(format!("r{number}"));
        if drawn.0 > 200 && kind == "transfer" {
            body["hold"] = json!({"expires_in": "1h"});
        }
        body.to_string()
    }

    /// A history: what was decided, the state after each command, and markers.
    struct History {
        outcomes: Vec<Vec<u8>>,
        states: Vec<Partition>,
        markers: Vec<MarkerBody>,
    }

    fn history(drawn: &[(u8, u8, u8)]) -> History {
        let mut partition = Partition::new(0, 1);
        let mut decoder = Decoder::new();
        let setting = Setting {
            generation: Uuid::from_u128(7),
            horizon_seconds: HORIZON_SECONDS,
        };
        let (mut prev, mut all) = (NO_HASH, Vec::new());
        let opens = (0..ACCOUNTS).map(|account| (0, account, 0));
        let commands: Vec<_> = opens.chain(drawn.iter().copied()).collect();
        for offset in 0..=commands.len() {
            let record = match offset.checked_sub(1) {
                None => Record::Genesis(setting),
                Some(at) => {
                    let text = command(at, commands[at]);
                    let parsed = decoder.parse(text.as_bytes(), None, None).unwrap();
                    Record::Command(Arc::new(parsed))
                }
            };
            let at_ms = i64::try_from(offset).unwrap() * 10_000;
            let outcome = partition.apply(offset as u64, at_ms, &record);
            let mut value = Vec::new();
            prev = OutcomeBody::of(&outcome, 0, prev).seal(&mut value).unwrap();
            let marker = MarkerBody::of(&partition.cut().unwrap(), 0, offset as u64, 1);
            all.push((value, partition.clone(), marker));
        }
        let mut history = History {
            outcomes: Vec::new(),
            states: Vec::new(),
            markers: Vec::new(),
        };
        for (value, state, marker) in all {
            history.outcomes.push(value);
            history.states.push(state);
            history.markers.push(marker);
        }
        history
    }

    /// Gives `sift` the snapshots of the state after command `at`.
    fn published(sift: &mut Sift, history: &History, at: usize, lost: &[bool]) {
        let state = &history.states[at];
        let mut lost = lost.iter().cycle();
        let mut balances: Vec<_> = state.balances().collect();
        balances.sort_unstable_by_key(|(id, _)| *id);
        for (id, balance) in balances {
            let value = serde_json::to_vec(&BalanceBody::of(id, &balance, 0, 1)).unwrap();
            give(sift, Sift::snapshot, (b"balance:", &value), lost.next());
        }
        let mut holds: Vec<_> = state.holds().iter().collect();
        holds.sort_unstable_by_key(|(id, _)| *id);
        for (id, hold) in holds {
            let value = serde_json::to_vec(&HoldBody::snapshot(id, hold, 0, 1)).unwrap();
            give(sift, Sift::snapshot, (b"hold:", &value), lost.next());
        }
    }

    fn give(
        sift: &mut Sift,
        take: fn(&mut Sift, Found<'_>) -> bool,
        (key, value): (&[u8], &[u8]),
        lost: Option<&bool>,
    ) {
        let offset = 0;
        let found = Found { offset, key, value };
        assert!(lost == Some(&true) || take(sift, found));
    }

    proptest! {
        /// Whatever snapshots are lost, late or too new, and in whatever order outcomes stand of
        /// which the first ones are gone: there is the true state, or none.
        #[test]
        fn what_is_told_is_true(
            drawn in prop::collection::vec(any::<(u8, u8, u8)>(), 1..40),
            covers in any::<prop::sample::Index>(),
            flushes in prop::collection::vec(
                (any::<prop::sample::Index>(), prop::collection::vec(any::<bool>(), 1..6)), 0..4),
            gone in any::<prop::sample::Index>(),
            twice in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let history = history(&drawn);
            let length = history.outcomes.len();
            let covers = covers.index(length);
            let mut sift = Sift::new(history.markers[covers].clone(), 0);
            for (at, lost) in &flushes {
                published(&mut sift, &history, at.index(length), lost);
            }
            let mut order: Vec<usize> = (gone.index(covers + 1)..length).collect();
            for at in &twice {
                let at = at.index(order.len());
                order.push(order[at]);
                order.swap(at, 0);
            }
            for at in order {
                give(&mut sift, Sift::outcome, (b"", &history.outcomes[at]), None);
            }
            let truth = &history.states[covers];
            if let Ok(base) = sift.into_base(None) {
                let balances: HashMap<BalanceId, Balance> = base.balances.into_iter().collect();
                let expected: HashMap<_, _> = truth.balances().collect();
                prop_assert_eq!(balances, expected);
                let holds: HashMap<TransactionId, Hold> = base.holds.into_iter().collect();
                let expected = truth.holds().iter().map(|(id, hold)| (id, hold.clone()));
                prop_assert_eq!(holds, expected.collect::<HashMap<_, _>>());
                let seen: HashMap<SeenKey, Seen> = base.seen.into_iter().collect();
                let at_ms = truth.log_time_ms();
                for (key, known) in truth_seen(&history, covers) {
                    let counts = i64::from(known.at_seconds) * 1000 >= at_ms - 100_000;
                    prop_assert!(!counts || seen.get(&key) == Some(&known));
                }
            }
        }

        /// With all snapshots as of the marker nothing is needed but outcomes over the horizon.
        #[test]
        fn all_snapshots_and_the_horizon_are_enough(
            drawn in prop::collection::vec(any::<(u8, u8, u8)>(), 15..40),
        ) {
            let history = history(&drawn);
            let covers = history.outcomes.len() - 1;
            let mut sift = Sift::new(history.markers[covers].clone(), 0);
            published(&mut sift, &history, covers, &[false]);
            for value in &history.outcomes[covers - 12..] {
                give(&mut sift, Sift::outcome, (b"", value), None);
            }
            prop_assert!(sift.into_base(None).is_ok());
        }
    }

    /// Everything that was decided up to `covers`, as outcomes say it.
    fn truth_seen(history: &History, covers: usize) -> HashMap<SeenKey, Seen> {
        let mut decoder = Decoder::new();
        let outcomes = history.outcomes[..=covers].iter().map(|value| {
            let body = OutcomeBody::parse(value).unwrap();
            body.to_ledger(&mut decoder).unwrap()
        });
        let marks = outcomes.filter_map(|outcome| Some((outcome.effects.mark?, outcome.at_ms)));
        marks
            .map(|(mark, at_ms)| (mark.key, mark.seen(at_ms)))
            .collect()
    }
}
