//! The largest outcome there can be: a reversal of a transfer that visits every partition, with
//! everything in it as long as it may be.

use std::collections::VecDeque;

use serde_json::{Value, json};
use steelyard::ledger::{
    Asset, BalanceId, Outcome, Partition, PartitionId, Record, Setting, TransactionId, partition_of,
};
use steelyard::wire::outcome::{NO_HASH, bytes_max};
use steelyard::wire::record::{
    CORRELATION_HEADER, Headers, REPLY_TOPIC_HEADER, Raw, Recognizer, TRACE_HEADER,
};
use steelyard::wire::{OutcomeBody, Secret};

const COUNT: PartitionId = 32;
const ASSET: &str = "ABCDEFGHIJKLMNOP/18";

/// The `number`th balance of a partition, its names as long as they may be.
fn account(partition: PartitionId, number: usize) -> (String, BalanceId) {
    let asset = Asset::parse(ASSET).unwrap();
    let names = (0..).map(|at| format!("{at:0>64}"));
    let ids = names.map(|name| {
        let id = BalanceId::of(&ledger(), &name, &asset, &"k".repeat(64));
        (name, id)
    });
    let mut there = ids.filter(|(_, id)| partition_of(*id, COUNT) == partition);
    there.nth(number).unwrap()
}

fn ledger() -> String {
    format!("{}/{}", "o".repeat(64), "l".repeat(64))
}

struct Log {
    partitions: Vec<Partition>,
    offset: u64,
    largest: usize,
}

impl Log {
    fn decide(&mut self, at: PartitionId, record: &Record) -> Outcome {
        self.offset += 1;
        let partition = &mut self.partitions[usize::from(at)];
        let outcome = partition.apply(self.offset, 0, record);
        let body = OutcomeBody::of(&outcome, at, NO_HASH);
        self.largest = self.largest.max(serde_json::to_vec(&body).unwrap().len());
        outcome
    }

    /// Decides a command and every leg that follows from it.
    fn command(&mut self, json: &Value, key: BalanceId) -> TransactionId {
        let home = partition_of(key, COUNT);
        let secret = Secret::new("a secret of the tests").unwrap();
        let topic = "r".repeat(249);
        let mut recognizer = Recognizer::new(secret, vec![topic.clone()], home, COUNT);
        let headers = [
            (CORRELATION_HEADER, &[7; 256][..]),
            (REPLY_TOPIC_HEADER, topic.as_bytes()),
            (
                TRACE_HEADER,
                b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
        ];
        let (key, value) = (key.to_string(), json.to_string());
        let raw = Raw {
            offset: 1,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Headers::of(headers.into_iter().map(|(name, value)| (name, Some(value)))),
        };
        let record = recognizer.recognize(&raw).unwrap();
        let outcome = self.decide(home, &record);
        let mut legs: VecDeque<_> = outcome.legs.into();
        while let Some(leg) = legs.pop_front() {
            let to = leg.to;
            legs.extend(self.decide(to, &Record::Leg(leg)).legs);
        }
        outcome.transaction.unwrap()
    }
}

#[test]
fn the_largest_outcome_is_as_large_as_we_say() {
    let setting = Setting {
        generation: uuid::Uuid::nil(),
        horizon_seconds: 600,
    };
    let partitions = (0..COUNT).map(|id| Partition::new(id, COUNT));
    let mut log = Log {
        partitions: partitions.collect(),
        offset: 0,
        largest: 0,
    };
    for id in 0..COUNT {
        log.decide(id, &Record::Genesis(setting));
    }
    // On the way back, too, every stop before the last is settled.
    let spread = |at: usize| account(PartitionId::try_from(at % 32).unwrap(), at / 32);
    let sources: Vec<_> = (0..100).map(spread).collect();
    let destinations: Vec<_> = (101..201).map(spread).collect();
    for (name, id) in sources.iter().chain(&destinations) {
        let open = json!({"account": name, "key": "k".repeat(64), "asset": ASSET, "floor": null});
        let reference = id.to_string();
        let json = json!({
            "reference": reference, "type": "open", "ledger": ledger(), "open": open,
        });
        log.command(&json, *id);
    }
    let posting =
        |((_, source), (_, destination)): (&(String, BalanceId), &(String, BalanceId))| {
            json!({
                "source": source.uuid(), "destination": destination.uuid(),
                "amount": format!("{}.{}", "9".repeat(6), "9".repeat(18)), "asset": ASSET,
            })
        };
    let postings: Vec<Value> = sources.iter().zip(&destinations).map(posting).collect();
    let all = sources.iter().chain(&destinations);
    let expect: serde_json::Map<String, Value> =
        all.map(|(_, id)| (id.to_string(), json!(1))).collect();
    let metadata: serde_json::Map<String, Value> = (0..16)
        .map(|at| (format!("k{at:02}"), json!("v".repeat(500))))
        .collect();
    let command = json!({
        "reference": "r".repeat(128), "type": "transfer", "ledger": ledger(),
        "postings": postings, "expect": expect, "metadata": metadata,
        "description": "\u{1}".repeat(256), "effective_at": "1970-01-01T00:00:00Z",
    });
    let transaction = log.command(&command, sources[0].1);
    let reverse = json!({"transaction": transaction.uuid(), "original": command, "force": true});
    let back = json!({
        "reference": "b".repeat(128), "type": "reverse", "ledger": ledger(), "reverse": reverse,
        "metadata": command["metadata"],
    });
    log.command(&back, sources[0].1);
    let limit = bytes_max(COUNT);
    assert!(
        log.largest <= limit,
        "{} bytes, {limit} at most",
        log.largest
    );
    assert!(
        log.largest > limit * 3 / 4,
        "{} bytes, and we say {limit}",
        log.largest
    );
}
