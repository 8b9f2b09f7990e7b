//! The journal equals the outcomes up to its position: as many transactions of each status, and
//! for every balance its entries without a gap, their sum, and the last of them.

use std::collections::{BTreeSet, HashSet};

use super::report::{Check, Finding};
use super::scan::Statuses;
use crate::cold::audit::{EntriesRow, SinkRow, StatusRow};
use crate::ledger::amount;
use crate::ledger::{Balance, BalanceId, Partition};
use crate::wire::{Hex, Money};

/// The entries of one partition, against its state as of the journal's position.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    state: &'a Partition,
    seen: HashSet<BalanceId>,
    check: Check,
}

impl<'a> Entries<'a> {
    pub(super) fn new(state: &'a Partition) -> Self {
        Self {
            state,
            seen: HashSet::new(),
            check: Check::new("journal", "entries"),
        }
    }

    pub(super) fn take(&mut self, row: &EntriesRow) {
        let id = BalanceId::new(row.balance_id);
        self.check.examined += u64::try_from(row.entries).unwrap_or(0);
        self.seen.insert(id);
        let what = match self.state.balance(id) {
            None => Some("has entries in cold, and was never opened".to_owned()),
            Some(balance) => wrong(row, &balance),
        };
        if let Some(what) = what {
            self.miss(id, what);
        }
    }

    /// All rows were taken.
    pub(super) fn finish(mut self) -> Check {
        let ids = self.state.ids();
        let absent: Vec<_> = ids.filter(|id| !self.seen.contains(id)).collect();
        for id in absent {
            self.miss(id, "has no entries in cold".to_owned());
        }
        self.check
    }

    fn miss(&mut self, id: BalanceId, what: String) {
        let finding = Finding::new(self.state.id(), what).of(id);
        self.check.miss(finding.at(self.state.applied()));
    }
}

/// What is wrong with the entries of a balance, the most telling thing first.
fn wrong(row: &EntriesRow, balance: &Balance) -> Option<String> {
    let span = row.last.saturating_sub(row.first).saturating_add(1);
    if row.versions != span || row.entries != span {
        return Some(format!(
            "has {} entries in cold, of {} versions from {} to {}",
            row.entries, row.versions, row.first, row.last
        ));
    }
    let version = balance.state.version;
    if u64::try_from(row.last).ok() != Some(version) {
        return Some(format!(
            "ends in cold with version {}, the outcomes give {version}",
            row.last
        ));
    }
    let scale = balance.asset.scale();
    let is = |text: &Option<String>, minor: i128| {
        let found = text.as_deref().and_then(|text| amount::parse(text).ok());
        found == Some(Money::of(minor, scale).0)
    };
    let state = &balance.state;
    let last = [
        ("posted", is(&row.posted, state.posted)),
        ("held", is(&row.held, state.held)),
        ("incoming", is(&row.incoming, state.incoming)),
        (
            "asset",
            row.asset.as_deref() == Some(&*balance.asset.to_string()),
        ),
        (
            "command offset",
            row.command_offset.and_then(|o| u64::try_from(o).ok()) == Some(balance.offset),
        ),
    ];
    if let Some((name, _)) = last.into_iter().find(|(_, equal)| !equal) {
        return Some(format!(
            "has another {name} in cold's last entry: {row:?}, {balance:?}"
        ));
    }
    // The earliest months may have been dropped: only what is there from the start sums up.
    let whole = row.first == 1;
    let sums = [
        ("posted", is(&Some(row.posted_sum.clone()), state.posted)),
        ("held", is(&Some(row.held_sum.clone()), state.held)),
        (
            "incoming",
            is(&Some(row.incoming_sum.clone()), state.incoming),
        ),
    ];
    let differing = sums.into_iter().find(|(_, equal)| whole && !equal);
    differing.map(|(name, _)| format!("has entries in cold that do not sum to its {name}"))
}

/// Compares transactions by status and reason.
pub(super) fn statuses(state: &Partition, rows: &[StatusRow], said: &Statuses, check: &mut Check) {
    let found: Statuses = rows
        .iter()
        .map(|row| {
            let count = u64::try_from(row.transactions).unwrap_or(0);
            ((row.status.clone(), row.reason.clone()), count)
        })
        .collect();
    let keys: BTreeSet<_> = found.keys().chain(said.keys()).collect();
    for key in keys {
        let count = |statuses: &Statuses| statuses.get(key).copied().unwrap_or(0);
        let (cold, log) = (count(&found), count(said));
        check.examined += cold;
        if cold != log {
            let (status, reason) = (&key.0, key.1.as_deref().unwrap_or("no reason"));
            let what = format!(
                "cold has {cold} transactions {status} ({reason}), the outcomes give {log}"
            );
            check.miss(Finding::new(state.id(), what).at(state.applied()));
        }
    }
}

/// Compares the journal's own position with where the chain is there.
pub(super) fn position(
    state: &Partition,
    sink: &SinkRow,
    (position, hash): (u64, Option<Hex<32>>),
    check: &mut Check,
) {
    let mut miss = |what: &str| check.miss(Finding::new(state.id(), what).at(state.applied()));
    let said = sink.last_hash.as_deref();
    if let (Some(said), Some(hash)) = (said, hash)
        && said != hash.0
    {
        miss("the journal's last hash is not that of the outcome at its position");
    }
    if u64::try_from(sink.position).is_ok_and(|next| next <= position) {
        miss("the journal's position is before the outcome it says is in");
    }
    if state
        .setting()
        .is_some_and(|s| s.generation != sink.generation)
    {
        miss("the journal is of another log");
    }
}
