//! What the log says: every record of `commands` decided as it lands, by the core and by the
//! oracle, which must agree. Whatever anybody shows later is compared with this.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::FixedState;
use steelyard::cold::journal::Reference;
use steelyard::ledger::{
    BalanceId, Decision, Hold, HoldSums, Limit, Outcome, Partition, PartitionId, Record, Rejection,
    State, Status, TransactionId,
};
use steelyard::oracle::Oracle;
use steelyard::wire::outcome::{NO_HASH, OutcomeBody};
use steelyard::wire::record::{Headers, Raw, Recognizer};
use steelyard::wire::{Hex, Secret, Time};

use rdkafka::message::Headers as _;

use crate::log::{ELSEWHERE, PREFIX, Rec};

/// One decision.
pub(crate) struct Decided {
    pub(crate) body: Bytes,
    pub(crate) hash: [u8; 32],
    /// Whether it is on `outcomes`.
    pub(crate) landed: bool,
    pub(crate) version_sum: u64,
    pub(crate) highest: Option<u64>,
    pub(crate) holds: HoldSums,
    pub(crate) sent: Vec<u64>,
    pub(crate) received: Vec<u64>,
    /// Whether cold has a row of it.
    pub(crate) is_transaction: bool,
    /// Whether it can never be understood.
    pub(crate) dead: bool,
    /// Whether it is among the dead letters.
    pub(crate) buried: bool,
}

/// A balance after one of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) offset: u64,
    pub(crate) state: State,
    pub(crate) floor: Limit,
    pub(crate) ceiling: Limit,
    pub(crate) status: Status,
}

pub(crate) struct Truth {
    pub(crate) partition: Partition,
    recognizer: Recognizer,
    prev: Hex<32>,
    /// By command offset.
    pub(crate) decided: Vec<Decided>,
    /// Everything before this is on `outcomes`.
    pub(crate) landed: usize,
    /// Of every balance all that it ever was; version 1 first.
    pub(crate) past: HashMap<BalanceId, Vec<Past>, FixedState>,
    /// As of balances: of every hold all that it ever was here.
    pub(crate) past_holds: HashMap<TransactionId, Vec<Hold>, FixedState>,
    /// Legs by destination and number: the command that sends it, and its value.
    pub(crate) legs: HashMap<(PartitionId, u64), (u64, Bytes), FixedState>,
    /// By destination, legs that are on `commands` without a gap.
    pub(crate) legs_landed: Vec<u64>,
    /// By destination, the highest leg that anybody wanted to send.
    pub(crate) offered: Vec<u64>,
    /// Of every transaction that is at home here.
    pub(crate) references: Vec<Reference>,
    /// Bodies of outcomes, by hash.
    pub(crate) by_hash: HashMap<[u8; 32], u64, FixedState>,
}

impl Truth {
    pub(crate) fn new(id: PartitionId, count: PartitionId, secret: &Secret) -> Self {
        let replies = vec![format!("{PREFIX}.replies"), ELSEWHERE.to_owned()];
        Self {
            partition: Partition::new(id, count),
            recognizer: Recognizer::new(secret.clone(), replies, id, count),
            prev: NO_HASH,
            decided: Vec::new(),
            landed: 0,
            past: HashMap::default(),
            past_holds: HashMap::default(),
            legs: HashMap::default(),
            legs_landed: vec![0; count.into()],
            offered: vec![0; count.into()],
            references: Vec::new(),
            by_hash: HashMap::default(),
        }
    }

    /// Decides the next record of `commands`.
    pub(crate) fn decide(&mut self, rec: &Rec, oracle: &mut Oracle) -> (Record, Outcome) {
        let offset = self.decided.len() as u64;
        let headers = rec.headers.as_ref();
        let pairs = headers.into_iter().flat_map(|headers| headers.iter());
        let raw = Raw {
            offset,
            key: Some(&rec.key),
            value: Some(&rec.value),
            headers: Headers::of(pairs.map(|header| (header.key, header.value))),
        };
        let record = self
            .recognizer
            .recognize(&raw)
            .unwrap_or(Record::DeadLetter);
        let outcome = self.partition.apply(offset, rec.at_ms, &record);
        let expected = oracle.apply(self.partition.id(), offset, rec.at_ms, &record, &rec.value);
        let expected =
            expected.unwrap_or_else(|misread| panic!("a command was misread: {misread}"));
        assert_eq!(outcome, expected, "the oracle decides otherwise");
        self.keep(&outcome, matches!(record, Record::DeadLetter));
        (record, outcome)
    }

