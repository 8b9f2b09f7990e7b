//! Hot equals the outcomes: every value is what some outcome left, and none is older than the
//! state where hot stood before it was read.
//!
//! A live owner moves on while its values are read. A value that is newer than the state so far
//! waits for the outcome that gives its version, and is compared there.

use std::collections::HashMap;

use super::compare::differences;
use super::report::{Check, Finding};
use crate::ledger::{BalanceId, Partition, PartitionId};
use crate::wire::BalanceBody;

/// Hot's values of one partition.
#[derive(Debug)]
pub(super) struct Values {
    partition: PartitionId,
    /// Newer than the state so far: version and JSON.
    waiting: HashMap<BalanceId, (u64, Vec<u8>)>,
    /// Not in hot, with the version that cold must have.
    pub(super) absent: Vec<(BalanceId, u64)>,
    /// Older than the state: to be read once more.
    pub(super) older: Vec<BalanceId>,
    newest_epoch: u64,
    check: Check,
}

impl Values {
    pub(super) fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            waiting: HashMap::new(),
            absent: Vec::new(),
            older: Vec::new(),
            newest_epoch: 0,
            check: Check::new("hot", "values"),
        }
    }

    /// Takes the value of `id`; `state` is as of a command that hot had reached before.
    pub(super) fn take(&mut self, state: &Partition, id: BalanceId, value: Option<Vec<u8>>) {
        let version = state.balance(id).map(|balance| balance.state.version);
        let Some(value) = value else {
            self.absent.extend(version.map(|version| (id, version)));
            return;
        };
        let stored = match split(&value) {
            Ok((stored, epoch)) => {
                self.newest_epoch = self.newest_epoch.max(epoch);
                stored
            }
            Err(why) => return self.miss(state, id, format!("in hot {why}")),
        };
        match version {
            Some(version) if stored < version => self.older.push(id),
            Some(version) if stored == version => {
                self.check.examined += 1;
                self.compare(state, id, &value);
            }
            Some(_) | None => {
                self.check.examined += 1;
                self.waiting.insert(id, (stored, value));
            }
        }
    }

    /// What is older even when it is read once more is a difference.
    pub(super) fn insist(&mut self, state: &Partition) {
        for id in std::mem::take(&mut self.older) {
            self.check.examined += 1;
            let version = state.balance(id).map_or(0, |balance| balance.state.version);
            let what = format!("in hot is older than version {version}, which the outcomes give");
            self.miss(state, id, what);
        }
    }

    /// Takes the epoch that hot's position names.
    pub(super) fn epoch(&mut self, epoch: Option<u64>) {
        self.newest_epoch = self.newest_epoch.max(epoch.unwrap_or(0));
    }

    /// Compares what waited for the outcome that has just been folded.
    pub(super) fn folded(&mut self, state: &Partition, ids: impl Iterator<Item = BalanceId>) {
        if self.waiting.is_empty() {
            return;
        }
        for id in ids {
            let version = state.balance(id).map(|balance| balance.state.version);
            let due = self
                .waiting
                .get(&id)
                .is_some_and(|(stored, _)| Some(*stored) <= version);
            if due && let Some((stored, value)) = self.waiting.remove(&id) {
                match version == Some(stored) {
                    true => self.compare(state, id, &value),
                    false => {
                        let what = format!("in hot is at version {stored}, which no outcome left");
                        self.miss(state, id, what);
                    }
                }
            }
        }
    }

    /// `cold` says which version it has now of a balance that is not in hot.
    pub(super) fn in_cold(&mut self, id: BalanceId, version: u64, cold: Option<i64>) {
        self.check.examined += 1;
        let cold = cold.and_then(|cold| u64::try_from(cold).ok());
        if cold.is_none_or(|cold| cold < version) {
            let cold = cold.map_or_else(|| "no version".to_owned(), |cold| cold.to_string());
            let what = format!("is not in hot at version {version}, and cold has {cold}");
            self.check.miss(Finding::new(self.partition, what).of(id));
        }
    }

    /// The check itself, for what is not about one value.
    pub(super) fn check(&mut self) -> &mut Check {
        &mut self.check
    }

    /// Ends at the end of the log; `claimed` is the newest epoch there can be.
    pub(super) fn finish(mut self, claimed: u64) -> Check {
        if let Some((id, (stored, _))) = self.waiting.iter().next() {
            let (id, stored) = (*id, *stored);
            let more = self.waiting.len() - 1;
            let what =
                format!("in hot is at version {stored}, which no outcome gives; {more} more");
            self.check.miss(Finding::new(self.partition, what).of(id));
        }
        if self.newest_epoch > claimed {
            let what = format!(
                "hot is of epoch {}, the newest claim is {claimed}",
                self.newest_epoch
            );
            self.check.miss(Finding::new(self.partition, what));
        }
        self.check
    }

    fn compare(&mut self, state: &Partition, id: BalanceId, value: &[u8]) {
        let Some(balance) = state.balance(id) else {
            return;
        };
        let json = value.iter().position(|byte| *byte == b' ');
        let json = json.map_or(&[][..], |at| &value[at + 1..]);
        let differing = match BalanceBody::parse(json) {
            Ok(body) => differences(&body, id, &balance, self.partition),
            Err(error) => vec![error.to_string()],
        };
        if !differing.is_empty() {
            self.miss(state, id, format!("in hot: {}", differing.join("; ")));
        }
    }

    fn miss(&mut self, state: &Partition, id: BalanceId, what: String) {
        let finding = Finding::new(self.partition, what).of(id);
        self.check.miss(finding.at(state.applied()));
    }
}

/// The version and epoch of `<version> <JSON>`.
fn split(value: &[u8]) -> Result<(u64, u64), String> {
    let text = std::str::from_utf8(value).map_err(|_| "is no text".to_owned())?;
    let (version, json) = text.split_once(' ').ok_or("has no version before it")?;
    let version: u64 = version
        .parse()
        .map_err(|_| "has no number before it".to_owned())?;
    let body = BalanceBody::parse(json.as_bytes()).map_err(|error| error.to_string())?;
    match body.version == version {
        true => Ok((version, body.epoch)),
        false => Err(format!(
            "is filed as version {version}, and says {}",
            body.version
        )),
    }
}
