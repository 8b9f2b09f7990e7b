//! Replay: the oracle decides every record of `commands` again, and `outcomes` must say the same.
//!
//! Byte for byte, in the order of the log. The first difference of a partition ends its replay, for
//! what comes after it follows from it. A replay needs every record since the log began: it takes
//! nothing from anybody. Where the log was trimmed it says so.

use std::collections::VecDeque;
use std::sync::Arc;

use rdkafka::Message;
use serde_json::Value;

use super::report::{Check, Finding, Verdict};
use crate::ledger::chain::{Place, place};
use crate::ledger::{PartitionId, Record};
use crate::log::Topics;
use crate::log::reader::{self, ReadError, Reader};
use crate::oracle::Oracle;
use crate::wire::outcome::{NO_HASH, OutcomeBody};
use crate::wire::record::{CLAIM_KEY, GENESIS_KEY, Raw, Recognizer};
use crate::wire::{Hex, Secret};

/// How many outcomes are in memory at once.
const STRETCH: usize = 4096;

/// What processors are told, and a replay must be told alike: it decides what a record is.
#[derive(Clone, Debug)]
pub struct Recognition {
    pub secret: Secret,
    /// Topics that replies may be sent to.
    pub reply_topics: Vec<String>,
}

/// Replays partition `number` of `count`. `position` is where cold's marker says its outcome is.
pub(super) async fn replay(
    reader: Arc<Reader>,
    topics: Topics,
    recognition: Recognition,
    (number, count): (PartitionId, PartitionId),
) -> anyhow::Result<Check> {
    let replay = Replay {
        recognizer: Recognizer::new(recognition.secret, recognition.reply_topics, number, count),
        oracle: Oracle::new(count),
        number,
        prev: NO_HASH,
        waiting: VecDeque::new(),
        check: Check::new("replay", "outcomes"),
    };
    let replaying = tokio::task::spawn_blocking(move || replay.run(&reader, &topics));
    Ok(replaying.await??)
}

struct Replay {
    recognizer: Recognizer,
    oracle: Oracle,
    number: PartitionId,
    /// The hash of the last outcome.
    prev: Hex<32>,
    /// Outcomes to be compared: command, position and value.
    waiting: VecDeque<(u64, u64, Vec<u8>)>,
    check: Check,
}

impl Replay {
    fn run(mut self, reader: &Reader, topics: &Topics) -> Result<Check, ReadError> {
        let number = self.number;
        for topic in [&topics.commands, &topics.outcomes] {
            let (low, _) = reader.bounds(topic, number)?;
            if low > 0 {
                self.check.cannot_tell(format!(
                    "partition {number}: {topic} was trimmed to {low}, and a replay starts with \
                     the first record; what is left is compared by the other checks, from the \
                     marker that cold accepted"
                ));
                return Ok(self.check);
            }
        }
        let (_, end) = reader.bounds(&topics.outcomes, number)?;
        let (mut next, mut last, mut decided) = (0, None, 0);
        while self.check.verdict() == Verdict::Proved {
            reader.read(&topics.outcomes, number, next, end, |message| {
                let position = u64::try_from(message.offset()).unwrap_or(0);
                next = position + 1;
                let key = message.key().unwrap_or_default();
                last = self.take(last, position, key, message.payload().unwrap_or_default());
                self.waiting.len() < STRETCH
            })?;
            let Some(upto) = last.filter(|_| !self.waiting.is_empty()) else {
                break;
            };
            reader.read(&topics.commands, number, decided, upto + 1, |message| {
                self.decide(message);
                self.check.verdict() == Verdict::Proved
            })?;
            decided = upto + 1;
            let told = self.check.verdict() == Verdict::Proved;
            if let Some((command, position, _)) = self.waiting.pop_front().filter(|_| told) {
                self.miss(
                    command,
                    format!("the outcome at {position} is of no command"),
                );
            }
        }
        Ok(self.check)
    }

