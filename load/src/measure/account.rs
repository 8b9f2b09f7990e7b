//! The account that a track gives of its commands at the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

use super::track::{ACCEPTED, REFUSED, Track, guard};

/// A command sent later than this after it was due is reported as late.
pub const LATE_NANOS: u64 = 10_000_000;

/// The account of a phase. Every planned command is in exactly one of `dropped`, `accepted`,
/// `refused` and `unknown`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    pub sent: u64,
    /// Planned and never sent: the run was over before their turn came.
    pub dropped: u64,
    /// Sent more than 10 ms after they were due.
    pub late: u64,
    /// Times the client's own queue had no room.
    pub queue_full: u64,
    pub accepted: u64,
    /// Told that nothing happened.
    pub refused: u64,
    /// Told nothing, or that nobody knows.
    pub unknown: u64,
    /// Decided, and how; an answer that repeats an earlier one is only `replayed`.
    pub applied: u64,
    pub rejected: BTreeMap<String, u64>,
    pub replayed: u64,
    /// Why something was refused or unknown.
    pub refusals: BTreeMap<String, u64>,
    /// Accepted, and without a final outcome.
    pub lost: u64,
    /// With more than one.
    pub doubled: u64,
    pub settled: u64,
}

impl Track {
    pub fn account(&self) -> Account {
        let notes = guard(&self.notes);
        let mut account = Account {
            queue_full: self.queue_full.load(Ordering::Relaxed),
            settled: self.settled_count(),
            applied: notes.applied,
            rejected: notes.rejected.clone(),
            replayed: notes.replayed,
            refusals: notes.refusals.clone(),
            ..Account::default()
        };
        drop(notes);
        for sequence in 0..self.sent.len() {
            self.enter(sequence, &mut account);
        }
        account
    }

    fn enter(&self, sequence: usize, account: &mut Account) {
        let cell = |cells: &[AtomicU8]| cells.get(sequence).map(|c| c.load(Ordering::Relaxed));
        let told = cell(&self.told).unwrap_or_default();
        let finals = cell(&self.finals).unwrap_or_default();
        account.doubled += u64::from(finals > 1);
        let Some(sent) = self.sent_at(sequence) else {
            account.dropped += u64::from(self.schedule.due(sequence).is_some());
            return;
        };
        account.sent += 1;
        account.late += u64::from(sent.saturating_sub(self.due(sequence)) > LATE_NANOS);
        match told {
            ACCEPTED => {
                account.accepted += 1;
                account.lost += u64::from(finals == 0);
            }
            REFUSED => account.refused += 1,
            _ => account.unknown += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Pacing, Schedule, Verdict};
    use crate::reference::Tag;
    use std::time::Duration;

    fn track(planned: u64) -> Track {
        let pacing = Pacing::Open { rate: planned };
        let schedule = Schedule::new(pacing, 1, Duration::ZERO, Duration::from_secs(1));
        Track::new(Tag::new("t"), schedule)
    }

    #[test]
    fn every_planned_command_is_accounted_for_once() {
        let track = track(7);
        for sequence in 0..6 {
            track.send(sequence);
        }
        track.accepted(0);
        track.settled(0, Verdict::Applied, false);
        track.accepted(1);
        track.settled(1, Verdict::Rejected("insufficient-funds"), false);
        track.settled(5, Verdict::Rejected("insufficient-funds"), true);
        track.accepted(2);
        track.refused(3, "429");
        track.unknown(4, "broken");
        track.accepted(5);
        assert!(!track.is_complete());
        let account = track.account();
        assert_eq!((account.sent, account.dropped), (6, 1));
        assert_eq!((account.accepted, account.lost), (4, 1));
        assert_eq!((account.refused, account.unknown), (1, 1));
        assert_eq!((account.applied, account.replayed), (1, 1));
        assert_eq!(account.rejected.get("insufficient-funds"), Some(&1));
        assert_eq!(
            (account.settled, account.doubled, track.in_flight()),
            (3, 0, 3)
        );
        track.settled(2, Verdict::Applied, false);
        assert!(track.is_complete());
    }

    #[test]
    fn a_second_final_outcome_is_seen() {
        let track = track(2);
        track.send(0);
        track.accepted(0);
        track.settled(0, Verdict::Applied, false);
        track.settled(0, Verdict::Applied, false);
        let account = track.account();
        assert_eq!(
            (account.doubled, account.settled, account.applied),
            (1, 1, 1)
        );
    }

    #[test]
    fn an_outcome_that_overtakes_its_acknowledgement_counts() {
        let track = track(1);
        track.send(0);
        track.settled(0, Verdict::Applied, false);
        track.accepted(0);
        assert!(track.is_complete());
        assert_eq!(track.account().lost, 0);
    }

    #[test]
    fn a_stranger_changes_nothing() {
        let track = track(1);
        track.send(9);
        track.accepted(9);
        track.settled(9, Verdict::Applied, false);
        assert_eq!((track.sent_count(), track.settled_count()), (0, 0));
    }
}
