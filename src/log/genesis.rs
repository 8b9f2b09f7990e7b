//! The genesis record: the first record of every partition of `commands`, `outcomes` and
//! `snapshots`. It names the log's generation, so that a position kept elsewhere can tell this log
//! from another one of the same name, and the dedupe horizon, so that no decision depends on
//! configuration.
//!
//! Calls here block; [`super::admin`] runs them aside.

use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::drift::{Difference, Fault};
use super::peek::{offsets, peek};
use crate::ledger::PartitionId;
use crate::wire::outcome::GenesisBody;
use crate::wire::record::{self, GENESIS_KEY};

const WAIT: Duration = Duration::from_secs(10);

/// How a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    Empty,
    /// Retention has removed the first record.
    Trimmed,
    Genesis(GenesisBody),
    Foreign,
}

/// How a partition begins, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub topic: String,
    pub partition: PartitionId,
    pub first: First,
    pub end: i64,
}

/// What the partitions' beginnings say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub genesis: Option<GenesisBody>,
    /// Whether decisions were written: from then on a partition without its genesis is a loss.
    pub in_use: bool,
    pub differences: Vec<Difference>,
}

/// Judges the beginnings. The first genesis record speaks for the log; all others have to agree.
pub fn judge(starts: &[Start], commands: &str) -> Verdict {
    let mut genesis = starts.iter().filter_map(|start| match start.first {
        First::Genesis(body) => Some(body),
        First::Empty | First::Trimmed | First::Foreign => None,
    });
    let genesis = genesis.next();
    let decided = |start: &Start| start.topic != commands && start.end > 1;
    let in_use = starts.iter().any(decided);
    let generation = genesis.map(|body| body.generation);
    let differences = starts.iter().filter_map(|start| {
        fault(start.first, genesis, in_use, generation).map(|fault| Difference::Genesis {
            topic: start.topic.clone(),
            partition: start.partition,
            fault,
        })
    });
    Verdict {
        genesis,
        in_use,
        differences: differences.collect(),
    }
}

fn fault(
    first: First,
    genesis: Option<GenesisBody>,
    in_use: bool,
    generation: Option<Uuid>,
) -> Option<Fault> {
    match (first, genesis) {
        (First::Empty, _) if in_use => Some(Fault::Lost { generation }),
        (First::Empty, _) => Some(Fault::Absent),
        (First::Foreign, _) => Some(Fault::Foreign),
        (First::Genesis(found), Some(log)) if found.generation != log.generation => {
            Some(Fault::Other {
                expected: log.generation,
                found: found.generation,
            })
        }
        (First::Genesis(found), Some(log)) if found.horizon_seconds != log.horizon_seconds => {
            Some(Fault::Horizon {
                expected: log.horizon_seconds,
                found: found.horizon_seconds,
            })
        }
        (First::Genesis(_) | First::Trimmed, _) => None,
    }
}

/// Reads how every partition begins.
pub fn starts(reader: &BaseConsumer, topics: &[(String, PartitionId)]) -> KafkaResult<Vec<Start>> {
    let low = offsets(reader, topics, Offset::Beginning, WAIT)?;
    let high = offsets(reader, topics, Offset::End, WAIT)?;
    let mut wanted = TopicPartitionList::new();
    for ((topic, partition), begin) in &low {
        let end = high.get(&(topic.clone(), *partition)).copied();
        if *begin == 0 && end.is_some_and(|end| end > 0) {
            wanted.add_partition_offset(topic, i32::from(*partition), Offset::Offset(0))?;
        }
    }
    let mut firsts = peek(reader, &wanted, WAIT, |message| {
        first_of(message.key(), message.payload())
    })?;
    if firsts.len() < wanted.count() {
        let code = RDKafkaErrorCode::OperationTimedOut;
        return Err(KafkaError::MessageConsumption(code));
    }
    let starts = low.into_iter().map(|(at, begin)| {
        let end = high.get(&at).copied().unwrap_or_default();
        let first = match firsts.remove(&at) {
            Some(first) => first,
            None if end == 0 => First::Empty,
            None => {
                debug_assert!(begin > 0, "a partition that begins at 0 was read");
                First::Trimmed
            }
        };
        let (topic, partition) = at;
        Start {
            topic,
            partition,
            first,
            end,
        }
    });
    let mut starts: Vec<Start> = starts.collect();
    let rank = |start: &Start| topics.iter().position(|(topic, _)| *topic == start.topic);
    starts.sort_by_key(|start| (rank(start), start.partition));
    Ok(starts)
}

fn first_of(key: Option<&[u8]>, value: Option<&[u8]>) -> First {
    if key != Some(GENESIS_KEY.as_bytes()) {
        return First::Foreign;
    }
    match value.map(record::genesis) {
        Some(Ok(setting)) => First::Genesis(GenesisBody {
            generation: setting.generation,
            horizon_seconds: setting.horizon_seconds,
        }),
        Some(Err(_)) | None => First::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(topic: &str, partition: PartitionId, first: First, end: i64) -> Start {
        Start {
            topic: topic.to_owned(),
            partition,
            first,
            end,
        }
    }

    fn body(generation: u128, horizon_seconds: u64) -> GenesisBody {
        GenesisBody {
            generation: Uuid::from_u128(generation),
            horizon_seconds,
        }
    }

    fn faults(starts: &[Start]) -> Vec<Fault> {
        let found = judge(starts, "commands").differences.into_iter();
        let faults = found.map(|difference| {
            let Difference::Genesis { fault, .. } = difference else {
                panic!("{difference}");
            };
            fault
        });
        faults.collect()
    }

    #[test]
    fn the_first_genesis_record_speaks_for_the_log() {
        let one = First::Genesis(body(1, 10));
        let starts = [
            start("commands", 0, First::Trimmed, 900),
            start("commands", 1, one, 5),
            start("outcomes", 0, First::Genesis(body(2, 10)), 1),
            start("outcomes", 1, First::Genesis(body(1, 11)), 1),
            start("snapshots", 0, First::Foreign, 1),
            start("snapshots", 1, one, 1),
        ];
        assert_eq!(judge(&starts, "commands").genesis, Some(body(1, 10)));
        let expected = [
            Fault::Other {
                expected: Uuid::from_u128(1),
                found: Uuid::from_u128(2),
            },
            Fault::Horizon {
                expected: 10,
                found: 11,
            },
            Fault::Foreign,
        ];
        assert_eq!(faults(&starts), expected);
    }

    #[test]
    fn what_is_absent_is_lost_once_decisions_were_written() {
        let one = First::Genesis(body(1, 10));
        let empty = start("snapshots", 0, First::Empty, 0);
        let generation = Some(Uuid::from_u128(1));
        // Commands alone, from a hasty producer, are no decision.
        let unused = [
            start("commands", 0, one, 900),
            start("outcomes", 0, one, 1),
            empty.clone(),
        ];
        assert_eq!(faults(&unused), [Fault::Absent]);
        for used in [one, First::Trimmed] {
            let used = [
                start("commands", 0, one, 900),
                start("outcomes", 0, used, 2),
                empty.clone(),
            ];
            assert_eq!(faults(&used), [Fault::Lost { generation }]);
        }
    }
}
