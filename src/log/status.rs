//! Whether a consumer gets on, judged as Burrow does: from what it did over a window, without a
//! threshold that a burst could cross. Pure.
//!
//! | order | over the window | status |
//! |---|---|---|
//! | 1 | nothing was left to read at some moment | ok |
//! | 2 | the committed offset went backwards | rewind |
//! | 3 | nobody owns the partition, and it has stood still for longer than it moved | stop |
//! | 4 | somebody owns it, and the committed offset did not move | stall |
//! | 5 | the committed offset moved, and the lag never shrank | warn |
//!
//! Burrow tells 3 from 4 by when commits were made, which a broker does not tell; who owns the
//! partition says the same.

use std::collections::VecDeque;

/// What was seen of one partition at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub at_ms: i64,
    pub committed: i64,
    pub end: i64,
    pub owned: bool,
}

impl Sample {
    fn lag(&self) -> i64 {
        self.end - self.committed
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Ok,
    Warn,
    Stall,
    Stop,
    Rewind,
}

impl Status {
    pub const ALL: [Self; 5] = [Self::Ok, Self::Warn, Self::Stall, Self::Stop, Self::Rewind];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Stall => "stall",
            Self::Stop => "stop",
            Self::Rewind => "rewind",
        }
    }
}

/// The last samples of one partition.
#[derive(Clone, Debug)]
pub struct Window {
    samples: VecDeque<Sample>,
    size: usize,
}

impl Window {
    pub fn new(size: usize) -> Self {
        Self {
            samples: VecDeque::with_capacity(size),
            size,
        }
    }

    /// Takes a sample and judges. Until the window is full only a rewind is anything but ok.
    pub fn push(&mut self, sample: Sample) -> Status {
        if self.samples.len() == self.size {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        let status = status(self.samples.make_contiguous());
        match status {
            Status::Ok | Status::Rewind => status,
            _ if self.samples.len() < self.size => Status::Ok,
            Status::Warn | Status::Stall | Status::Stop => status,
        }
    }
}

/// Judges samples in order of time.
pub fn status(samples: &[Sample]) -> Status {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Status::Ok;
    };
    let pairs = || samples.windows(2);
    if samples.iter().any(|sample| sample.lag() <= 0) {
        return Status::Ok;
    }
    if pairs().any(|pair| pair[1].committed < pair[0].committed) {
        return Status::Rewind;
    }
    let moved = |pair: &&[Sample]| pair[1].committed > pair[0].committed;
    let moved_at = pairs().rev().find(moved).map(|pair| pair[1].at_ms);
    let last_move = moved_at.unwrap_or(first.at_ms);
    if !last.owned && last.at_ms - last_move > last_move - first.at_ms {
        return Status::Stop;
    }
    if moved_at.is_none() && samples.len() > 1 {
        return Status::Stall;
    }
    let shrank = pairs().any(|pair| pair[1].lag() < pair[0].lag());
    match shrank || samples.len() < 2 {
        true => Status::Ok,
        false => Status::Warn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sample a second: (committed, end).
    fn samples(owned: bool, points: &[(i64, i64)]) -> Vec<Sample> {
        let points = points.iter().zip(0..);
        let samples = points.map(|(&(committed, end), second)| Sample {
            at_ms: second * 1000,
            committed,
            end,
            owned,
        });
        samples.collect()
    }

    #[test]
    fn table() {
        struct Row(&'static str, bool, &'static [(i64, i64)], Status);
        let table = [
            Row("nothing seen", true, &[], Status::Ok),
            Row("no lag", true, &[(5, 5), (5, 5), (5, 5)], Status::Ok),
            Row("no lag once", true, &[(5, 9), (9, 9), (9, 20)], Status::Ok),
            Row("back", true, &[(5, 9), (4, 9), (6, 9)], Status::Rewind),
            Row("back from no lag", true, &[(9, 9), (4, 9)], Status::Ok),
            Row("still", true, &[(5, 9), (5, 9), (5, 12)], Status::Stall),
            Row(
                "still, unowned",
                false,
                &[(5, 9), (5, 9), (5, 12)],
                Status::Stop,
            ),
            Row(
                "moves, unowned",
                false,
                &[(5, 9), (6, 9), (7, 12)],
                Status::Ok,
            ),
            Row(
                "falls behind",
                true,
                &[(5, 9), (6, 11), (7, 13)],
                Status::Warn,
            ),
            Row("catches up", true, &[(5, 9), (6, 11), (9, 13)], Status::Ok),
        ];
        for Row(name, owned, points, expected) in table {
            assert_eq!(status(&samples(owned, points)), expected, "{name}");
        }
    }

    #[test]
    fn a_move_counts_for_as_long_again_without_an_owner() {
        let points = [(5, 9), (6, 9), (7, 9), (7, 9), (7, 9)];
        assert_eq!(
            status(&samples(false, &points)),
            Status::Ok.max(Status::Ok),
            "as long"
        );
        let longer = [(5, 9), (6, 9), (7, 9), (7, 9), (7, 9), (7, 9)];
        assert_eq!(status(&samples(false, &longer)), Status::Stop, "longer");
    }

    #[test]
    fn a_window_judges_when_it_is_full_and_forgets() {
        let mut window = Window::new(3);
        let still = samples(true, &[(5, 9), (5, 9), (5, 9)]);
        let judged: Vec<Status> = still.iter().map(|sample| window.push(*sample)).collect();
        assert_eq!(judged, [Status::Ok, Status::Ok, Status::Stall]);
        let moving = samples(true, &[(6, 9), (7, 9), (8, 9)]);
        let judged: Vec<Status> = moving.iter().map(|sample| window.push(*sample)).collect();
        assert_eq!(judged, [Status::Ok; 3]);
    }
}
