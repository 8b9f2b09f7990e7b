//! One partition in memory. Its records, outcomes and legs all pass through the wire, and after
//! every decision it checks what no test has to say:
//!
//! - the oracle has the same outcome, and the same balances;
//! - a partition that folds the outcomes' bytes has the state of the one that decided;
//! - a repeat names the transaction that it repeats (L4);
//! - a rejection, an ignored record and a repeat leave the balances as they were (L4, L6);
//! - an owner that starts again from any point writes the same bytes.

use std::collections::HashMap;

use super::message::{Message, recognizer};
use crate::ledger::SeenMap;
use crate::ledger::{
    Balance, BalanceId, Cut, Decision, Hold, Leg, Outcome, Partition, PartitionId, Seen, SeenKey,
    TransactionId,
};
use crate::oracle::Oracle;
use crate::wire::outcome::{self, OutcomeBody};
use crate::wire::record::Recognizer;
use crate::wire::{BalanceBody, Decoder, Hex, HoldBody, MarkerBody};

/// One partition: its log, its owner, and the legs it sends.
pub(crate) struct Node {
    pub(crate) partition: Partition,
    /// Folds what the outcomes' bytes say.
    shadow: Partition,
    oracle: Oracle,
    recognizer: Recognizer,
    pub(crate) log: Vec<(i64, Message)>,
    pub(crate) outcomes: Vec<Vec<u8>>,
    base: Option<Base>,
    /// The transaction of every reference that is at home here.
    transactions: HashMap<SeenKey, TransactionId>,
    /// Per destination, every leg sent so far, and what it carries.
    pub(crate) sent: Vec<Vec<Message>>,
    pub(crate) legs: Vec<Vec<Leg>>,
    /// Per destination, how many of them the owner has appended there.
    pub(crate) appended: Vec<usize>,
}

/// What cold would give a takeover.
struct Base {
    marker: Vec<u8>,
    balances: Vec<Vec<u8>>,
    holds: Vec<Vec<u8>>,
    outcomes: usize,
}

impl Node {
    pub(super) fn new(id: PartitionId, count: PartitionId) -> Self {
        let none = usize::from(count);
        Self {
            partition: Partition::new(id, count),
            shadow: Partition::new(id, count),
            oracle: Oracle::new(count),
            recognizer: recognizer(id, count),
            log: Vec::new(),
            outcomes: Vec::new(),
            base: None,
            transactions: HashMap::new(),
            sent: vec![Vec::new(); none],
            legs: vec![Vec::new(); none],
            appended: vec![0; none],
        }
    }

    pub(super) fn turn(&mut self) -> Option<Outcome> {
        let offset = self.outcomes.len();
        let (at_ms, message) = self.log.get(offset)?.clone();
        let record = message.recognize(&mut self.recognizer, offset);
        let before = balances(&self.partition);
        let outcome = self.partition.apply(offset as u64, at_ms, &record);
        let id = self.partition.id();
        let expected = self
            .oracle
            .apply(id, offset as u64, at_ms, &record, message.value());
        let expected = expected.unwrap_or_else(|misread| panic!("{misread}"));
        assert_eq!(outcome, expected, "the oracle decides the same");
        let bytes = encode(&outcome, self.partition.id(), self.outcomes.last());
        if outcome.effects.entries.is_empty() {
            assert_eq!(before, balances(&self.partition));
        }
        let changes = match outcome.decision {
            Decision::Applied
            | Decision::Held
            | Decision::Posted
            | Decision::Voided
            | Decision::Expired
            | Decision::Forwarded => outcome.replay_of.is_none(),
            Decision::Returned(_) => !outcome.effects.entries.is_empty(),
            Decision::Rejected(_) | Decision::Ignored(_) => false,
        };
        let does = !outcome.effects.entries.is_empty()
            || outcome.effects.closed.is_some()
            || outcome.effects.hold.is_some();
        let refused = matches!(
            outcome.decision,
            Decision::Rejected(_) | Decision::Ignored(_)
        );
        let reversal = outcome.command.as_ref().and_then(|it| it.reverse());
        // A reversal may pass a stop that it moves nothing at, or be taken back where home only
        // counts.
        let may_differ = reversal.is_some() && !refused && outcome.replay_of.is_none();
        assert!(
            changes == does || may_differ,
            "{outcome:?} has effects if and only if it does something"
        );
        check_holds(&self.partition);
        self.check_transaction(&outcome);
        let theirs = self.oracle.balances();
        assert_eq!(
            balances(&self.partition),
            sorted(theirs.map(|(id, balance)| (id, balance.clone()))),
            "the oracle has the same balances"
        );
        fold(&mut self.shadow, &bytes);
        assert_eq!(
            state(&self.shadow),
            state(&self.partition),
            "folding the bytes gives the state"
        );
        for leg in &outcome.legs {
            self.legs[usize::from(leg.to)].push(leg.clone());
        }
        for leg in OutcomeBody::parse(&bytes).unwrap().legs {
            self.sent[usize::from(leg.to)].push(Message::leg(&leg));
        }
        self.outcomes.push(bytes);
        Some(outcome)
    }

