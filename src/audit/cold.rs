//! Cold equals the outcomes: its rows are the state as of the watermark X, whole (S1), and its
//! marker says of them what is so (S2).

use std::collections::HashSet;

use super::compare::{body_of, differences};
use super::report::{Check, Finding};
use crate::cold::audit::{BalanceRow, SinkRow};
use crate::ledger::{BalanceId, Cut, Hold, Partition, TransactionId};
use crate::wire::MarkerBody;

/// The rows of one partition, against its state as of the watermark.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    state: &'a Partition,
    seen: HashSet<BalanceId>,
    newest_epoch: Option<(u64, BalanceId)>,
    check: Check,
}

impl<'a> Rows<'a> {
    pub(super) fn new(state: &'a Partition) -> Self {
        Self {
            state,
            seen: HashSet::new(),
            newest_epoch: None,
            check: Check::new("cold", "rows"),
        }
    }

    pub(super) fn take(&mut self, row: &BalanceRow) {
        self.check.examined += 1;
        let id = BalanceId::new(row.id);
        self.seen.insert(id);
        let Some(balance) = self.state.balance(id) else {
            let version = row.version;
            return self.miss(
                id,
                format!("in cold is at version {version}, and was never opened"),
            );
        };
        match body_of(row, self.state.id()) {
            Ok(body) => {
                self.newest_epoch = self.newest_epoch.max(Some((body.epoch, id)));
                let differing = differences(&body, id, &balance, self.state.id());
                if !differing.is_empty() {
                    self.miss(id, format!("in cold: {}", differing.join("; ")));
                }
            }
            Err(why) => self.miss(id, format!("in cold: {why}")),
        }
    }

    /// All rows were taken; the newest epoch among them.
    pub(super) fn finish(mut self) -> (Check, Option<(u64, BalanceId)>) {
        let absent: Vec<BalanceId> = match self.seen.len() == self.state.resident() {
            true => Vec::new(),
            false => {
                let ids = self.state.ids();
                ids.filter(|id| !self.seen.contains(id)).collect()
            }
        };
        for id in absent {
            self.miss(id, "has no row in cold".to_owned());
        }
        (self.check, self.newest_epoch)
    }

    fn miss(&mut self, id: BalanceId, what: String) {
        let finding = Finding::new(self.state.id(), what).of(id);
        self.check.miss(finding.at(self.state.applied()));
    }
}

/// Compares the holds, as many as a takeover would start from, with the state as of the marker.
pub(super) fn holds(state: &Partition, rows: &[(TransactionId, Hold)], check: &mut Check) {
    let mut miss = |what: String| check.miss(Finding::new(state.id(), what).at(state.applied()));
    for (id, row) in rows {
        match state.holds().get(*id) {
            Some(hold) if hold == row => {}
            Some(hold) => miss(format!("hold {id} in cold is {row:?}, not {hold:?}")),
            None => miss(format!("hold {id} in cold was never made")),
        }
    }
    let rows_of: HashSet<TransactionId> = rows.iter().map(|(id, _)| *id).collect();
    let horizon = state.setting().map_or(0, |setting| setting.horizon_seconds);
    let counts = |id| {
        state
            .holds()
            .find(id, state.log_time_ms(), horizon)
            .is_some()
    };
    for (id, hold) in state.holds().iter().filter(|(id, _)| counts(*id)) {
        if !rows_of.contains(&id) {
            miss(format!("hold {id} is not in cold, but {hold:?}"));
        }
    }
    check.examined += rows.len() as u64;
}

/// Compares the accepted marker with the state as of its command.
pub(super) fn marker(state: &Partition, sink: &SinkRow, check: &mut Check) {
    check.examined += 1;
    let mut miss = |what: String| check.miss(Finding::new(state.id(), what).at(state.applied()));
    let text = sink.marker.as_deref().unwrap_or_default();
    let marker = match MarkerBody::parse(text.as_bytes()) {
        Ok(marker) => marker,
        Err(error) => return miss(format!("the marker in cold cannot be read: {error}")),
    };
    let watermark = sink.command_offset.and_then(|x| u64::try_from(x).ok());
    let place = (
        Some(marker.command_offset),
        marker.generation,
        marker.partition,
    );
    if place != (watermark, sink.generation, state.id()) {
        miss("the marker in cold is not of the watermark beside it".to_owned());
    }
    match (marker.to_cut(), state.cut()) {
        (Ok(said), Some(mut cut)) => {
            if said.holds.changes.is_none() || cut.holds.changes.is_none() {
                // An older binary's marker, here or where the fold started, does not say.
                cut.holds.changes = said.holds.changes;
            }
            if said != cut {
                miss(format!("the marker in cold: {}", unequal(&said, &cut)));
            }
        }
        (Ok(_), None) => miss("cold has a marker, and the log no first record".to_owned()),
        (Err(error), _) => miss(format!("the marker in cold cannot be read: {error}")),
    }
}

fn unequal(said: &Cut, cut: &Cut) -> String {
    let fields = [
        ("command offset", said.command_offset == cut.command_offset),
        ("log time", said.log_time_ms == cut.log_time_ms),
        ("sum of versions", said.version_sum == cut.version_sum),
        (
            "highest command offset",
            said.highest_offset == cut.highest_offset,
        ),
        ("sums of posted", said.posted == cut.posted),
        ("sums of holds", said.holds == cut.holds),
        ("legs sent", said.sent == cut.sent),
        ("legs received", said.received == cut.received),
        ("closed periods", said.closed == cut.closed),
        ("rules", said.rules == cut.rules),
        ("log", said.setting == cut.setting),
    ];
    let differing = fields.into_iter().filter(|(_, equal)| !equal);
    let names: Vec<&str> = differing.map(|(name, _)| name).collect();
    format!(
        "{} not as the outcomes give it: {said:?}, {cut:?}",
        names.join(", ")
    )
}