    /// Keeps what comes next in the chain; the command it is of is the last one then.
    fn take(&mut self, last: Option<u64>, position: u64, key: &[u8], value: &[u8]) -> Option<u64> {
        if key == GENESIS_KEY.as_bytes() || key == CLAIM_KEY.as_bytes() {
            return last;
        }
        match OutcomeBody::parse(value) {
            Ok(body) if place(last, body.offset, body.follows) == Place::Next => {
                self.waiting
                    .push_back((body.offset, position, value.to_vec()));
                Some(body.offset)
            }
            // Copies, holes and what cannot be read are the chain's to tell.
            Ok(_) | Err(_) => last,
        }
    }

    fn decide(&mut self, message: &impl Message) {
        let offset = u64::try_from(message.offset()).unwrap_or(0);
        let raw = Raw {
            offset,
            key: message.key(),
            value: message.payload(),
            headers: reader::headers(message),
        };
        let record = self.recognizer.recognize(&raw);
        let record = record.unwrap_or(Record::DeadLetter);
        let at_ms = message.timestamp().to_millis().unwrap_or(0);
        let value = message.payload().unwrap_or_default();
        let outcome = self
            .oracle
            .apply(self.number, offset, at_ms, &record, value);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(misread) => {
                return self.miss(offset, format!("the command was misread: {misread}"));
            }
        };
        let mut expected = Vec::with_capacity(1024);
        let body = OutcomeBody::of(&outcome, self.number, self.prev);
        match body.seal(&mut expected) {
            Ok(hash) => self.prev = hash,
            Err(error) => return self.miss(offset, format!("no outcome can be written: {error}")),
        }
        self.check.examined += 1;
        let found = self
            .waiting
            .pop_front_if(|(command, ..)| *command == offset);
        match found {
            None => self.miss(offset, "the command has no outcome".to_owned()),
            Some((_, _, found)) if found == expected => {}
            Some((_, position, found)) => {
                let differs = difference(&expected, &found);
                self.miss(
                    offset,
                    format!("the outcome at {position} differs: {differs}"),
                );
            }
        }
    }

    fn miss(&mut self, command: u64, what: String) {
        self.check
            .miss(Finding::new(self.number, what).at(Some(command)));
    }
}

/// The first member in which two outcomes differ.
fn difference(expected: &[u8], found: &[u8]) -> String {
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let (expected, found) = (read(expected), read(found));
    match first_difference("", &expected, &found) {
        Some(differs) => differs,
        None => "the members are the same, the bytes are not".to_owned(),
    }
}

/// Hashes come last: they differ by whatever else does.
fn first_difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    let hash = |name: &str| name == "prev" || name == "hash";
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort_by_key(|name| hash(name));
            names.into_iter().find_map(|name| {
                let dot = if path.is_empty() { "" } else { "." };
                let none = &Value::Null;
                let (one, other) = (one.get(name), other.get(name));
                let path = format!("{path}{dot}{name}");
                first_difference(&path, one.unwrap_or(none), other.unwrap_or(none))
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            let mut pairs = pairs.map(|(at, pair)| (format!("{path}[{at}]"), pair));
            pairs.find_map(|(path, (one, other))| first_difference(&path, one, other))
        }
        _ if expected == found => None,
        _ => Some(format!("{path} is {found}, and {expected} is right")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_is_named_by_its_place() {
        let right = json!({"status": "applied", "prev": "aa",
            "entries": [{"amount": "5.00"}, {"amount": "5.00", "terms": {"floor": null}}]});
        let mut wrong = right.clone();
        wrong["prev"] = json!("bb");
        let told = |wrong: &Value| first_difference("", &right, wrong);
        assert_eq!(told(&right), None);
        assert_eq!(told(&wrong).unwrap(), "prev is \"bb\", and \"aa\" is right");
        wrong["entries"][1]["terms"]["floor"] = json!("0.00");
        let place = "entries[1].terms.floor is \"0.00\", and null is right";
        assert_eq!(told(&wrong).unwrap(), place);
        wrong["entries"] = json!([]);
        assert!(told(&wrong).unwrap().starts_with("entries is [], and [{"));
    }
}
