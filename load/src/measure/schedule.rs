//! When each command is due: decided before the first one is sent.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::table::grouped;

/// How commands are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// Open loop: so many commands each second, whatever the answers do.
    Open { rate: u64 },
    /// Closed loop: as many as keep this number unanswered. For the highest rate, not for latency.
    Closed { window: usize },
}

impl fmt::Display for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { rate } => write!(f, "open {}/s", grouped(*rate)),
            Self::Closed { window } => write!(f, "closed {}", grouped(*window as u64)),
        }
    }
}

/// One phase's timetable, in nanoseconds from its start.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub pacing: Pacing,
    /// Commands that go out together, as one request.
    pub burst: usize,
    /// How many commands there are; in a closed loop, at most.
    pub planned: usize,
    /// What is measured; what comes before it warms up.
    pub measured: Range<u64>,
}

/// The most commands a closed loop prepares for, per second.
const CLOSED_RATE_MAX: u64 = 400_000;

impl Schedule {
    pub fn new(pacing: Pacing, burst: usize, warmup: Duration, span: Duration) -> Self {
        let start = nanos(warmup);
        let end = start + nanos(span);
        let rate = match pacing {
            Pacing::Open { rate } => rate,
            Pacing::Closed { .. } => CLOSED_RATE_MAX,
        };
        let planned = u128::from(rate) * u128::from(end) / 1_000_000_000;
        let planned = usize::try_from(planned).unwrap_or(usize::MAX);
        Self {
            pacing,
            burst,
            planned: planned.next_multiple_of(burst),
            measured: start..end,
        }
    }

    /// A closed loop over exactly `planned` commands, all of them measured.
    pub fn all(window: usize, planned: usize) -> Self {
        Self {
            pacing: Pacing::Closed { window },
            burst: 1,
            planned,
            measured: 0..u64::MAX,
        }
    }

    /// When a command is due; in a closed loop that is whenever it can be sent.
    pub fn due(&self, sequence: usize) -> Option<u64> {
        let Pacing::Open { rate } = self.pacing else {
            return None;
        };
        let first = (sequence / self.burst * self.burst) as u128;
        let due = first * 1_000_000_000 / u128::from(rate.max(1));
        Some(u64::try_from(due).unwrap_or(u64::MAX))
    }
}

pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(rate: u64, burst: usize) -> Schedule {
        let (warmup, span) = (Duration::from_secs(2), Duration::from_secs(3));
        Schedule::new(Pacing::Open { rate }, burst, warmup, span)
    }

    #[test]
    fn an_open_loop_is_evenly_spaced() {
        let schedule = open(4_000, 1);
        assert_eq!(schedule.planned, 20_000);
        assert_eq!(schedule.measured, 2_000_000_000..5_000_000_000);
        for sequence in [0, 1, 2, 19_999] {
            assert_eq!(schedule.due(sequence), Some(sequence as u64 * 250_000));
        }
    }

    #[test]
    fn an_odd_rate_does_not_drift() {
        assert_eq!(open(3, 1).due(3_000_000), Some(1_000_000_000_000_000));
        assert_eq!(open(7, 1).due(7), Some(1_000_000_000));
    }

    #[test]
    fn a_burst_is_due_as_one() {
        let schedule = open(5_001, 500);
        assert_eq!(schedule.planned % 500, 0);
        assert_eq!(schedule.due(499), Some(0));
        assert_eq!(schedule.due(500), schedule.due(999));
        assert_eq!(schedule.due(500), Some(500 * 1_000_000_000 / 5_001));
    }

    #[test]
    fn a_closed_loop_has_no_timetable() {
        let schedule = Schedule::all(100, 42);
        assert_eq!((schedule.planned, schedule.due(7)), (42, None));
    }
}
