//! Decides every command again, from the commands topic alone: by the oracle, which shares no code
//! with the core, and by the core, which must agree.

use std::collections::HashMap;

use anyhow::{Result, bail};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers as _};
use steelyard::ledger::{Fingerprint, Partition, PartitionId, Record};
use steelyard::log::reader::Reader;
use steelyard::oracle::Oracle;
use steelyard::wire::outcome::{NO_HASH, OutcomeBody};
use steelyard::wire::record::{Headers, Raw, Recognizer};
use steelyard::wire::{Hex, Secret};
use uuid::Uuid;

use super::decisions::{Decision, Payment, note_decision, note_payment};
use super::holds::Holds;
use crate::drive::book::Amounts;
use crate::world::World;

/// A command and what it had to become.
#[derive(Clone, Debug)]
pub struct Decided {
    pub offset: u64,
    /// The command's value.
    pub command: Vec<u8>,
    /// The outcome's value.
    pub outcome: Vec<u8>,
}

/// What the commands alone say.
#[derive(Debug, Default)]
pub struct Expected {
    /// By partition, in the order of the log.
    pub decided: Vec<Vec<Decided>>,
    /// The last state.
    pub partitions: Vec<Partition>,
    pub decisions: HashMap<String, Decision>,
    pub payments: HashMap<(String, Fingerprint), Payment>,
    /// The amounts of a balance at a version.
    pub versions: HashMap<(Uuid, u64), Amounts>,
    pub holds: Holds,
}

impl Expected {
    pub fn count(&self) -> u64 {
        self.decided
            .iter()
            .map(|decided| decided.len() as u64)
            .sum()
    }

    /// The outcomes up to a command, for a report: at most `lines` of them.
    pub fn history(&self, partition: PartitionId, offset: u64, lines: usize) -> String {
        let decided = self.decided.get(usize::from(partition));
        let before = decided.into_iter().flatten();
        let before: Vec<_> = before.take_while(|it| it.offset <= offset).collect();
        let from = before.len().saturating_sub(lines);
        let texts = before[from..].iter().map(|it| {
            let command = String::from_utf8_lossy(&it.command);
            let outcome = String::from_utf8_lossy(&it.outcome);
            format!("  {partition}/{} {command}\n    -> {outcome}\n", it.offset)
        });
        texts.collect()
    }
}

/// Reads all commands and decides them.
///
/// # Errors
/// If the log cannot be read, or the core refuses to fold what it decided.
pub fn replay(world: &World) -> Result<Expected> {
    let (log, topic) = (world.log(), world.log().topics().commands);
    let reader = Reader::open(&log)?;
    let mut expected = Expected::default();
    let mut oracle = Oracle::new(world.partitions);
    for (partition, (low, high)) in (0..).zip(reader.all_bounds(&topic)?) {
        if low != 0 {
            bail!("partition {partition} was trimmed to {low}: nothing can be proved");
        }
        let mut deciding = Deciding::new(world, partition)?;
        let mut failed = None;
        reader.read(&topic, partition, 0, high, |message| {
            failed = deciding.one(message, &mut oracle, &mut expected).err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        expected.decided.push(deciding.decided);
        expected.partitions.push(deciding.partition);
    }
    Ok(expected)
}

struct Deciding {
    partition: Partition,
    recognizer: Recognizer,
    prev: Hex<32>,
    decided: Vec<Decided>,
}

impl Deciding {
    fn new(world: &World, partition: PartitionId) -> Result<Self> {
        let secret = Secret::new(&world.stack.secret).map_err(anyhow::Error::msg)?;
        let replies = vec![world.answers(), world.log().topics().replies];
        Ok(Self {
            partition: Partition::new(partition, world.partitions),
            recognizer: Recognizer::new(secret, replies, partition, world.partitions),
            prev: NO_HASH,
            decided: Vec::new(),
        })
    }

    fn one(
        &mut self,
        message: &BorrowedMessage<'_>,
        oracle: &mut Oracle,
        into: &mut Expected,
    ) -> Result<()> {
        let offset = u64::try_from(message.offset())?;
        let headers = message.headers();
        let pairs = headers.into_iter().flat_map(|headers| headers.iter());
        let headers = Headers::of(pairs.map(|header| (header.key, header.value)));
        let raw = Raw {
            offset,
            key: message.key(),
            value: message.payload(),
            headers,
        };
        let record = self.recognizer.recognize(&raw);
        let record = record.unwrap_or(Record::DeadLetter);
        note_payment(&record, into);
        let at_ms = message.timestamp().to_millis().unwrap_or(0);
        let value = message.payload().unwrap_or_default();
        let outcome = oracle.apply(self.partition.id(), offset, at_ms, &record, value)?;
        let core = self.partition.apply(offset, at_ms, &record);
        if core != outcome {
            bail!("the core decides {core:?}, the oracle {outcome:?}");
        }
        let body = OutcomeBody::of(&outcome, self.partition.id(), self.prev);
        let mut value = Vec::new();
        let sealed = body.seal(&mut value)?;
        let final_at = self.partition.id();
        into.holds.note(final_at, &outcome);
        note_decision(final_at, &outcome, into)?;
        for entry in &body.entries {
            let word = |money| {
                let text = serde_json::to_value(money)?;
                anyhow::Ok(text.as_str().unwrap_or_default().to_owned())
            };
            let amounts = [
                word(entry.posted)?,
                word(entry.held)?,
                word(entry.incoming)?,
            ];
            into.versions
                .insert((entry.balance, entry.version), amounts);
        }
        self.prev = sealed;
        self.decided.push(Decided {
            offset,
            command: message.payload().unwrap_or_default().to_vec(),
            outcome: value,
        });
        Ok(())
    }
}
