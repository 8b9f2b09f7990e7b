//! `docker-compose.yml` and `Dockerfile` say what the program and `./dev` understand, checked
//! without an engine.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

use std::collections::BTreeMap;

use clap::CommandFactory;
use steelyard::cli::Cli;
use yaml_serde::Value;

const COMPOSE: &str = include_str!("../docker-compose.yml");
const DOCKERFILE: &str = include_str!("../Dockerfile");
const VERSIONS: &str = include_str!("../dev.d/versions.sh");
const TOOLCHAIN: &str = include_str!("../rust-toolchain.toml");

/// The file with its anchors and merges resolved.
fn compose() -> Value {
    let mut value: Value = yaml_serde::from_str(COMPOSE).unwrap();
    value.apply_merge().unwrap();
    value
}

fn services() -> BTreeMap<String, Value> {
    yaml_serde::from_value(compose()["services"].clone()).unwrap()
}

fn text(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| panic!("{value:?} is no text"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(text).collect()
}

/// `${NAME:-default}` as Compose reads it where NAME is not set.
fn plain(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else {
        return text.to_owned();
    };
    let (variable, after) = rest.split_once('}').unwrap();
    let (_, default) = variable
        .split_once(":-")
        .expect("every variable has a default");
    format!("{before}{default}{}", plain(after))
}

/// A version that `./dev` pins.
fn pinned(name: &str) -> &'static str {
    let line = VERSIONS.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches('=')
}

/// Reads values of environment variables as `steelyard all` does.
fn understood<'a>(variables: impl IntoIterator<Item = (&'a str, String)>) {
    let program = Cli::command();
    let all = program.find_subcommand("all").unwrap();
    let mut args = vec!["steelyard".to_owned(), "all".to_owned()];
    for (name, value) in variables {
        let mut options = all.get_arguments();
        let found = options.find(|arg| arg.get_env().is_some_and(|env| env == name));
        let option = found.unwrap_or_else(|| panic!("no option reads {name}"));
        let long = option.get_long().unwrap();
        match option.get_action().takes_values() {
            true => args.push(format!("--{long}={value}")),
            false => args.push(format!("--{long}")),
        }
    }
    program.clone().try_get_matches_from(args).unwrap();
}

#[test]
fn images_are_those_that_dev_pins() {
    let services = services();
    let image = |service: &str| text(&services[service]["image"]);
    assert_eq!(
        image("kafka"),
        format!("apache/kafka:{}", pinned("KAFKA_VERSION"))
    );
    assert_eq!(image("redis"), format!("redis:{}", pinned("REDIS_MAJOR")));
    assert_eq!(
        image("postgres"),
        format!("postgres:{}", pinned("POSTGRES_MAJOR"))
    );
    for (name, service) in &services {
        let image = text(&service["image"]);
        let tag = image.split_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{name}: {image}");
    }
}

#[test]
fn every_lasting_service_has_a_health_check_and_those_who_need_it_wait() {
    let services = services();
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["init", "kafka", "postgres", "redis", "steelyard"]);
    for (name, service) in &services {
        let check = &service["healthcheck"];
        if name == "init" {
            assert_eq!(check["disable"].as_bool(), Some(true));
            assert_eq!(text(&service["restart"]), "no");
        } else {
            let test = texts(&check["test"]);
            assert!(["CMD", "CMD-SHELL"].contains(&test[0].as_str()), "{name}");
            for bound in ["interval", "timeout", "retries"] {
                assert!(!check[bound].is_null(), "{name} has no {bound}");
            }
        }
        let waits = service["depends_on"].as_mapping();
        for (other, wait) in waits.into_iter().flatten() {
            let expected = match other.as_str().unwrap() {
                "init" => "service_completed_successfully",
                _ => "service_healthy",
            };
            assert!(
                services.contains_key(&text(other)),
                "{name} waits for {other:?}"
            );
            assert_eq!(text(&wait["condition"]), expected, "{name} on {other:?}");
        }
    }
    let waits = services["steelyard"]["depends_on"].as_mapping().unwrap();
    assert_eq!(waits.len(), 4, "steelyard waits for all the others");
}

