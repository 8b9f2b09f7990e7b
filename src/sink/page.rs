//! One partition's page of the journal: the end of its chain, and the rows to be written.

use uuid::Uuid;

use super::chain::{Chain, Place};
use crate::cold::journal::Part;
use crate::cold::write::{Checkpoint, Move};
use crate::ledger::Rejection;
use crate::wire::record::{CLAIM_KEY, GENESIS_KEY};
use crate::wire::{OutcomeBody, Time, record};

/// One record of `outcomes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) offset: u64,
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// An outcome; whether it refused a reused reference.
    Outcome { reused: bool },
    /// A copy, or behind a hole.
    Skipped(Place),
    /// No outcome, or read before.
    Nothing,
}

/// Why a partition stops: an invariant is broken, and nothing is skipped to stay alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Halt(pub(super) String);

#[derive(Debug)]
pub(super) struct Page {
    pub(super) stored: Checkpoint,
    pub(super) part: Part,
    pub(super) halted: Option<Halt>,
    /// Outcomes since the last write.
    pub(super) outcomes: u64,
    chain: Chain,
    at: Option<Time>,
    /// The next offset to read.
    next: u64,
}

impl Page {
    pub(super) fn new(stored: Checkpoint) -> Self {
        Self {
            part: Part::default(),
            halted: None,
            outcomes: 0,
            chain: Chain::new(stored.command_offset, stored.last_hash),
            at: stored.at,
            next: stored.position,
            stored,
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes a record in. A partition that has halted takes nothing any more.
    pub(super) fn take(&mut self, arrival: Arrival<'_>, generation: Uuid) -> Result<Taken, Halt> {
        if self.halted.is_some() || arrival.offset < self.next {
            return Ok(Taken::Nothing);
        }
        let taken = self.read(arrival, generation);
        match &taken {
            Ok(_) => self.next = arrival.offset + 1,
            Err(halt) => self.halted = Some(halt.clone()),
        }
        taken
    }

    fn read(&mut self, arrival: Arrival<'_>, generation: Uuid) -> Result<Taken, Halt> {
        let halt = |what: String| Halt(format!("offset {} of outcomes {what}", arrival.offset));
        let value = arrival
            .value
            .ok_or_else(|| halt("has no value".to_owned()))?;
        if arrival.key == CLAIM_KEY.as_bytes() {
            return Ok(Taken::Nothing);
        }
        if arrival.key == GENESIS_KEY.as_bytes() {
            let setting = record::genesis(value).map_err(|error| halt(error.to_string()))?;
            return match setting.generation == generation {
                true => Ok(Taken::Nothing),
                false => Err(halt(format!("is of the log {}", setting.generation))),
            };
        }
        let outcome = OutcomeBody::parse(value).map_err(|error| halt(error.to_string()))?;
        if outcome.partition != self.stored.partition {
            return Err(halt(format!("is of partition {}", outcome.partition)));
        }
        match self.chain.place(&outcome) {
            Place::Next => {
                self.chain.extend(outcome.offset, value);
                self.at = Some(outcome.at);
                self.outcomes += 1;
                self.part.add(&outcome);
                let reused = outcome.reason.as_deref() == Some(Rejection::ReferenceReused.slug());
                Ok(Taken::Outcome { reused })
            }
            place @ (Place::Copy | Place::Hole) => Ok(Taken::Skipped(place)),
            Place::Diverged => Err(halt(format!(
                "decides command {} after another history than ours, which ends with {:?}",
                outcome.offset,
                self.chain.last()
            ))),
        }
    }

    /// The step that the next write makes, if there is anything to write.
    pub(super) fn step(&self) -> Option<Move> {
        (self.next > self.stored.position).then(|| Move {
            from: self.stored.position,
            to: Checkpoint {
                position: self.next,
                command_offset: self.chain.last(),
                at: self.at,
                last_hash: self.chain.last().map(|_| self.chain.hash()),
                ..self.stored.clone()
            },
        })
    }

    /// The step is in cold.
    pub(super) fn written(&mut self, to: Checkpoint) {
        assert!(
            to.position == self.next,
            "S3: what is written is what was read"
        );
        self.stored = to;
        self.part = Part::default();
        self.outcomes = 0;
    }

    pub(super) fn behind(&self) -> bool {
        self.next > self.stored.position || self.halted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Partition, Record, Setting};
    use crate::wire::Hex;
    use crate::wire::outcome::{NO_HASH, hash};

    const GENERATION: Uuid = Uuid::from_u128(7);

    fn page(position: u64) -> Page {
        Page::new(Checkpoint {
            partition: 0,
            position,
            command_offset: None,
            at: None,
            marker: None,
            last_hash: None,
        })
    }

    /// Outcomes of a partition in which nothing can be understood.
    fn history(length: u64) -> Vec<Vec<u8>> {
        let mut partition = Partition::new(0, 1);
        let setting = Setting {
            generation: GENERATION,
            horizon_seconds: 1,
        };
        let mut prev: Hex<32> = NO_HASH;
        let mut values = Vec::new();
        for offset in 0..length {
            let record = match offset {
                0 => Record::Genesis(setting),
                _ => Record::DeadLetter,
            };
            let outcome = partition.apply(offset, 5, &record);
            let mut value = Vec::new();
            prev = OutcomeBody::of(&outcome, 0, prev).seal(&mut value).unwrap();
            values.push(value);
        }
        values
    }

    fn arrival<'a>(offset: u64, key: &'static str, value: &'a [u8]) -> Arrival<'a> {
        Arrival {
            offset,
            key: key.as_bytes(),
            value: Some(value),
        }
    }

    #[test]
    fn a_page_steps_over_everything_it_read() {
        let history = history(4);
        let genesis = format!(r#"{{"generation":"{GENERATION}","horizon_seconds":1}}"#);
        let mut page = page(10);
        assert!(page.step().is_none());
        let outcome = Taken::Outcome { reused: false };
        let table = [
            (9, "none", &history[0][..], Taken::Nothing),
            (10, GENESIS_KEY, genesis.as_bytes(), Taken::Nothing),
            (11, CLAIM_KEY, b"whatever a claim says", Taken::Nothing),
            (12, "none", &history[0], outcome),
            (13, "none", &history[2], Taken::Skipped(Place::Hole)),
            (14, "none", &history[1], outcome),
            (15, "none", &history[0], Taken::Skipped(Place::Copy)),
            (16, "none", &history[2], outcome),
        ];
        for (offset, key, value, expected) in table {
            let taken = page.take(arrival(offset, key, value), GENERATION);
            assert_eq!(taken, Ok(expected), "at {offset}");
        }
        let step = page.step().unwrap();
        assert_eq!((step.from, step.to.position), (10, 17));
        assert_eq!(
            (step.to.command_offset, step.to.at),
            (Some(2), Some(Time(5)))
        );
        assert_eq!(step.to.last_hash, Some(hash(&history[2]).0));
        page.written(step.to.clone());
        assert!(page.step().is_none() && !page.behind());

        // A page that starts from there knows where the chain ends.
        let mut next = Page::new(step.to);
        let taken = next.take(arrival(17, "none", &history[3]), GENERATION);
        assert_eq!(taken, Ok(outcome));
    }

    #[test]
    fn a_broken_invariant_stops_the_page() {
        let history = history(2);
        let text = String::from_utf8(history[1].clone()).unwrap();
        let other = r#"{"generation":"00000000-0000-0000-0000-000000000001","horizon_seconds":1}"#;
        let table = [
            ("none", "no JSON".to_owned()),
            ("none", text.replace("\"partition\":0", "\"partition\":1")),
            (
                "none",
                text.replace("\"prev\":\"", "\"prev\":\"00")
                    .replacen("00", "", 2),
            ),
            ("none", text.replace("\"follows\":0", "\"follows\":null")),
            (GENESIS_KEY, other.to_owned()),
        ];
        for (key, value) in table {
            let mut page = page(0);
            page.take(arrival(0, "none", &history[0]), GENERATION)
                .unwrap();
            let halt = page.take(arrival(1, key, value.as_bytes()), GENERATION);
            assert!(halt.is_err(), "{value}");
            assert_eq!(page.next(), 1, "what stopped it is read again");
            let after = page.take(arrival(2, "none", &history[1]), GENERATION);
            assert_eq!(after, Ok(Taken::Nothing));
            assert!(page.behind());
        }
    }
}
