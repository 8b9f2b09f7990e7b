//! Where a report goes: the terminal, JSON, Markdown, or a file that has room for it.

use std::path::Path;

use anyhow::{Context, Result};

use super::options::Options;
use super::report::Report;

/// Prints and writes the report as the options ask.
pub fn publish(report: &Report, options: &Options) -> Result<()> {
    let mut text = match report.build {
        "release" => String::new(),
        build => format!("\na {build} build of the generator: it measures itself\n"),
    };
    text += &format!("\n{}\n{}\n", report.rates().text(), report.counts().text());
    text += &format!("{}\n", report.costs().text());
    for line in report.refusals() {
        text += &format!("refused or unknown, {line}\n");
    }
    text += &format!("{}\n", report.money());
    if !report.floors.is_empty() {
        text += &format!("\n{}", report.floors().text());
    }
    match (&options.markdown, options.json) {
        (None, false) => print!("{text}"),
        (Some(_), _) | (None, true) => eprint!("{text}"),
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    }
    match options.markdown.as_deref() {
        None => Ok(()),
        Some(path) if path == Path::new("-") => {
            print!("{}", markdown(report));
            Ok(())
        }
        Some(path) => insert(path, &markdown(report)),
    }
}

fn markdown(report: &Report) -> String {
    let Report {
        partitions,
        processors,
        seconds,
        build,
        ..
    } = report;
    let mut out = format!(
        "{processors} processors with everything on them, {partitions} partitions, {seconds} s a \
         measurement, {build} build of the generator.\n\n{}\n{}\n{}\n",
        report.rates().markdown(),
        report.counts().markdown(),
        report.costs().markdown()
    );
    if !report.floors.is_empty() {
        out += &format!("{}\n", report.floors().markdown());
    }
    out + &report.money() + "\n"
}

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// Replaces what stands between a file's marks.
fn insert(path: &Path, markdown: &str) -> Result<()> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let parts = text.split_once(BEGIN);
    let parts = parts.and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.with_context(|| format!("{name} has no {BEGIN} and {END}"))?;
    let text = format!("{head}{BEGIN}{markdown}{END}{tail}");
    std::fs::write(path, text).with_context(|| format!("cannot write {name}"))
}
