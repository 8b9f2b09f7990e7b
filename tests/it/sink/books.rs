//! Owners of all partitions in one place: the real ledger, and the records it leaves on the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use steelyard::ledger::{
    BalanceId, Leg, Partition, PartitionId, Record, Setting, TransactionId, partition_of,
};
use steelyard::wire::outcome::{NO_HASH, OutcomeBody};
use steelyard::wire::record::{hold_key, marker_key, snapshot_key};
use steelyard::wire::{BalanceBody, Decoder, Hex, HoldBody, MarkerBody};
use uuid::Uuid;

use crate::support::balance_id;

/// A record to be written: its key and its value.
pub(crate) type Written = (String, Vec<u8>);

pub(crate) struct Books {
    pub(crate) partitions: Vec<Owner>,
    pub(crate) now_ms: i64,
    decoder: Decoder,
    /// What was asked first, by reference.
    pub(crate) asked: BTreeMap<String, Value>,
}

pub(crate) struct Owner {
    pub(crate) partition: Partition,
    pub(crate) epoch: u64,
    /// Outcomes that are not on the log yet.
    pub(crate) outcomes: Vec<Written>,
    /// Where on `outcomes` the last one is.
    pub(crate) position: u64,
    /// The next command's offset.
    pub(crate) next: u64,
    prev: Hex<32>,
}

impl Books {
    pub(crate) fn new(count: PartitionId, generation: Uuid, horizon_seconds: u64) -> Self {
        let setting = Setting {
            generation,
            horizon_seconds,
        };
        let mut books = Self {
            partitions: Vec::new(),
            now_ms: 1_795_000_000_000,
            decoder: Decoder::new(),
            asked: BTreeMap::new(),
        };
        for number in 0..count {
            books.partitions.push(Owner {
                partition: Partition::new(number, count),
                epoch: 7,
                outcomes: Vec::new(),
                position: 0,
                next: 0,
                prev: NO_HASH,
            });
            books.decide(number, &Record::Genesis(setting));
        }
        books
    }

    pub(crate) fn count(&self) -> PartitionId {
        PartitionId::try_from(self.partitions.len()).unwrap()
    }

    pub(crate) fn owner(&mut self, partition: PartitionId) -> &mut Owner {
        &mut self.partitions[usize::from(partition)]
    }

    /// Decides a command, and every leg it sends.
    pub(crate) fn ask(&mut self, body: &Value) {
        self.asked_as(body);
    }

    /// As [`Books::ask`]; the transaction that it made.
    fn asked_as(&mut self, body: &Value) -> Option<TransactionId> {
        let command = self
            .decoder
            .parse(body.to_string().as_bytes(), None, None)
            .unwrap();
        let home = partition_of(command.decider(), self.count());
        let reference = command.reference.to_string();
        self.asked.entry(reference).or_insert_with(|| body.clone());
        self.decide(home, &Record::Command(Arc::new(command)))
    }

    /// Makes a hold and posts all of it.
    pub(crate) fn hold_and_post(&mut self, reference: &str, source: &str, destination: &str) {
        let id = self.hold(reference, source, destination);
        self.post(id, source);
    }

    /// Makes a hold.
    pub(crate) fn hold(&mut self, reference: &str, source: &str, to: &str) -> TransactionId {
        let mut hold = pay(reference, source, to, "0.50");
        hold["hold"] = json!({});
        self.asked_as(&hold).unwrap()
    }

    /// Posts all of a hold.
    pub(crate) fn post(&mut self, id: TransactionId, source: &str) {
        self.ask(
            &json!({"reference": format!("post-{id}"), "type": "post", "ledger": "main",
            "post": {"hold": id.uuid(), "balance": balance_id(source)}}),
        );
    }

    /// Records a command, for deciding it elsewhere.
    pub(crate) fn command(&mut self, body: &Value) -> (PartitionId, Record) {
        let command = self
            .decoder
            .parse(body.to_string().as_bytes(), None, None)
            .unwrap();
        let home = partition_of(command.decider(), self.count());
        (home, Record::Command(Arc::new(command)))
    }

    fn decide(&mut self, partition: PartitionId, record: &Record) -> Option<TransactionId> {
        let mut first = None;
        let mut waiting = VecDeque::from([(partition, record.clone())]);
        while let Some((partition, record)) = waiting.pop_front() {
            self.now_ms += 1;
            let at_ms = self.now_ms;
            let (transaction, legs) = self.owner(partition).decide(at_ms, &record);
            first = first.or(transaction);
            for leg in legs {
                waiting.push_back((leg.to, Record::Leg(leg)));
            }
        }
        first
    }

    pub(crate) fn open(&mut self, account: &str) {
        self.ask(
            &json!({"reference": format!("open-{account}"), "type": "open",
            "ledger": "main", "open": {"account": account, "asset": "USD"}}),
        );
    }

    pub(crate) fn pay(&mut self, reference: &str, source: &str, destination: &str, amount: &str) {
        self.ask(&pay(reference, source, destination, amount));
    }
}

pub(crate) fn pay(reference: &str, source: &str, destination: &str, amount: &str) -> Value {
    json!({"reference": reference, "type": "transfer", "ledger": "main", "postings": [
        {"source": balance_id(source), "destination": balance_id(destination),
         "amount": amount, "asset": "USD"}]})
}

impl Owner {
    fn decide(&mut self, at_ms: i64, record: &Record) -> (Option<TransactionId>, Vec<Leg>) {
        let outcome = self.partition.apply(self.next, at_ms, record);
        self.next += 1;
        let body = OutcomeBody::of(&outcome, self.partition.id(), self.prev);
        let mut value = Vec::new();
        self.prev = body.seal(&mut value).unwrap();
        self.outcomes.push(("none".to_owned(), value));
        (outcome.transaction, outcome.legs)
    }

    /// What a flush writes: a snapshot of every balance and hold touched since the last one.
    pub(crate) fn snapshots(&mut self) -> Vec<Written> {
        let touched = self.partition.take_touched();
        let held = self.partition.take_touched_holds();
        let balances = touched.into_iter().map(|id| self.snapshot(id));
        balances
            .chain(held.into_iter().map(|id| self.hold(id)))
            .collect()
    }

    pub(crate) fn snapshot(&self, id: BalanceId) -> Written {
        let balance = self.partition.balance(id).unwrap();
        let body = BalanceBody::of(id, &balance, self.partition.id(), self.epoch);
        (snapshot_key(id), serde_json::to_vec(&body).unwrap())
    }

    pub(crate) fn hold(&self, id: TransactionId) -> Written {
        let hold = self.partition.holds().get(id).unwrap();
        let body = HoldBody::snapshot(id, hold, self.partition.id(), self.epoch);
        (hold_key(id), serde_json::to_vec(&body).unwrap())
    }

    pub(crate) fn marker(&self) -> Written {
        let cut = self.partition.cut().unwrap();
        let body = MarkerBody::of(&cut, self.partition.id(), self.position, self.epoch);
        (
            marker_key(self.partition.id()),
            serde_json::to_vec(&body).unwrap(),
        )
    }

    /// X, if a marker were written now.
    pub(crate) fn applied(&self) -> u64 {
        self.partition.applied().unwrap()
    }
}
