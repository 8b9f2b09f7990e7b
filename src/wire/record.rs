//! Keys and headers of the topics' records, and the recognise phase: bytes in, [`Record`] out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::{CommandBody, Decoder};
use super::invalid::{Invalid, InvalidKind};
use super::leg::{self, Secret};
use super::outcome::GenesisBody;
use super::scalar::Time;
use crate::ledger::command::POSTINGS_MAX;
use crate::ledger::id::DEFAULT_KEY;
use crate::ledger::walk::Walk;
use crate::ledger::{
    BalanceId, Body, Command, PartitionId, Record, ReplyTo, Setting, TransactionId,
};

/// The key of a partition's first record on `commands`, `outcomes` and `snapshots`.
pub const GENESIS_KEY: &str = "genesis";
/// The key of a record of `commands` that raises the rules; a seal makes it one.
pub const RULES_KEY: &str = "rules";
/// The key of a claim record on `outcomes`.
pub const CLAIM_KEY: &str = "claim";
/// The key of an outcome on a record without a deciding balance.
pub const NO_BALANCE_KEY: &str = "none";
/// Spring's request/reply headers.
pub const CORRELATION_HEADER: &str = "kafka_correlationId";
pub const REPLY_TOPIC_HEADER: &str = "kafka_replyTopic";
pub const REPLY_PARTITION_HEADER: &str = "kafka_replyPartition";
/// W3C trace context.
pub const TRACE_HEADER: &str = "traceparent";

/// The longest correlation id, in bytes.
pub const CORRELATION_BYTES_MAX: usize = 256;

/// The largest command value, in bytes.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of a command times the partitions it passes: the outcome at the last of them carries
/// a copy of it to each of the others, and has to fit into one record.
pub const WALK_BYTES_MAX: usize = 1536 * 1024;

/// What reversing a command may add to it, at all its stops together: a record of 2 MiB still takes
/// the outcome.
const REVERSAL_BYTES_MORE: usize = 128 * 1024;

/// What writing a command in its own words may add to it: scales of amounts, names of defaults.
const CANONICAL_BYTES_MORE: usize = 4 * 1024;

/// What one posting of a command is at most, in the processor's words: two names of striped
/// accounts, the digits of an amount, an asset.
const POSTING_BYTES_MAX: usize = 384;

/// The value of a claim record on `outcomes`: its offset is the epoch of the claimant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimBody {
    pub partition: PartitionId,
    /// Which process claims; for operators only.
    pub instance: String,
    pub generation: Uuid,
    /// The claimant's clock; for operators only.
    pub at: Time,
}

/// The value of a record that raises the rules.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesBody {
    /// By which every later record of its partition is decided.
    pub rules: u32,
}

/// The key of a balance's record on `snapshots`.
pub fn snapshot_key(id: BalanceId) -> String {
    format!("balance:{id}")
}

/// The key of a hold's record on `snapshots`.
pub fn hold_key(id: TransactionId) -> String {
    format!("hold:{id}")
}

/// The key of a partition's marker on `snapshots`.
pub fn marker_key(partition: PartitionId) -> String {
    format!("marker:{partition}")
}

/// The headers of a record of `commands` that mean something here. Of a name that repeats, the
/// last one counts; all others are ignored, CloudEvents' among them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    pub correlation: Option<&'a [u8]>,
    pub reply_topic: Option<&'a [u8]>,
    pub reply_partition: Option<&'a [u8]>,
    pub trace: Option<&'a [u8]>,
    pub leg: Option<&'a [u8]>,
    pub tick: Option<&'a [u8]>,
    pub seal: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    pub fn of(pairs: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            match name {
                CORRELATION_HEADER => headers.correlation = value,
                REPLY_TOPIC_HEADER => headers.reply_topic = value,
                REPLY_PARTITION_HEADER => headers.reply_partition = value,
                TRACE_HEADER => headers.trace = value,
                leg::HEADER => headers.leg = value,
                leg::TICK_HEADER => headers.tick = value,
                leg::SEAL_HEADER => headers.seal = value,
                _ => {}
            }
        }
        headers
    }
}

/// One record of `commands` as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    pub offset: u64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// The recognise phase of one partition.
#[derive(Debug)]
pub struct Recognizer {
    decoder: Decoder,
    secret: Secret,
    /// Topics that replies may be sent to.
    reply_topics: Vec<String>,
    here: PartitionId,
    count: PartitionId,
}

impl Recognizer {
    pub fn new(
        secret: Secret,
        reply_topics: Vec<String>,
        here: PartitionId,
        count: PartitionId,
    ) -> Self {
        Self {
            decoder: Decoder::of(count),
            secret,
            reply_topics,
            here,
            count,
        }
    }

