//! How the log differs from its declaration: found as values, said in one sentence each. Pure.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use super::topics::Declaration;
use crate::ledger::PartitionId;

/// A topic as the broker has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub partitions: PartitionId,
    pub replication_factor: u16,
    /// Every setting in force.
    pub settings: BTreeMap<String, String>,
    /// Those that were set on the topic itself.
    pub own: BTreeMap<String, String>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Missing {
        topic: String,
    },
    Partitions {
        topic: String,
        declared: PartitionId,
        actual: PartitionId,
    },
    Replication {
        topic: String,
        declared: u16,
        actual: u16,
    },
    Setting {
        topic: String,
        name: String,
        declared: String,
        actual: String,
        critical: bool,
    },
    Genesis {
        topic: String,
        partition: PartitionId,
        fault: Fault,
    },
}

/// What is wrong with the first record of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is none, and nothing was decided on this log yet: `apply` writes it.
    Absent,
    /// There is none, though the log of `generation` is in use: the topic was made again.
    Lost { generation: Option<Uuid> },
    /// The first record is something else.
    Foreign,
    /// It names another generation than the partitions before it.
    Other { expected: Uuid, found: Uuid },
    /// It names another dedupe horizon than the partitions before it.
    Horizon { expected: u64, found: u64 },
}

impl Difference {
    /// Whether a role refuses to start over it.
    pub fn refuses_start(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Partitions { .. } | Self::Genesis { .. } => true,
            Self::Setting { critical, .. } => *critical,
            Self::Replication { .. } => false,
        }
    }

    /// Whether `apply` can remove it.
    pub fn can_be_applied(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Setting { .. } => true,
            Self::Genesis { fault, .. } => *fault == Fault::Absent,
            Self::Partitions { .. } | Self::Replication { .. } => false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { topic } => {
                write!(
                    f,
                    "{topic}: is missing; `steelyard topics apply` creates it"
                )
            }
            Self::Partitions {
                topic,
                declared,
                actual,
            } => write!(
                f,
                "{topic}: has {actual} partitions, {declared} are declared; the count is frozen"
            ),
            Self::Replication {
                topic,
                declared,
                actual,
            } => write!(f, "{topic}: has {actual} replicas, {declared} are declared"),
            Self::Setting {
                topic,
                name,
                declared,
                actual,
                critical,
            } => {
                let critical = if *critical { " (critical)" } else { "" };
                write!(
                    f,
                    "{topic}: {name} is {actual}, {declared} is declared{critical}"
                )
            }
            Self::Genesis {
                topic,
                partition,
                fault,
            } => write!(f, "{topic} partition {partition}: {fault}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => {
                f.write_str("has no genesis record; `steelyard topics apply` writes it")
            }
            Self::Lost { generation } => {
                let generation =
                    generation.map_or_else(String::new, |id| format!(" of generation {id}"));
                write!(
                    f,
                    "has no genesis record though the log{generation} is in use: the topic was deleted and made again"
                )
            }
            Self::Foreign => f.write_str("does not begin with a genesis record"),
            Self::Other { expected, found } => write!(
                f,
                "is of generation {found}, the log is of generation {expected}: the topic was made again"
            ),
            Self::Horizon { expected, found } => write!(
                f,
                "has a dedupe horizon of {found} s, the log has {expected} s"
            ),
        }
    }
}

/// Everything in which the broker's topics differ from the declared ones, in declared order.
pub fn compare(declared: &[Declaration], observed: &BTreeMap<String, Observed>) -> Vec<Difference> {
    let found = declared.iter().flat_map(|declaration| {
        observed.get(&declaration.topic).map_or_else(
            || {
                let topic = declaration.topic.clone();
                vec![Difference::Missing { topic }]
            },
            |actual| topic(declaration, actual),
        )
    });
    found.collect()
}

fn topic(declaration: &Declaration, actual: &Observed) -> Vec<Difference> {
    let mut found = Vec::new();
    let enough = match declaration.sharded {
        true => actual.partitions == declaration.partitions,
        false => actual.partitions >= 1,
    };
    if !enough {
        found.push(Difference::Partitions {
            topic: declaration.topic.clone(),
            declared: declaration.partitions,
            actual: actual.partitions,
        });
    }
    if actual.replication_factor != declaration.replication_factor {
        found.push(Difference::Replication {
            topic: declaration.topic.clone(),
            declared: declaration.replication_factor,
            actual: actual.replication_factor,
        });
    }
    for (name, wanted) in &declaration.settings {
        let value = actual.settings.get(name).map_or("", String::as_str);
        if !declaration.allows(name, value) {
            found.push(Difference::Setting {
                topic: declaration.topic.clone(),
                name: name.clone(),
                declared: wanted.clone(),
                actual: value.to_owned(),
                critical: declaration.critical.contains_key(name),
            });
        }
    }
    found
}
