//! One partition's outcomes, record by record: everything that is proved by reading them once.

use std::collections::BTreeMap;

use super::books::Books;
use super::chain::Chain;
use super::hot::Values;
use super::once::Once;
use super::report::{Check, Finding};
use super::runs::Runs;
use super::transit::Shore;
use crate::ledger::{Decision, Outcome, Partition, PartitionId, Setting};
use crate::wire::outcome::{OutcomeBody, hash};
use crate::wire::record::{CLAIM_KEY, ClaimBody, GENESIS_KEY};
use crate::wire::{Decoder, LegRecord, MarkerBody};

/// How many transactions got one status and reason.
pub(super) type Statuses = BTreeMap<(String, Option<String>), u64>;

/// What has been read so far.
#[derive(Debug)]
pub(super) struct Scan {
    partition: PartitionId,
    decoder: Decoder,
    pub(super) chain: Chain,
    pub(super) books: Books,
    shore: Option<Shore>,
    once: Once,
    /// Hot's values, once they have been read: some are newer than the state then was.
    pub(super) hot: Option<Values>,
    pub(super) statuses: Statuses,
    /// Where cold's marker says its outcome is, and which command's outcome was there.
    pub(super) marker: Option<(u64, Option<u64>)>,
    /// The offset of the latest claim record.
    newest_claim: Option<u64>,
    /// The receiver's side of transit is taken before the record at this position.
    cut: u64,
    transit: Check,
    /// What the log's first record set.
    setting: Option<Setting>,
}

/// What a whole partition proved, and what the proofs over several partitions need of it.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) partition: PartitionId,
    pub(super) checks: Vec<Check>,
    pub(super) decided: Runs,
    pub(super) shore: Option<Shore>,
    pub(super) once: Once,
    pub(super) setting: Option<Setting>,
}

impl Scan {
    /// Reads a log from its start.
    pub(super) fn new(partition: PartitionId, count: PartitionId, cut: u64) -> Self {
        let books = Books::new(partition, count);
        Self::with(partition, None, books, cut)
    }

    /// Reads a log that was trimmed, from the outcome that cold's marker names.
    pub(super) fn from_base(
        partition: PartitionId,
        marker: &MarkerBody,
        books: Books,
        cut: u64,
    ) -> Self {
        Self::with(partition, Some(marker.command_offset), books, cut)
    }

    fn with(partition: PartitionId, base: Option<u64>, books: Books, cut: u64) -> Self {
        Self {
            partition,
            decoder: Decoder::new(),
            chain: Chain::new(partition, base),
            shore: books.state().map(Shore::new),
            setting: books.state().and_then(Partition::setting),
            books,
            once: Once::default(),
            hot: None,
            statuses: Statuses::new(),
            marker: None,
            newest_claim: None,
            cut,
            transit: Check::new("transit", "pairs"),
        }
    }

    /// Takes the next record of the partition.
    pub(super) fn record(&mut self, position: u64, key: &[u8], value: &[u8]) {
        if position >= self.cut {
            self.receive();
        }
        if key == GENESIS_KEY.as_bytes() {
            return;
        }
        if key == CLAIM_KEY.as_bytes() {
            return self.claim(position, value);
        }
        let body = match OutcomeBody::parse(value) {
            Ok(body) => body,
            Err(error) => return self.chain.unreadable(position, &error.to_string()),
        };
        if let Some((_, found)) = self.marker.as_mut().filter(|(at, _)| *at == position) {
            *found = Some(body.offset);
        }
        if !self.chain.admit(position, &body, hash(value)) {
            return;
        }
        match body.to_ledger(&mut self.decoder) {
            Ok(outcome) => self.outcome(position, outcome, &body.legs),
            Err(error) => self
                .books
                .stop(format!("the outcome at {position} cannot be read: {error}")),
        }
    }

    fn claim(&mut self, position: u64, value: &[u8]) {
        self.newest_claim = Some(position);
        let claim: Result<ClaimBody, _> = serde_json::from_slice(value);
        let log = self.setting;
        let foreign = |claim: &ClaimBody| log.is_some_and(|s| s.generation != claim.generation);
        match claim {
            Ok(claim) if foreign(&claim) => {
                let why = format!("a claim of another log, {}", claim.generation);
                self.chain.unreadable(position, &why);
            }
            Ok(_) => {}
            Err(error) => self.chain.unreadable(position, &error.to_string()),
        }
    }

    fn outcome(&mut self, position: u64, mut outcome: Outcome, legs: &[LegRecord]) {
        self.once.add(self.partition, &outcome);
        self.setting = outcome.effects.setting.or(self.setting);
        // The state need not remember references: repeats are decided already.
        let expires = outcome.decision == Decision::Expired;
        if outcome.effects.mark.take().is_some() || expires {
            let reason = outcome.decision.reason().map(str::to_owned);
            let status = (outcome.decision.status().to_owned(), reason);
            *self.statuses.entry(status).or_default() += 1;
        }
        self.books.fold(&outcome, || self.chain.history());
        if let Some(shore) = &mut self.shore {
            for leg in legs {
                if let Err(why) = shore.send(leg) {
                    let what = format!("leg {} to {} {why}", leg.number, leg.to);
                    let finding = Finding::new(self.partition, what).at(Some(outcome.offset));
                    let history = vec![format!("outcome at {position}")];
                    self.transit.miss(finding.after(history));
                }
            }
        }
        if let (Some(hot), Some(state)) = (&mut self.hot, self.books.state()) {
            let ids = outcome.effects.entries.iter().map(|entry| entry.balance);
            hot.folded(state, ids);
        }
    }

    fn receive(&mut self) {
        if let (Some(shore), Some(state)) = (&mut self.shore, self.books.state()) {
            shore.receive(state);
        }
    }

    /// The latest epoch that anybody has claimed.
    pub(super) fn newest_claim(&self) -> Option<u64> {
        self.newest_claim
    }

    /// Ends at the end of the log as it then is.
    pub(super) fn finish(mut self) -> Scanned {
        self.receive();
        let (decided, chain) = self.chain.finish();
        let (state, [fold, versions, zero]) = self.books.finish();
        if self.shore.is_none() || state.is_none() {
            let why = format!("partition {}: the fold stopped", self.partition);
            self.transit.cannot_tell(why);
        }
        Scanned {
            partition: self.partition,
            checks: vec![chain, fold, versions, zero, self.transit],
            decided,
            shore: self.shore.filter(|_| state.is_some()),
            once: self.once,
            setting: self.setting,
        }
    }
}