    /// What the record asks, or why it can never be understood.
    pub fn recognize(&mut self, raw: &Raw<'_>) -> Result<Record, Invalid> {
        let missing = |kind, field| Invalid::new(kind, field, "is missing");
        let value = raw
            .value
            .ok_or_else(|| missing(InvalidKind::ValueMissing, "value"))?;
        let key = raw
            .key
            .ok_or_else(|| missing(InvalidKind::KeyMissing, "key"))?;
        if raw.offset == 0 && key == GENESIS_KEY.as_bytes() {
            return genesis(value).map(Record::Genesis);
        }
        if key == RULES_KEY.as_bytes() {
            return self.rules(key, value, raw.headers.seal.unwrap_or_default());
        }
        if raw.headers.leg.is_some() {
            let seal = raw.headers.seal.unwrap_or_default();
            let way = (self.here, self.count);
            let leg = leg::open(&mut self.decoder, &self.secret, key, value, seal, way)?;
            return Ok(Record::Leg(leg));
        }
        if value.len() > COMMAND_BYTES_MAX {
            let detail = format!(
                "has {} bytes, the limit is {COMMAND_BYTES_MAX}",
                value.len()
            );
            return Err(Invalid::new(InvalidKind::PayloadTooLarge, "value", detail));
        }
        let ticks = raw.headers.tick.is_some();
        if ticks {
            let seal = raw.headers.seal.unwrap_or_default();
            leg::verify(&self.secret, key, value, seal)?;
        }
        let reply = self.reply(&raw.headers)?;
        let trace = raw.headers.trace.and_then(trace);
        let command = self.decoder.parse(value, reply, trace)?;
        if matches!(command.body, Body::Expire(_)) != ticks {
            let detail = "expire comes from processors only, and nothing else does";
            return Err(Invalid::new(InvalidKind::MalformedRequest, "type", detail));
        }
        bound_walk(value.len(), &command, self.count)?;
        let mut text = Uuid::encode_buffer();
        let decider = command.decider().uuid();
        let decider = decider.as_hyphenated().encode_lower(&mut text);
        if key != decider.as_bytes() && !names_other_side(&command, key) {
            let detail = format!("is not {decider}, the balance that decides");
            return Err(Invalid::new(InvalidKind::KeyMismatch, "key", detail));
        }
        Ok(Record::Command(Arc::new(command)))
    }

    /// The rules that a sealed record asks for, known here or not.
    fn rules(&self, key: &[u8], value: &[u8], seal: &[u8]) -> Result<Record, Invalid> {
        if !self.secret.verify(key, value, seal) {
            let detail = "is not of one who has the secret";
            return Err(Invalid::new(InvalidKind::KeyMismatch, "key", detail));
        }
        let body: Result<RulesBody, _> = serde_json::from_slice(value);
        body.map(|body| Record::Rules(body.rules))
            .map_err(|error| Invalid::new(InvalidKind::MalformedRequest, "", error.to_string()))
    }

    /// Where the asker wants the outcome, if the record asks for one at all.
    pub fn reply(&self, headers: &Headers<'_>) -> Result<Option<ReplyTo>, Invalid> {
        let (Some(correlation), Some(topic)) = (headers.correlation, headers.reply_topic) else {
            return Ok(None);
        };
        let topic = std::str::from_utf8(topic).unwrap_or_default();
        if !self.reply_topics.iter().any(|allowed| allowed == topic) {
            let detail = "names a topic that replies may not be sent to";
            return Err(Invalid::new(
                InvalidKind::ReplyNotAllowed,
                REPLY_TOPIC_HEADER,
                detail,
            ));
        }
        let malformed =
            |header, detail| Err(Invalid::new(InvalidKind::MalformedRequest, header, detail));
        let partition = match headers.reply_partition.map(<[u8; 4]>::try_from) {
            None => None,
            Some(Ok(bytes)) if bytes[0] < 0x80 => Some(i32::from_be_bytes(bytes)),
            Some(Ok(_) | Err(_)) => {
                return malformed(
                    REPLY_PARTITION_HEADER,
                    "must be 4 bytes, big endian, positive",
                );
            }
        };
        if correlation.len() > CORRELATION_BYTES_MAX {
            return malformed(CORRELATION_HEADER, "must be at most 256 bytes");
        }
        Ok(Some(ReplyTo {
            topic: topic.into(),
            partition,
            correlation: correlation.into(),
        }))
    }
}

