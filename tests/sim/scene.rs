//! What a run is drawn for, and how its processes are set.

use steelyard::{processor, sink};

use crate::breaks::Break;
use crate::chance::Chance;
use crate::log::ELSEWHERE;

/// What a run is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    Any,
    /// One partition with several owners that never learn of each other.
    LateOwners,
    /// Holds over several partitions.
    Holds,
    /// Takeovers without cold, of a log whose outcomes are trimmed.
    LogAlone,
}

impl Scene {
    /// What shows best that a rule is broken, or any.
    pub(crate) fn draw(chance: &mut Chance, broken: Option<Break>) -> Self {
        match (broken, chance.below(20)) {
            (Some(Break::SumAlone | Break::HoldSumsLeftOut), _) => Self::LateOwners,
            (
                Some(Break::ExpiryByClock | Break::EndedHoldsForgotten | Break::PostNotCounted),
                _,
            ) => Self::Holds,
            (Some(Break::TermsForgotten | Break::LogCountersForgotten), _) => Self::LogAlone,
            (_, 0) => Self::LateOwners,
            (_, 1) => Self::Holds,
            (_, 2) => Self::LogAlone,
            _ => Self::Any,
        }
    }
}

/// Owners that are to be late do little at once, and flush it often.
pub(crate) fn options(chance: &mut Chance, scene: Scene) -> processor::Options {
    let (flush_ms, records): (&[u64], &[usize]) = match scene {
        Scene::LateOwners => (&[10, 30], &[1, 3]),
        Scene::Any | Scene::Holds | Scene::LogAlone => (&[10, 50, 500], &[1, 3, 20, 1_000]),
    };
    let session_ms = *chance.pick(&[100, 1_000, 10_000]);
    let standby = *chance.pick(&[processor::StandBy::All, processor::StandBy::None]);
    processor::Options {
        instance: None,
        session_ms: Some(session_ms),
        standby: match scene {
            Scene::LogAlone => processor::StandBy::None,
            Scene::Any | Scene::LateOwners | Scene::Holds => standby,
        },
        flush_ms: *chance.pick(flush_ms),
        batch_records: *chance.pick(records),
        batch_bytes: *chance.pick(&[500, 1_048_576]),
        reply_topics: vec![ELSEWHERE.to_owned()],
    }
}

pub(crate) fn sink_options(chance: &mut Chance) -> sink::Options {
    sink::Options {
        sink_instance: None,
        sink_batch_records: *chance.pick(&[1, 10, 20_000]),
        sink_batch_bytes: 1 << 24,
        sink_batch_balances: *chance.pick(&[1, 10, 50_000]),
        sink_batch_ms: 500,
        sink_alarm_seconds: 300,
        hot_ttl_seconds: 3_600,
    }
}