    fn check_transaction(&mut self, outcome: &Outcome) {
        let at_home = |transaction: &TransactionId| transaction.home() == self.partition.id();
        let Some(transaction) = outcome.transaction.filter(at_home) else {
            return;
        };
        let key = outcome.command.as_ref().unwrap().seen_key;
        match outcome.replay_of {
            None => self.transactions.insert(key, transaction),
            Some(_) => {
                assert_eq!(self.transactions.get(&key), Some(&transaction), "L4");
                None
            }
        };
    }

    /// Keeps what a sink would have as of now, as a base for [`Node::restart`].
    pub(crate) fn checkpoint(&mut self) {
        let (id, cut) = (self.partition.id(), self.partition.cut().unwrap());
        let marker = MarkerBody::of(&cut, id, self.outcomes.len() as u64, 1);
        let body = |(balance, state): (BalanceId, Balance)| {
            serde_json::to_vec(&BalanceBody::of(balance, &state, id, 1)).unwrap()
        };
        let hold = |(hold, state): &(TransactionId, Hold)| {
            serde_json::to_vec(&HoldBody::snapshot(*hold, state, id, 1)).unwrap()
        };
        self.base = Some(Base {
            marker: serde_json::to_vec(&marker).unwrap(),
            balances: self.partition.balances().map(body).collect(),
            holds: holds(&self.partition).iter().map(hold).collect(),
            outcomes: self.outcomes.len(),
        });
    }

    /// A new owner: starts from the base if there is one, folds the first `known` outcomes,
    /// decides the rest again, and sends every leg since the base again.
    pub(crate) fn restart(&mut self, known: usize) {
        let (id, count) = (self.partition.id(), self.partition.count());
        let mut owner = match &self.base {
            None => Partition::new(id, count),
            Some(base) => base.partition(id, &self.outcomes),
        };
        let folded = self.base.as_ref().map_or(0, |base| base.outcomes);
        let known = known.clamp(folded, self.outcomes.len());
        for bytes in &self.outcomes[folded..known] {
            fold(&mut owner, bytes);
        }
        let mut recognizer = recognizer(id, count);
        for offset in known..self.outcomes.len() {
            let (at_ms, message) = &self.log[offset];
            let record = message.recognize(&mut recognizer, offset);
            let outcome = owner.apply(offset as u64, *at_ms, &record);
            let before = offset.checked_sub(1).map(|before| &self.outcomes[before]);
            let bytes = encode(&outcome, id, before);
            assert_eq!(text(&bytes), text(&self.outcomes[offset]), "same bytes");
        }
        assert_eq!(state(&owner), state(&self.partition), "same state");
        let legs = |bytes: &Vec<u8>| OutcomeBody::parse(bytes).unwrap().legs;
        for leg in self.outcomes[folded..].iter().flat_map(legs).rev() {
            let first_again = usize::try_from(leg.number).unwrap() - 1;
            let appended = &mut self.appended[usize::from(leg.to)];
            *appended = first_again.min(*appended);
        }
        self.partition = owner;
        self.recognizer = recognizer;
    }
}

