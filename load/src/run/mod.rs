//! `load run`: how much, how fast, and whether anything was lost. The README has the method.

mod book;
mod conservation;
mod cpu;
mod floors;
mod http;
mod mix;
mod options;
mod phase;
mod report;
mod stage;

use std::path::Path;

use anyhow::{Context, Result};

pub use options::Options;
use options::Step;
use report::{Report, Row};
use stage::Stage;

use crate::measure::Pacing;
use crate::stop::Stop;

/// Runs everything that was asked for; the exit code is 0 if nothing is wrong with what was found.
pub async fn run(options: Options, stop: Stop) -> Result<u8> {
    options.check()?;
    let mut stage = Stage::set(options.clone(), stop).await?;
    let steps = options.steps();
    let mut measured: Vec<(Step, Row)> = Vec::new();
    for step in &steps {
        announce(*step);
        measured.push((*step, stage.measure(*step).await?));
    }
    let baselines = baselines(&mut stage, &steps, &mut measured).await?;
    let floors = match options.floors {
        true => floors::floors(&measured),
        false => Vec::new(),
    };
    eprintln!("reading the run's outcomes back");
    let report = Report {
        ledger: stage.book.ledger.name.clone(),
        partitions: stage.book.ledger.partitions,
        processors: std::thread::available_parallelism().map_or(0, Into::into),
        seconds: options.seconds,
        conservation: stage.conservation.check()?,
        rows: measured
            .into_iter()
            .map(|(_, row)| row)
            .chain(baselines)
            .collect(),
        floors,
    };
    publish(&report, &options)?;
    Ok(u8::from(!report.passes()))
}

fn announce(step: Step) {
    let (scenario, heat) = (step.scenario.name(), step.heat.name());
    eprintln!("measuring {scenario} {heat}, {}", step.pacing);
}

/// One baseline for each heat, and the share of it that the measured rows reached.
async fn baselines(
    stage: &mut Stage,
    steps: &[Step],
    measured: &mut [(Step, Row)],
) -> Result<Vec<Row>> {
    let mut baselines = Vec::new();
    let mut heats: Vec<_> = steps.iter().map(|step| step.heat).collect();
    heats.dedup();
    heats.sort_by_key(|heat| heat.name());
    heats.dedup();
    if stage.options.baseline_seconds == 0 {
        return Ok(baselines);
    }
    for heat in heats {
        eprintln!("measuring the baseline, {}", heat.name());
        let of_heat = steps.iter().filter(|step| step.heat == heat);
        let open = of_heat
            .map(|step| step.pacing)
            .find(|pacing| matches!(pacing, Pacing::Open { .. }));
        let window = stage.options.window as usize;
        let pacings: Vec<_> = [Pacing::Closed { window }]
            .into_iter()
            .chain(open)
            .collect();
        let rows = stage.baseline(heat, &pacings).await?;
        let highest = rows.iter().map(|row| row.settled_per_second);
        let highest = highest.fold(0.0, f64::max);
        for (_, row) in measured.iter_mut().filter(|(step, _)| step.heat == heat) {
            row.of_baseline = (highest > 0.0).then(|| row.settled_per_second / highest);
        }
        baselines.extend(rows);
    }
    Ok(baselines)
}

fn publish(report: &Report, options: &Options) -> Result<()> {
    let mut text = format!("\n{}\n{}\n", report.rates().text(), report.counts().text());
    text += &format!("{}\n", report.cores().text());
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
        ..
    } = report;
    let mut out = format!(
        "{processors} processors with everything on them, {partitions} partitions, {seconds} s a \
         measurement.\n\n{}\n{}\n",
        report.rates().markdown(),
        report.counts().markdown()
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