/// Refuses a command of `raw` bytes that is too large for those of `count` partitions it passes.
/// Legs carry it with its splits written out, so that is what counts.
pub fn bound_walk(raw: usize, command: &Command, count: PartitionId) -> Result<(), Invalid> {
    let original = command.reverse().map(|reverse| &*reverse.original);
    let limit = match original {
        // What could be done can be reversed: there is room for a note of its own.
        Some(_) => WALK_BYTES_MAX + REVERSAL_BYTES_MORE,
        None => WALK_BYTES_MAX,
    };
    // How many partitions a hold touches is not said by a command on it.
    let postings_max = match command.target() {
        Some(_) => POSTINGS_MAX,
        None => original.unwrap_or(command).postings().len(),
    };
    let stops_max = postings_max * 2;
    let bytes_max = raw + CANONICAL_BYTES_MORE + postings_max * POSTING_BYTES_MAX;
    if bytes_max * stops_max.min(count.into()) <= limit {
        return Ok(());
    }
    let stops = match command.target() {
        Some(_) => stops_max.min(count.into()),
        None => Walk::of(command, count).stops().len(),
    };
    let canonical = serde_json::to_vec(&CommandBody::of(command))
        .map_err(|error| Invalid::new(InvalidKind::MalformedRequest, "", error.to_string()))?;
    let bytes = raw.max(canonical.len()) + CANONICAL_BYTES_MORE;
    if bytes * stops <= limit {
        return Ok(());
    }
    let detail = format!(
        "is too large for the {stops} partitions it passes; leave something out, or split it"
    );
    Err(Invalid::new(InvalidKind::PayloadTooLarge, "value", detail))
}

/// Whether a record whose first source is striped has the key of the other side, or of the account
/// as a whole: nobody needs to know a stripe's id.
fn names_other_side(command: &Command, key: &[u8]) -> bool {
    let original = command.reverse().map(|reverse| &*reverse.original);
    let command = original.unwrap_or(command);
    let Some(posting) = command.postings().first() else {
        return false;
    };
    let stripe = command.stripe(posting.source.id);
    stripe.is_some_and(|stripe| {
        let whole = BalanceId::of(
            &command.ledger,
            &stripe.account,
            &posting.asset,
            DEFAULT_KEY,
        );
        let ids = [posting.destination.id, whole];
        ids.iter().any(|id| key == id.to_string().as_bytes())
    })
}

/// Reads the value of a genesis record.
pub fn genesis(value: &[u8]) -> Result<Setting, Invalid> {
    let body: GenesisBody = serde_json::from_slice(value)
        .map_err(|error| Invalid::new(InvalidKind::MalformedRequest, "", error.to_string()))?;
    Ok(Setting {
        generation: body.generation,
        horizon_seconds: body.horizon_seconds,
    })
}