impl Base {
    fn partition(&self, id: PartitionId, outcomes: &[Vec<u8>]) -> Partition {
        let mut decoder = Decoder::new();
        let marker = MarkerBody::parse(&self.marker).unwrap();
        let cut: Cut = marker.to_cut().unwrap();
        let mut seen = SeenMap::default();
        for bytes in &outcomes[..self.outcomes] {
            let body = OutcomeBody::parse(bytes).unwrap();
            let outcome = body.to_ledger(&mut decoder).unwrap();
            if let Some(mark) = outcome.effects.mark {
                seen.insert(mark.key, mark.seen(outcome.at_ms));
            }
        }
        let balances = self.balances.iter().map(|bytes| {
            let body = BalanceBody::parse(bytes).unwrap();
            let ledger = outcome::shared_ledger(&mut decoder, &body.ledger);
            body.to_ledger(ledger).unwrap()
        });
        let balances: Vec<_> = balances.collect();
        let holds = self.holds.iter().map(|bytes| {
            let body = HoldBody::parse(bytes).unwrap();
            body.to_ledger(&mut decoder).unwrap()
        });
        let partition = Partition::from_cut(id, &cut, balances, holds, seen);
        assert_eq!(partition.cut().unwrap(), cut, "a base gives its cut back");
        partition
    }
}

fn encode(outcome: &Outcome, partition: PartitionId, before: Option<&Vec<u8>>) -> Vec<u8> {
    let prev: Hex<32> = before.map_or(outcome::NO_HASH, |bytes| outcome::hash(bytes));
    let mut bytes = Vec::new();
    let body = OutcomeBody::of(outcome, partition, prev);
    body.seal(&mut bytes).unwrap();
    bytes
}

fn fold(partition: &mut Partition, bytes: &[u8]) {
    let body = OutcomeBody::parse(bytes).unwrap();
    partition.fold(&body.to_ledger(&mut Decoder::new()).unwrap());
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Every balance, in order.
fn balances(partition: &Partition) -> Vec<(BalanceId, Balance)> {
    sorted(partition.balances())
}

fn sorted(balances: impl Iterator<Item = (BalanceId, Balance)>) -> Vec<(BalanceId, Balance)> {
    let mut all: Vec<_> = balances.collect();
    all.sort_by_key(|(id, _)| *id);
    all
}

/// Every hold, in order.
fn holds(partition: &Partition) -> Vec<(TransactionId, Hold)> {
    let all = partition.holds().iter();
    let mut all: Vec<_> = all.map(|(id, hold)| (id, hold.clone())).collect();
    all.sort_by_key(|(id, _)| *id);
    all
}

/// L7: what is held on every balance is what open holds have left there.
fn check_holds(partition: &Partition) {
    let mut held: HashMap<BalanceId, i128> = HashMap::new();
    for (_, hold) in partition.holds().iter() {
        for part in &hold.parts {
            assert!(hold.stage.is_open() || part.rest == 0);
            *held.entry(part.source).or_default() += part.rest;
        }
    }
    for (id, balance) in partition.balances() {
        let expected = held.get(&id).copied().unwrap_or(0);
        assert_eq!(balance.state.held, expected, "L7: held of {id}");
    }
}

/// Everything that decisions depend on, in order.
type State = (
    Vec<(BalanceId, Balance)>,
    Vec<(TransactionId, Hold)>,
    Vec<(SeenKey, Seen)>,
    Option<Cut>,
);

fn state(partition: &Partition) -> State {
    let mut seen: Vec<_> = partition.seen.iter().collect();
    seen.sort_by_key(|(SeenKey(key), _)| *key);
    (balances(partition), holds(partition), seen, partition.cut())
}
