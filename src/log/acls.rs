//! Who may do what, as `topics/acls.toml` declares it, in the words of `kafka-acls`.

use serde::Deserialize;

use super::{Options, Topics};

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    grant: Vec<Grant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    /// Principals, named after the roles.
    to: Vec<String>,
    #[serde(default)]
    write: Vec<String>,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    describe: Vec<String>,
    /// Whether to join and to look at the groups of the installation.
    #[serde(default)]
    groups: bool,
}

/// Arguments of `kafka-acls --add`, one line for each principal and operation.
pub fn lines(options: &Options) -> Vec<String> {
    let text = include_str!("../../topics/acls.toml");
    let file: File = toml::from_str(text).expect("a file of topics/ is read by its test");
    let topics = options.topics();
    let mut lines = Vec::new();
    for grant in &file.grant {
        // Describing is part of reading and writing; configurations are asked for by themselves.
        let all = [&grant.write, &grant.read, &grant.describe];
        let all: Vec<String> = all.into_iter().flatten().cloned().collect();
        let operations = [
            ("Write", &grant.write),
            ("Read", &grant.read),
            ("Describe", &grant.describe),
            ("DescribeConfigs", &all),
        ];
        for principal in &grant.to {
            let granted = operations.iter().filter(|(_, names)| !names.is_empty());
            lines.extend(granted.map(|(operation, names)| {
                let names = names
                    .iter()
                    .map(|name| format!(" --topic {}", topic(&topics, name)));
                let names: String = names.collect();
                format!("--allow-principal User:{principal} --operation {operation}{names}")
            }));
            if grant.groups {
                let prefix = options.group("");
                lines.push(format!(
                    "--allow-principal User:{principal} --operation Read --group {prefix} \
                     --resource-pattern-type prefixed"
                ));
            }
        }
    }
    lines
}

/// The full name of a topic.
///
/// # Panics
/// If the file names one that is not ours.
fn topic<'a>(topics: &'a Topics, name: &str) -> &'a str {
    let known = topics.all();
    let ours = known.into_iter().find(|known| {
        let last = known.rsplit('.').next();
        last == Some(name)
    });
    ours.expect("a file of topics/ is read by its test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processors_write_what_was_decided() {
        let options = Options {
            kafka_brokers: String::new(),
            kafka_properties: Vec::new(),
            topic_prefix: "s".to_owned(),
        };
        let lines = lines(&options);
        for topic in ["s.outcomes", "s.snapshots", "s.replies"] {
            let writes = lines.iter().filter(|line| {
                line.contains("--operation Write") && line.split(' ').any(|word| word == topic)
            });
            let who = "--allow-principal User:processor ";
            let writers: Vec<_> = writes.collect();
            assert_eq!(writers.len(), 1, "{topic}");
            assert!(writers[0].starts_with(who), "{topic}");
        }
        let groups = lines.iter().filter(|line| line.contains("--group s. "));
        assert_eq!(groups.count(), 3);
    }
}
