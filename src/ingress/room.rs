//! Limits on how many of something there may be at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::Kind;
use super::problem::Problem;

/// Room for a bounded number of things at once.
#[derive(Debug)]
pub struct Room {
    taken: AtomicUsize,
    limit: usize,
    name: &'static str,
    gauge: Option<prometheus::IntGauge>,
}

/// Room that was taken; dropping it gives it back.
#[derive(Debug)]
pub struct Seats {
    room: Arc<Room>,
    count: usize,
}

impl Room {
    pub fn new(name: &'static str, limit: usize, gauge: Option<prometheus::IntGauge>) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            limit,
            name,
            gauge,
        })
    }

    /// Takes room for `count`, or refuses by name.
    pub fn take(self: &Arc<Self>, count: usize) -> Result<Seats, Problem> {
        let before = self.taken.fetch_add(count, Ordering::Relaxed);
        let seats = Seats {
            room: self.clone(),
            count,
        };
        if let Some(gauge) = &self.gauge {
            gauge.add(i64::try_from(count).unwrap_or(i64::MAX));
        }
        match before.saturating_add(count) <= self.limit {
            true => Ok(seats),
            false => {
                let detail = format!("{} are at their limit of {}", self.name, self.limit);
                Err(Problem::new(Kind::Backpressure, detail))
            }
        }
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.count, Ordering::Relaxed);
        if let Some(gauge) = &self.room.gauge {
            gauge.sub(i64::try_from(self.count).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_refuses_by_name_and_is_given_back() {
        let room = Room::new("waiting callers", 2, None);
        let seats = room.take(2).unwrap();
        let refused = room.take(1).unwrap_err();
        assert_eq!(refused.kind, Kind::Backpressure);
        assert!(refused.detail.contains("waiting callers") && refused.detail.contains('2'));
        drop(seats);
        assert!(room.take(2).is_ok());
    }
}
