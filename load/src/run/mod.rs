//! `load run`: how much, how fast, and whether anything was lost. The README has the method.

mod book;
mod conservation;
mod cpu;
mod floors;
mod http;
mod mix;
mod mixes;
mod options;
mod phase;
mod publish;
mod report;
mod stage;
mod tables;

use anyhow::Result;

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
    if options.mixes {
        mixes::hold_against_plain(&mut measured);
    }
    let floors = match options.floors {
        true => floors::floors(&measured),
        false => Vec::new(),
    };
    eprintln!("reading the run's outcomes back");
    let report = Report {
        ledger: stage.book.ledger.name.clone(),
        partitions: stage.book.ledger.partitions,
        processors: std::thread::available_parallelism().map_or(0, Into::into),
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        seconds: options.seconds,
        conservation: stage.conservation.check()?,
        rows: measured
            .into_iter()
            .map(|(_, row)| row)
            .chain(baselines)
            .collect(),
        floors,
    };
    publish::publish(&report, &options)?;
    Ok(u8::from(!report.passes()))
}

fn announce(step: Step) {
    let (scenario, load) = (step.scenario.name(), step.load.name());
    eprintln!("measuring {scenario} {load}, {}", step.pacing);
}

/// One baseline for each heat, and the share of it that the measured rows reached.
async fn baselines(
    stage: &mut Stage,
    steps: &[Step],
    measured: &mut [(Step, Row)],
) -> Result<Vec<Row>> {
    let mut baselines = Vec::new();
    let mut heats: Vec<_> = steps.iter().map(|step| step.load.heat).collect();
    heats.dedup();
    heats.sort_by_key(|heat| heat.name());
    heats.dedup();
    if stage.options.baseline_seconds == 0 {
        return Ok(baselines);
    }
    for heat in heats {
        eprintln!("measuring the baseline, {}", heat.name());
        let of_heat = steps.iter().filter(|step| step.load.heat == heat);
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
        for (_, row) in measured
            .iter_mut()
            .filter(|(step, _)| step.load.heat == heat)
        {
            row.of_baseline = (highest > 0.0).then(|| row.settled_per_second / highest);
        }
        baselines.extend(rows);
    }
    Ok(baselines)
}