/// A `traceparent` of the W3C form, else nothing: a broken trace never costs a transaction.
fn trace(bytes: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fits = text.len() == 55
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    fits.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::{Asset, Carried, Leg, Partition, Step, TransactionId, partition_of};
    use crate::wire::outcome::{NO_HASH, OutcomeBody};

    const COUNT: PartitionId = 256;
    const ASSET: &str = "USD";
    /// A long name, and amounts that are written in 20 characters.
    const LONG_ASSET: &str = "ABCDEFGHIJKLMNOP/18";
    const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;

    fn balance(partition: PartitionId, stem: &str) -> (BalanceId, String) {
        balance_in(ASSET, partition, stem)
    }

    fn balance_in(asset: &str, partition: PartitionId, stem: &str) -> (BalanceId, String) {
        let asset = Asset::parse(asset).unwrap();
        let names = (0..).map(|n| format!("{stem}{n}"));
        let mut ids = names.map(|name| {
            let id = BalanceId::of("default/main", &name, &asset, "default");
            (id, name)
        });
        ids.find(|(id, _)| partition_of(*id, COUNT) == partition)
            .unwrap()
    }

    /// A transfer of a hundred postings round and round `stops` partitions, with all the notes
    /// there may be.
    fn wide(stops: PartitionId) -> serde_json::Value {
        let postings = (0..100).map(|n| {
            let source = balance(n % stops, "source").0.to_string();
            let destination = balance((n + 1) % stops, "destination").0.to_string();
            json!({"source": source, "destination": destination, "amount": "1.00", "asset": "USD"})
        });
        json!({"reference": "wide", "type": "transfer", "ledger": "main",
            "postings": postings.collect::<Vec<_>>(), "metadata": notes(15)})
    }

    fn notes(count: usize) -> serde_json::Value {
        let members = (0..count).map(|n| (format!("key-{n}"), json!("x".repeat(512))));
        members.collect::<serde_json::Map<_, _>>().into()
    }

    /// A transfer of one posting, from the first of `stops` partitions to one balance in each of
    /// the others.
    fn split(stops: PartitionId, notes: serde_json::Value) -> serde_json::Value {
        let shares = (1..stops).map(|n| {
            let (id, _) = balance_in(LONG_ASSET, n, "destination");
            json!({"balance": id.to_string(), "amount": "1"})
        });
        let source = balance_in(LONG_ASSET, 0, "source").0.to_string();
        let posting = json!({"source": source, "destination": shares.collect::<Vec<_>>(),
            "amount": (stops - 1).to_string(), "asset": LONG_ASSET});
        json!({"reference": "wide", "type": "transfer", "ledger": "main",
            "postings": [posting], "metadata": notes})
    }

    fn recognize(
        here: PartitionId,
        key: BalanceId,
        body: &serde_json::Value,
    ) -> Result<Record, Invalid> {
        let secret = Secret::new("a secret of the tests").unwrap();
        let mut recognizer = Recognizer::new(secret, Vec::new(), here, COUNT);
        let (key, value) = (key.to_string(), body.to_string());
        recognizer.recognize(&Raw {
            offset: 1,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Headers::default(),
        })
    }

    /// The bytes of the outcome at the last of `stops` partitions, which settles all the others.
    fn last_outcome(
        stops: PartitionId,
        name: &str,
        json: &serde_json::Value,
    ) -> Result<usize, Invalid> {
        let here = stops - 1;
        let balance = |partition, stem| balance_in(name, partition, stem);
        let record = recognize(0, balance(0, "source").0, json)?;
        let Record::Command(command) = record else {
            panic!("a command");
        };
        let setting = Setting {
            generation: Uuid::from_u128(7),
            horizon_seconds: 600,
        };
        let mut partition = Partition::new(here, COUNT);
        partition.apply(0, 1, &Record::Genesis(setting));
        for (at, stem) in [(1, "source"), (2, "destination")] {
            let (id, account) = balance(here, stem);
            let open = json!({"reference": account, "type": "open", "ledger": "main",
                "open": {"account": account, "asset": name, "floor": null}});
            partition.apply(at, 1, &recognize(here, id, &open)?);
        }
        let asset = Asset::parse(name).unwrap();
        let debits = command.postings().iter();
        let before = debits.filter(|posting| partition_of(posting.source.id, COUNT) != here);
        let amount = before.map(|posting| posting.amount.minor()).sum();
        let transaction = TransactionId::new(0, 1, setting.generation);
        let step = Step::Visit {
            transaction,
            carried: vec![Carried { asset, amount }],
            command,
            portions: Vec::new(),
        };
        let leg = Leg {
            from: stops - 2,
            to: here,
            number: 1,
            key: balance(here, "source").0,
            rules: crate::ledger::RULES_FIRST,
            step,
        };
        let outcome = partition.apply(3, 1, &Record::Leg(leg));
        assert_eq!(
            outcome.decision.status(),
            "applied",
            "{:?}",
            outcome.decision
        );
        let body = OutcomeBody::of(&outcome, here, NO_HASH);
        Ok(serde_json::to_vec(&body).unwrap().len())
    }

    /// An outcome that does not fit into a record would hold up its partition for ever.
    #[test]
    fn the_outcome_of_the_widest_walk_fits_into_a_record() {
        let outcome = |stops| last_outcome(stops, ASSET, &wide(stops));
        let refused = outcome(100).unwrap_err();
        assert_eq!(refused.kind, InvalidKind::PayloadTooLarge);
        let widest = (2..100).rev().find_map(|stops| outcome(stops).ok());
        let bytes = widest.unwrap();
        assert!((1_000_000..RECORD_BYTES_MAX).contains(&bytes), "{bytes}");
    }

    /// A split is half as long as the postings that it comes to, and those are what a leg carries.
    #[test]
    fn the_outcome_of_the_widest_split_fits_into_a_record() {
        let outcome = |stops, count| last_outcome(stops, LONG_ASSET, &split(stops, notes(count)));
        let refused = outcome(101, 0).unwrap_err();
        assert_eq!(refused.kind, InvalidKind::PayloadTooLarge);
        for count in [0, 15] {
            let widest = (1..=101)
                .rev()
                .step_by(10)
                .find_map(|stops| outcome(stops, count).ok());
            let bytes = widest.unwrap();
            assert!((1_000_000..RECORD_BYTES_MAX).contains(&bytes), "{bytes}");
        }
    }
}
