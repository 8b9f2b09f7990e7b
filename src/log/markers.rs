//! Looks for the newest marker of a partition, from the end of `snapshots` back.

use super::reader::Found;
use crate::ledger::PartitionId;
use crate::wire::MarkerBody;
use crate::wire::record::marker_key;

/// How far from the end of `snapshots` the newest marker is looked for first: each flush ends with
/// one.
const WINDOW: u64 = 1_000;

/// Markers of one partition.
#[derive(Debug)]
pub struct Markers {
    key: String,
    /// Those count whose outcome stands before this position of `outcomes`.
    before: u64,
    /// Those count that are of this command or one before it.
    upto: u64,
    /// What is not looked through yet.
    low: u64,
    end: u64,
    window: u64,
    pub newest: Option<MarkerBody>,
    /// The command of one whose outcome does not stand before that position.
    pub later: Option<u64>,
    /// Why one cannot be read.
    pub bad: Option<String>,
}

impl Markers {
    /// Looks through `snapshots` from `low` to `end`; `before` is a position of `outcomes`.
    pub fn new(partition: PartitionId, (low, end): (u64, u64), before: u64) -> Self {
        Self {
            key: marker_key(partition),
            before,
            upto: u64::MAX,
            low,
            end,
            window: WINDOW,
            newest: None,
            later: None,
            bad: None,
        }
    }

    /// Leaves out those of commands after `command`.
    #[must_use]
    pub fn upto(self, command: u64) -> Self {
        Self {
            upto: command,
            ..self
        }
    }

    /// The stretch to look through next, if anything is left to find.
    pub fn stretch(&mut self) -> Option<(u64, u64)> {
        if self.newest.is_some() || self.bad.is_some() || self.end <= self.low {
            return None;
        }
        let (from, end) = (self.end.saturating_sub(self.window).max(self.low), self.end);
        self.window = self.window.saturating_mul(10);
        self.end = from;
        Some((from, end))
    }

    /// Takes one record; whether to go on.
    pub fn take(&mut self, found: Found<'_>) -> bool {
        if found.key != self.key.as_bytes() {
            return true;
        }
        match MarkerBody::parse(found.value) {
            Ok(marker) if marker.position >= self.before => {
                self.later = self.later.max(Some(marker.command_offset));
            }
            Ok(marker) if marker.command_offset > self.upto => {}
            Ok(marker) => {
                let known = self.newest.as_ref();
                if known.is_none_or(|known| known.command_offset < marker.command_offset) {
                    self.newest = Some(marker);
                }
            }
            Err(error) => self.bad = Some(format!("marker {}: {error}", found.offset)),
        }
        self.bad.is_none()
    }
}
