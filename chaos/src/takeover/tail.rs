//! Outcomes as they become visible, with the moments at which they did.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use load::kafka::Tail;
use steelyard::telemetry::clock;
use steelyard::wire::OutcomeBody;

use crate::world::World;

/// A record, by the wall clock in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Seen {
    arrived_ms: i64,
    /// The command's offset and its log time; nothing for a claim.
    outcome: Option<(u64, i64)>,
}

/// How a partition changed hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// When its last outcome before the claim arrived.
    pub(super) last_ms: i64,
    /// When the claim did.
    pub(super) claimed_ms: i64,
    /// When the first new outcome behind it did.
    pub(super) first_ms: i64,
}

pub(super) struct Outcomes {
    seen: Arc<Mutex<Vec<Vec<Seen>>>>,
    _tail: Tail,
}

impl Outcomes {
    pub(super) fn watch(world: &World) -> Result<Self> {
        let partitions = usize::from(world.partitions);
        let seen = Arc::new(Mutex::new(vec![Vec::new(); partitions]));
        let into = seen.clone();
        let on = move |partition: u16, value: &[u8]| {
            let body = OutcomeBody::parse(value).ok();
            let arrived = Seen {
                arrived_ms: clock::now_ms(),
                outcome: body.map(|body| (body.offset, body.at.0)),
            };
            let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(partition) = into.get_mut(usize::from(partition)) {
                partition.push(arrived);
            }
        };
        let topic = world.log().topics().outcomes;
        let tail = Tail::start(&world.log(), &topic, world.partitions, on)?;
        Ok(Self { seen, _tail: tail })
    }

    /// How `partition` changed hands after `since_ms`, once it has.
    pub(super) fn taken(&self, partition: u16, since_ms: i64) -> Option<Taken> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        taken(seen.get(usize::from(partition))?, since_ms)
    }

    /// How long after their log time outcomes arrived since `since_ms`, on partitions other than
    /// `except`.
    pub(super) fn delays(&self, except: &[u16], since_ms: i64) -> Vec<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let others = (0..).zip(seen.iter());
        let others = others.filter(|(partition, _)| !except.contains(partition));
        let since = others.flat_map(|(_, seen)| {
            let back = seen.iter().rev();
            back.take_while(|seen| seen.arrived_ms >= since_ms)
        });
        let delays = since.filter_map(|seen| {
            let (_, at_ms) = seen.outcome?;
            u64::try_from(seen.arrived_ms - at_ms).ok()
        });
        delays.collect()
    }
}

fn taken(seen: &[Seen], since_ms: i64) -> Option<Taken> {
    let from = seen.partition_point(|seen| seen.arrived_ms < since_ms);
    let claim = seen[from..]
        .iter()
        .position(|seen| seen.outcome.is_none())?;
    let (before, behind) = seen.split_at(from + claim);
    let last = before.iter().rev().find(|seen| seen.outcome.is_some())?;
    let (known, _) = last.outcome?;
    // What is behind the claim may be a copy of what was before it.
    let new = |seen: &&Seen| seen.outcome.is_some_and(|(offset, _)| offset > known);
    let first = behind.iter().find(new)?;
    Some(Taken {
        last_ms: last.arrived_ms,
        claimed_ms: behind.first()?.arrived_ms,
        first_ms: first.arrived_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_taken_with_the_first_new_outcome_behind_the_claim() {
        let outcome = |arrived_ms, offset| Seen {
            arrived_ms,
            outcome: Some((offset, 0)),
        };
        let claim = |arrived_ms| Seen {
            arrived_ms,
            outcome: None,
        };
        let seen = [
            claim(5),
            outcome(10, 1),
            outcome(22, 2),
            claim(30),
            outcome(31, 2),
            outcome(40, 3),
        ];
        let expected = Taken {
            last_ms: 22,
            claimed_ms: 30,
            first_ms: 40,
        };
        assert_eq!(taken(&seen, 20), Some(expected));
        assert_eq!(taken(&seen[..5], 20), None);
        assert_eq!(taken(&seen[..3], 20), None);
    }
}
