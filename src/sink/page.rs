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