#[test]
fn ports_are_published_on_this_machine_only_and_where_somebody_listens() {
    let services = services();
    for (name, service) in &services {
        let ports = service["ports"].as_sequence().into_iter().flatten();
        for port in ports.map(text) {
            let port = plain(&port);
            let inside = port.rsplit(':').next().unwrap();
            assert_eq!(port, format!("127.0.0.1:{inside}:{inside}"), "{name}");
        }
    }
    let published = texts(&services["steelyard"]["ports"]);
    let environment = &services["steelyard"]["environment"];
    let listens = ["STEELYARD_HTTP_LISTEN", "STEELYARD_OPS_LISTEN"];
    for (port, name) in published.iter().zip(listens) {
        let inside = port.rsplit(':').next().unwrap();
        assert_eq!(text(&environment[name]), format!("0.0.0.0:{inside}"));
    }
}

#[test]
fn every_variable_is_an_option() {
    for (name, service) in &services() {
        let environment: BTreeMap<String, String> = match service["environment"].is_null() {
            true => BTreeMap::new(),
            false => yaml_serde::from_value(service["environment"].clone()).unwrap(),
        };
        let ours = |name: &&str| name.starts_with("STEELYARD_");
        let ours = environment.keys().map(String::as_str).filter(ours);
        let ours: Vec<_> = ours.map(|name| (name, plain(&environment[name]))).collect();
        assert_eq!(
            ours.is_empty(),
            !["init", "steelyard"].contains(&name.as_str())
        );
        understood(ours);
    }
}

#[test]
fn every_volume_is_declared() {
    let compose = compose();
    let declared = compose["volumes"].as_mapping().unwrap();
    for (name, service) in &services() {
        let volumes = service["volumes"].as_sequence().into_iter().flatten();
        for volume in volumes.map(text) {
            let (volume, _) = volume.split_once(':').unwrap();
            assert!(declared.contains_key(volume), "{name}: {volume}");
        }
    }
}

/// The Dockerfile's instructions, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let lines = DOCKERFILE.lines().filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim().is_empty());
    let split = lines.map(|line| line.split_once(' ').unwrap());
    split
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn values(word: &str) -> Vec<String> {
    let all = instructions().into_iter();
    all.filter(|(it, _)| it == word)
        .map(|(_, rest)| rest)
        .collect()
}

#[test]
fn the_image_is_built_with_the_pinned_toolchain_and_runs_without_root() {
    let bases = values("FROM");
    let (_, channel) = TOOLCHAIN.split_once("channel = \"").unwrap();
    let channel = channel.split('"').next().unwrap();
    let minor = channel.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    assert!(bases[0].starts_with(&format!("rust:{minor}-")), "{bases:?}");
    for base in &bases {
        let image = base.split(' ').next().unwrap();
        let tag = image.split_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{base}");
    }
    let user = values("USER");
    assert!(user.last().is_some_and(|user| user != "root"), "{user:?}");
    let build = values("RUN").join("\n");
    assert!(build.contains("--locked"), "{build}");
}

#[test]
fn the_image_copies_what_is_there_and_its_variables_are_options() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for copy in values("COPY")
        .iter()
        .filter(|copy| !copy.contains("--from"))
    {
        let source = copy.split(' ').next().unwrap();
        assert!(root.join(source).exists(), "{copy}");
    }
    let variables = values("ENV").join(" ");
    let variables: Vec<_> = variables.split_whitespace().collect();
    let pairs = variables.iter().map(|pair| pair.split_once('=').unwrap());
    understood(pairs.map(|(name, value)| (name, value.to_owned())));
    let mut ports = values("EXPOSE").join(" ");
    ports = ports.replace(' ', ",");
    let listens = variables
        .iter()
        .map(|pair| pair.rsplit(':').next().unwrap());
    assert_eq!(ports, listens.collect::<Vec<_>>().join(","));
    let check = values("HEALTHCHECK").join(" ");
    assert!(check.contains("/readyz"), "{check}");
}
