//! The log as it is declared in `topics/`: which topics there are, and how each is set.
//!
//! Pure. [`super::admin`] makes the broker agree, and refuses to start where it does not.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Topics;
use crate::ledger::PartitionId;

/// Where an installation differs from the declaration.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Partitions of commands, outcomes, snapshots and dead-letters, instead of the declared
    /// count. Frozen once the topics are created.
    #[arg(
        long,
        env = "STEELYARD_PARTITIONS",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub partitions: Option<PartitionId>,
    /// Replicas of every topic, instead of the declared count. With 1, a record is acknowledged
    /// by its one broker.
    #[arg(
        long,
        env = "STEELYARD_REPLICATION_FACTOR",
        value_parser = clap::value_parser!(u16).range(1..=15)
    )]
    pub replication_factor: Option<u16>,
}

/// How a setting that start-up insists on is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    Equal,
    /// A number, and no smaller than declared; -1 has no limit.
    AtLeast,
}

impl Rule {
    pub fn allows(self, declared: &str, actual: &str) -> bool {
        match (self, declared.parse::<i64>(), actual.parse::<i64>()) {
            (Self::AtLeast, Ok(_), Ok(-1)) => true,
            (Self::AtLeast, Ok(-1), Ok(_)) => false,
            (Self::AtLeast, Ok(declared), Ok(actual)) => actual >= declared,
            (Self::AtLeast | Self::Equal, _, _) => declared == actual,
        }
    }
}

/// One topic as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub topic: String,
    pub partitions: PartitionId,
    /// Whether the partition number is the shard, so that the count is P and frozen.
    pub sharded: bool,
    /// Whether the first record of every partition is the genesis record.
    pub genesis: bool,
    pub replication_factor: u16,
    pub settings: BTreeMap<String, String>,
    pub critical: BTreeMap<String, Rule>,
}

impl Declaration {
    /// Whether a setting's value will do.
    pub fn allows(&self, name: &str, actual: &str) -> bool {
        let rule = self.critical.get(name).copied().unwrap_or(Rule::Equal);
        self.settings
            .get(name)
            .is_none_or(|declared| rule.allows(declared, actual))
    }
}

/// A file of `topics/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    partitions: PartitionId,
    sharded: bool,
    genesis: bool,
    replication_factor: u16,
    settings: BTreeMap<String, String>,
    critical: BTreeMap<String, Rule>,
}

/// The topics of an installation, in the order in which they are created.
pub fn declared(names: &Topics, options: &Options) -> Vec<Declaration> {
    let files = [
        (&names.commands, include_str!("../../topics/commands.toml")),
        (&names.outcomes, include_str!("../../topics/outcomes.toml")),
        (
            &names.snapshots,
            include_str!("../../topics/snapshots.toml"),
        ),
        (&names.replies, include_str!("../../topics/replies.toml")),
        (
            &names.dead_letters,
            include_str!("../../topics/dead-letters.toml"),
        ),
    ];
    let parsed = files.into_iter().map(|(name, text)| {
        let file: File = toml::from_str(text).expect("a file of topics/ is read by its test");
        declaration(name, file, options)
    });
    parsed.collect()
}

/// The JSON Schemas of the topics' values, by name.
pub const SCHEMAS: [(&str, &str); 8] = [
    (
        "command",
        include_str!("../../topics/schemas/command.schema.json"),
    ),
    (
        "outcome",
        include_str!("../../topics/schemas/outcome.schema.json"),
    ),
    (
        "snapshot",
        include_str!("../../topics/schemas/snapshot.schema.json"),
    ),
    (
        "hold",
        include_str!("../../topics/schemas/hold.schema.json"),
    ),
    (
        "marker",
        include_str!("../../topics/schemas/marker.schema.json"),
    ),
    (
        "genesis",
        include_str!("../../topics/schemas/genesis.schema.json"),
    ),
    (
        "claim",
        include_str!("../../topics/schemas/claim.schema.json"),
    ),
    (
        "dead-letter",
        include_str!("../../topics/schemas/dead-letter.schema.json"),
    ),
];

/// How long `commands` keeps a record by declaration, in seconds.
pub fn commands_retention_seconds(declared: &[Declaration]) -> u64 {
    let retention = declared
        .first()
        .and_then(|commands| commands.settings.get("retention.ms")?.parse::<u64>().ok());
    retention.expect("commands declares a bounded retention") / 1000
}

fn declaration(name: &str, file: File, options: &Options) -> Declaration {
    let mut settings = file.settings;
    let replication_factor = options
        .replication_factor
        .unwrap_or(file.replication_factor);
    if let Some(replicas) = settings.get_mut("min.insync.replicas")
        && replicas
            .parse()
            .is_ok_and(|wanted: u16| wanted > replication_factor)
    {
        *replicas = replication_factor.to_string();
    }
    let partitions = match file.sharded {
        true => options.partitions.unwrap_or(file.partitions),
        false => file.partitions,
    };
    Declaration {
        topic: name.to_owned(),
        partitions,
        sharded: file.sharded,
        genesis: file.genesis,
        replication_factor,
        settings,
        critical: file.critical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared_with(partitions: Option<u16>, replication_factor: Option<u16>) -> Vec<Declaration> {
        let options = Options {
            partitions,
            replication_factor,
        };
        declared(&Topics::new("t"), &options)
    }

    #[test]
    fn every_file_reads_and_every_critical_setting_is_declared() {
        for declaration in declared_with(None, None) {
            for (name, rule) in &declaration.critical {
                let value = declaration.settings.get(name);
                let value = value.unwrap_or_else(|| panic!("{}: {name}", declaration.topic));
                assert!(rule.allows(value, value));
                if *rule == Rule::AtLeast {
                    value.parse::<i64>().unwrap();
                }
            }
        }
    }

    #[test]
    fn sharded_topics_declare_one_count_and_follow_its_override() {
        for (given, expected) in [(None, 8), (Some(3), 3)] {
            let declared = declared_with(given, None);
            let sharded = declared.iter().filter(|topic| topic.sharded);
            assert_eq!(sharded.clone().count(), 4);
            assert!(sharded.clone().all(|topic| topic.partitions == expected));
        }
        let replies = &declared_with(Some(3), None)[3];
        assert_eq!(
            (replies.topic.as_str(), replies.partitions),
            ("t.replies", 8)
        );
    }

    #[test]
    fn one_replica_needs_one_in_sync() {
        for declaration in declared_with(None, Some(1)) {
            assert_eq!(declaration.settings["min.insync.replicas"], "1");
        }
        for declaration in declared_with(None, None) {
            assert_eq!(declaration.settings["min.insync.replicas"], "2");
        }
    }

    #[test]
    fn rules_compare() {
        let table = [
            (Rule::Equal, "delete", "delete", true),
            (Rule::Equal, "delete", "compact", false),
            (Rule::AtLeast, "10", "10", true),
            (Rule::AtLeast, "10", "11", true),
            (Rule::AtLeast, "10", "9", false),
            (Rule::AtLeast, "10", "-1", true),
            (Rule::AtLeast, "-1", "10", false),
        ];
        for (rule, declared, actual, expected) in table {
            assert_eq!(
                rule.allows(declared, actual),
                expected,
                "{declared} {actual}"
            );
        }
    }

    #[test]
    fn commands_are_kept_seven_days() {
        let declared = declared_with(None, None);
        assert_eq!(commands_retention_seconds(&declared), 7 * 86_400);
    }
}
