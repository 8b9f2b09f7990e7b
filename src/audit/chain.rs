//! Chain: every outcome names the command before it and the hash of the outcome before it, and
//! carries its own.
//!
//! A second owner writes copies; they must be the same bytes. A record may also run ahead of the
//! chain, where an append before it was lost: it does not count, the owner after that decides it
//! again, and that too must give the same bytes.

use std::collections::{BTreeMap, VecDeque};

use super::report::{Check, Finding};
use super::runs::Runs;
use crate::ledger::PartitionId;
use crate::ledger::chain::{self, Place};
use crate::wire::outcome::NO_HASH;
use crate::wire::{Hex, OutcomeBody};

/// How many outcomes back a copy can be compared: 16 bytes each.
const KNOWN_MAX: usize = 1 << 20;
/// Most records kept that run ahead of the chain.
const AHEAD_MAX: usize = 1 << 20;
/// How many offsets a finding tells.
const RECENT_MAX: usize = 5;

/// The outcomes of one partition, as far as they follow each other.
#[derive(Debug)]
pub(super) struct Chain {
    partition: PartitionId,
    /// The last command decided, where the outcome of it is, and its hash.
    last: Option<u64>,
    position: u64,
    /// Unknown only until the outcome of the base has been seen.
    hash: Option<Hex<32>>,
    /// The latest outcomes: command offset, and the head of the hash.
    known: VecDeque<(u64, u64)>,
    /// By command offset: position, what it follows, and the head of the hash.
    ahead: BTreeMap<u64, (u64, Option<u64>, u64)>,
    recent: VecDeque<String>,
    decided: Runs,
    copies: u64,
    uncompared: u64,
    check: Check,
}

impl Chain {
    /// A chain that goes on after the command `base`, or starts with the log.
    pub(super) fn new(partition: PartitionId, base: Option<u64>) -> Self {
        Self {
            partition,
            last: base,
            position: 0,
            hash: base.is_none().then_some(NO_HASH),
            known: VecDeque::new(),
            ahead: BTreeMap::new(),
            recent: VecDeque::new(),
            decided: Runs::default(),
            copies: 0,
            uncompared: 0,
            check: Check::new("chain", "outcomes"),
        }
    }

    /// Whether the outcome at `position` is the next one of the chain.
    pub(super) fn admit(&mut self, position: u64, body: &OutcomeBody<'_>, hash: Hex<32>) -> bool {
        self.check.examined += 1;
        if body.partition != self.partition {
            let what = format!(
                "the record at {position} is of partition {}",
                body.partition
            );
            self.miss(body.offset, what);
            return false;
        }
        match chain::place(self.last, body.offset, body.follows) {
            Place::Next => {}
            Place::Copy => {
                self.copy(position, body.offset, hash);
                self.sealed(position, body, hash);
                return false;
            }
            Place::Hole | Place::Fork => {
                if self.ahead.len() < AHEAD_MAX {
                    let record = (position, body.follows, head(hash));
                    self.ahead.insert(body.offset, record);
                }
                return false;
            }
        }
        if self.hash.is_some_and(|known| known != body.prev) {
            let what = format!("the outcome at {position} names another outcome before it");
            self.miss(body.offset, what);
        }
        self.sealed(position, body, hash);
        if let Some((earlier, _, other)) = self.ahead.remove(&body.offset)
            && other != head(hash)
        {
            let what =
                format!("the outcomes at {earlier} and {position} are of one command, and differ");
            self.miss(body.offset, what);
        }
        self.go_on(position, body.offset, hash);
        true
    }

    fn sealed(&mut self, position: u64, body: &OutcomeBody<'_>, hash: Hex<32>) {
        if body.hash != Some(hash) {
            let what = format!("the outcome at {position} does not carry the hash of its bytes");
            self.miss(body.offset, what);
        }
    }

    /// A record that cannot be read at all.
    pub(super) fn unreadable(&mut self, position: u64, why: &str) {
        self.check.examined += 1;
        let finding = Finding::new(
            self.partition,
            format!("the record at {position} cannot be read: {why}"),
        );
        let finding = finding.after(self.history());
        self.check.miss(finding);
    }

    fn copy(&mut self, position: u64, offset: u64, hash: Hex<32>) {
        if self.last == Some(offset) && self.hash.is_none() {
            self.hash = Some(hash);
            return;
        }
        self.copies += 1;
        let at = self.known.partition_point(|(known, _)| *known < offset);
        match self.known.get(at) {
            Some((known, original)) if *known == offset => {
                if *original != head(hash) {
                    let what = format!("the copy at {position} differs from the first outcome");
                    self.miss(offset, what);
                }
            }
            Some(_) | None => self.uncompared += 1,
        }
    }

    fn go_on(&mut self, position: u64, offset: u64, hash: Hex<32>) {
        if self.known.len() == KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back((offset, head(hash)));
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent
            .push_back(format!("command {offset}: outcome at {position}"));
        self.decided.push(offset);
        self.last = Some(offset);
        self.position = position;
        self.hash = Some(hash);
    }

    fn miss(&mut self, offset: u64, what: String) {
        let finding = Finding::new(self.partition, what).at(Some(offset));
        let finding = finding.after(self.history());
        self.check.miss(finding);
    }

    /// The last command decided.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Where the last outcome is, and its hash.
    pub(super) fn end(&self) -> (u64, Option<Hex<32>>) {
        (self.position, self.hash)
    }

    /// The latest outcomes, for a finding.
    pub(super) fn history(&self) -> Vec<String> {
        self.recent.iter().cloned().collect()
    }

    /// The commands decided, and what the chain's own check found.
    pub(super) fn finish(mut self) -> (Runs, Check) {
        let last = self.last;
        let passed = self.ahead.keys().find(|offset| last > Some(**offset));
        if let Some(offset) = passed.copied() {
            let what = "an outcome of a command that the chain passes over".to_owned();
            self.miss(offset, what);
        }
        let hanging = self.ahead.iter().find(|(offset, _)| last < Some(**offset));
        if let Some((offset, (position, follows, _))) = hanging.map(|(o, record)| (*o, *record)) {
            let count = self.ahead.len();
            let what = format!(
                "the chain ends with command {}; the outcome at {position} follows {}, and {count} \
                 hang in the air",
                shown(last),
                shown(follows)
            );
            self.miss(offset, what);
        }
        let (partition, copies, uncompared) = (self.partition, self.copies, self.uncompared);
        if copies > 0 {
            self.check.note(format!(
                "partition {partition}: {copies} copies by other owners, {uncompared} of them of \
                 outcomes too old to compare"
            ));
        }
        (self.decided, self.check)
    }
}

fn shown(offset: Option<u64>) -> String {
    offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string())
}

fn head(hash: Hex<32>) -> u64 {
    let head = hash.0.iter().take(8);
    head.fold(0, |word, byte| word << 8 | u64::from(*byte))
}
