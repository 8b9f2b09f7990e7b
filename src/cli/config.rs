//! `steelyard config`: the effective configuration with its origin, secrets masked.

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};
use serde_json::{Map, Value, json};

use super::{Cli, manual};
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// Print the options of all roles as the README's table instead.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    #[command(flatten)]
    pub config: Config,
}

/// One option as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub name: String,
    /// Absent when the option was not given and has no default.
    pub value: Option<String>,
    /// `default`, `environment` or `flag`.
    pub source: &'static str,
}

pub(super) const MASK: &str = "***";

/// The options of a parsed command that an environment variable can set.
pub fn settings(command: &Command, matches: &ArgMatches) -> Vec<Setting> {
    let named = command.get_arguments().filter_map(|arg| {
        let name = arg.get_env()?.to_string_lossy().into_owned();
        let id = arg.get_id().as_str();
        let values = matches.get_raw(id).map(|values| {
            let values = values.map(|value| masked(arg, &value.to_string_lossy()));
            values.collect::<Vec<_>>().join(",")
        });
        let source = match matches.value_source(id) {
            Some(ValueSource::EnvVariable) => "environment",
            Some(ValueSource::CommandLine) => "flag",
            Some(_) | None => "default",
        };
        Some(Setting {
            name,
            value: values,
            source,
        })
    });
    named.collect()
}

/// The configuration as one JSON object.
pub fn to_json(settings: &[Setting]) -> Value {
    let members = settings.iter().map(|setting| {
        let value = json!({ "value": setting.value, "source": setting.source });
        (setting.name.clone(), value)
    });
    Value::Object(members.collect::<Map<_, _>>())
}

pub(super) fn run(args: &Args, settings: &[Setting]) -> anyhow::Result<ExitCode> {
    if args.markdown {
        let program = Cli::command();
        let all = program.find_subcommand("all");
        print!("{}", all.map(manual::markdown).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&to_json(settings))?);
        return Ok(ExitCode::SUCCESS);
    }
    let names = settings.iter().map(|setting| setting.name.len());
    let width = names.max().unwrap_or_default();
    for setting in settings {
        let value = setting.value.as_deref().unwrap_or("-");
        println!("{:width$}  {value}  ({})", setting.name, setting.source);
    }
    Ok(ExitCode::SUCCESS)
}

/// A URL loses its password, a client property its value if its name tells of a secret; an option
/// whose value help does not show is not shown here either.
fn masked(arg: &Arg, value: &str) -> String {
    if arg.get_id() == "kafka_properties" {
        return masked_properties(value);
    }
    if arg.get_id().as_str().ends_with("_url") {
        return masked_url(value);
    }
    match arg.is_hide_env_values_set() {
        true => MASK.to_owned(),
        false => value.to_owned(),
    }
}

fn masked_properties(text: &str) -> String {
    let pairs = text.lines().map(|pair| match pair.split_once('=') {
        Some((name, _)) if tells_of_secret(name) => format!("{name}={MASK}"),
        Some(_) | None => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join(",")
}

fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return MASK.to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, format!("?{}", masked_query(query))),
        None => (rest, String::new()),
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{host}"),
            None => format!("{user}@{host}"),
        },
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{path}{query}")
}

fn masked_query(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if tells_of_secret(name) => format!("{name}={MASK}"),
        Some(_) | None => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn tells_of_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["password", "secret", "key", "token", "jaas", "credential"];
    words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn shown(args: &[&str]) -> Vec<Setting> {
        let args = ["steelyard", "config"].iter().chain(args);
        let matches = Cli::command().get_matches_from(args);
        let (_, matches) = matches.subcommand().unwrap();
        settings(Cli::command().find_subcommand("config").unwrap(), matches)
    }

    #[test]
    fn no_secret_is_shown() {
        let settings = shown(&[
            "--leg-secret=hush://hush-hush-hush",
            "--redis-url=redis://me:hush@host:1/0?password=hush&protocol=3",
            "--kafka-property=sasl.password=hush,hush=hush",
            "--kafka-property=ssl.key.location=hush\nsasl.username=me",
        ]);
        let text = to_json(&settings).to_string();
        assert!(!text.contains("hush"), "{text}");
        assert!(text.contains("redis://me:***@host:1/0?password=***&protocol=3"));
        assert!(text.contains("sasl.password=***,ssl.key.location=***,sasl.username=me"));
    }

    #[test]
    fn every_option_is_shown_with_its_origin() {
        let settings = shown(&["--topic-prefix=mine"]);
        let find = |name: &str| settings.iter().find(|s| s.name == name).unwrap();
        let prefix = find("STEELYARD_TOPIC_PREFIX");
        assert_eq!(
            (prefix.value.as_deref(), prefix.source),
            (Some("mine"), "flag")
        );
        let count = shown(&[]).len();
        let declared = Cli::command();
        let declared = declared.find_subcommand("all").unwrap().get_arguments();
        assert_eq!(count, declared.count());
    }
}
