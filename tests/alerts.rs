//! The alert rules name metrics and labels that there are, and every rule has a test of its own;
//! Prometheus's own tool plays them through where it is at hand.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use steelyard::ingress::IngressMetrics;
use steelyard::log::lag;
use steelyard::processor;
use steelyard::sink::SinkMetrics;
use steelyard::telemetry::ops::Build;
use yaml_serde::Value;

const RULES: &str = include_str!("../alerts/steelyard.rules.yml");
const TESTS: &str = include_str!("../alerts/steelyard.tests.yml");

/// Labels that Prometheus adds to what it scrapes.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// Every metric of ours with its labels.
fn metrics() -> BTreeMap<&'static str, &'static [&'static str]> {
    let all = [
        Build::NAMES,
        IngressMetrics::NAMES,
        SinkMetrics::NAMES,
        lag::Metrics::NAMES,
        processor::Metrics::NAMES,
    ];
    all.into_iter().flatten().copied().collect()
}

fn rules() -> Vec<Value> {
    let file: Value = yaml_serde::from_str(RULES).unwrap();
    let groups = file["groups"].as_sequence().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_sequence().unwrap().clone());
    rules.collect()
}

fn text<'a>(rule: &'a Value, name: &str) -> &'a str {
    let text = rule[name].as_str();
    text.unwrap_or_else(|| panic!("{rule:?} has no {name}"))
}

/// The words of `text` that could be a name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c| !inside(c))
        .filter(|word| !word.is_empty())
}

/// The labels that an expression picks by, and those it keeps.
fn labels(expression: &str) -> BTreeSet<&str> {
    let matched = expression.split('{').skip(1);
    let matched = matched.filter_map(|rest| rest.split('}').next());
    let matched = matched.flat_map(|inside| inside.split(','));
    let matched = matched.filter_map(|pair| words(pair).next());
    let kept = expression.split("by (").skip(1);
    let kept = kept
        .filter_map(|rest| rest.split(')').next())
        .flat_map(words);
    matched.chain(kept).collect()
}

#[test]
fn every_metric_and_label_is_there() {
    let metrics = metrics();
    for rule in rules() {
        let (alert, expression) = (text(&rule, "alert"), text(&rule, "expr"));
        let named = words(expression).filter(|word| word.starts_with("steelyard_"));
        let named: Vec<&str> = named.collect();
        assert!(!named.is_empty(), "{alert} looks at nothing of ours");
        let mut known: BTreeSet<&str> = SCRAPED.into();
        for name in named {
            let labels = metrics.get(name);
            known.extend(
                labels
                    .unwrap_or_else(|| panic!("{alert}: there is no {name}"))
                    .iter(),
            );
        }
        for label in labels(expression) {
            assert!(known.contains(label), "{alert}: there is no label {label}");
        }
        let notes = &rule["annotations"];
        for note in ["summary", "action"].map(|name| text(notes, name)) {
            for label in note.split("$labels.").skip(1) {
                let label = words(label).next().unwrap();
                assert!(known.contains(label), "{alert}: there is no label {label}");
            }
        }
        let severity = text(&rule["labels"], "severity");
        assert!(
            ["page", "ticket"].contains(&severity),
            "{alert}: {severity}"
        );
    }
}

#[test]
fn every_rule_has_a_test() {
    let rules = rules();
    let alerts: Vec<&str> = rules.iter().map(|rule| text(rule, "alert")).collect();
    let tests: Value = yaml_serde::from_str(TESTS).unwrap();
    let tests = tests["tests"].as_sequence().unwrap();
    let tested: Vec<&str> = tests.iter().map(|test| text(test, "name")).collect();
    assert_eq!(alerts, tested, "in the same order");
}

#[test]
fn prometheus_plays_them_through() {
    let mut promtool = Command::new("promtool");
    promtool
        .args(["test", "rules", "alerts/steelyard.tests.yml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    match promtool.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(output.status.success(), "{said}");
        }
        Err(_) => eprintln!("not played through: there is no promtool here"),
    }
}