    fn keep(&mut self, outcome: &Outcome, dead: bool) {
        let wire = OutcomeBody::of(outcome, self.partition.id(), self.prev);
        let mut body = Vec::new();
        self.prev = wire.seal(&mut body).unwrap();
        let body = Bytes::from(body);
        for leg in &wire.legs {
            let value = Bytes::copy_from_slice(leg.value.get().as_bytes());
            self.legs
                .insert((leg.to, leg.number), (outcome.offset, value));
        }
        for entry in &outcome.effects.entries {
            let balance = self
                .partition
                .balance(entry.balance)
                .expect("it was just changed");
            let past = self.past.entry(entry.balance).or_default();
            assert_eq!(
                past.len() as u64 + 1,
                entry.after.version,
                "L3: versions count entries"
            );
            past.push(Past {
                offset: outcome.offset,
                state: entry.after,
                floor: balance.floor,
                ceiling: balance.ceiling,
                status: balance.status,
            });
        }
        if let Some((id, hold)) = outcome.effects.hold.as_deref() {
            let past = self.past_holds.entry(*id).or_default();
            assert_eq!(
                past.len() as u64 + 1,
                hold.version,
                "L3: versions count changes of a hold"
            );
            past.push(hold.clone());
        }
        self.refer(outcome);
        let cut = self.partition.cut();
        self.by_hash.insert(self.prev.0, outcome.offset);
        self.decided.push(Decided {
            body,
            hash: self.prev.0,
            landed: false,
            version_sum: cut.as_ref().map_or(0, |cut| cut.version_sum),
            highest: cut.as_ref().and_then(|cut| cut.highest_offset),
            holds: cut.as_ref().map(|cut| cut.holds).unwrap_or_default(),
            sent: cut.as_ref().map(|cut| cut.sent.clone()).unwrap_or_default(),
            received: cut.map(|cut| cut.received).unwrap_or_default(),
            is_transaction: is_transaction(outcome),
            dead,
            buried: false,
        });
    }

    /// Notes whose reference it is, if a transaction begins here.
    fn refer(&mut self, outcome: &Outcome) {
        let begins =
            |id: &TransactionId| id.home() == self.partition.id() && id.offset() == outcome.offset;
        let id = outcome.transaction.filter(begins);
        if let (Some(id), Some(command), true) = (id, &outcome.command, is_transaction(outcome)) {
            self.references.push(Reference {
                ledger: (*command.ledger).into(),
                reference: command.reference.clone(),
                transaction: id.uuid(),
                at: Time(outcome.at_ms),
            });
        }
    }

    /// The balance as of command `offset`.
    pub(crate) fn as_of(&self, id: BalanceId, offset: u64) -> Option<Past> {
        let past = &self.past[&id];
        let after = past.partition_point(|past| past.offset <= offset);
        after.checked_sub(1).map(|at| past[at])
    }

    /// The hold as of command `offset`.
    pub(crate) fn hold_as_of(&self, id: TransactionId, offset: u64) -> Option<&Hold> {
        let past = &self.past_holds[&id];
        let after = past.partition_point(|past| past.offset <= offset);
        after.checked_sub(1).map(|at| &past[at])
    }

    /// The last command decided.
    pub(crate) fn last(&self) -> u64 {
        self.decided.len() as u64 - 1
    }
}

/// Whether cold gets a row of this decision.
fn is_transaction(outcome: &Outcome) -> bool {
    let decided = match outcome.decision {
        Decision::Applied
        | Decision::Held
        | Decision::Posted
        | Decision::Voided
        | Decision::Expired
        | Decision::Forwarded
        | Decision::Returned(_) => true,
        Decision::Rejected(rejection) => rejection != Rejection::ReferenceReused,
        Decision::Ignored(_) => false,
    };
    decided && outcome.replay_of.is_none()
}
