//! A run: the plan printed first, fault after fault under load, then rest and the checker.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use load::rng::Rng;
use load::table::Table;
use tokio::time::Instant;

use crate::drive::Size;
use crate::faults::FAULTS;
use crate::lab::Lab;
use crate::plan::{self, Wanted};
use crate::stack::Stack;

/// What a run does.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// How long faults are done, in minutes.
    #[arg(long, default_value_t = 5)]
    pub minutes: u64,
    /// Decides the plan and everything else that is drawn [default: drawn, and printed]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only these faults, each once; repeat or separate with commas.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// The share of continuous integration: its faults, each once.
    #[arg(long)]
    pub ci: bool,
}

pub fn list() {
    let mut table = Table::new(&["fault", "ci", "what"]);
    for fault in FAULTS {
        let ci = if fault.ci { "yes" } else { "" };
        table.row(vec![fault.name.into(), ci.into(), fault.about.into()]);
    }
    print!("{}", table.text());
}

/// # Errors
/// If a fault did not happen, or the checker found a difference.
pub async fn run(options: &Options, program: &Path) -> Result<()> {
    let drawn = || u64::from(uuid::Uuid::new_v4().as_fields().0);
    let seed = options.seed.unwrap_or_else(drawn);
    let mut rng = Rng::new(seed);
    let wanted = Wanted {
        seconds: options.minutes * 60,
        only: options.only.clone(),
        ci: options.ci,
        once: options.ci || !options.only.is_empty(),
    };
    let steps = plan::plan(&wanted, &mut rng)?;
    println!("seed {seed}; the plan:");
    for (at, fault) in steps.iter().enumerate() {
        println!("  {:>3}  {:<20} {}", at + 1, fault.name, fault.about);
    }
    let stack = Stack::find()?;
    let mut lab = Lab::start(&stack, program, Size::default(), rng.draw()).await?;
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for (at, fault) in steps.iter().enumerate() {
        lab.run_for(1_000, 3_000).await;
        let began = Instant::now();
        let done = async {
            let seen = (fault.play)(&mut lab).await?;
            anyhow::Ok((seen, lab.is_alive().await?))
        };
        let done = done.await;
        let failed = || format!("fault {} of seed {seed}: {}", at + 1, fault.name);
        let (seen, alive) = done.with_context(failed)?;
        *happened.entry(fault.name).or_default() += 1;
        println!(
            "  {:>3}  {:<20} {seen}; {:.1} s, answers again after {:.1} s",
            at + 1,
            fault.name,
            began.elapsed().as_secs_f64(),
            alive.as_secs_f64()
        );
    }
    let tally = lab.finish().await.with_context(|| format!("seed {seed}"))?;
    println!("  {tally}");
    let kinds = happened.len();
    println!(
        "nothing lost, nothing twice: {} faults of {kinds} kinds, seed {seed}",
        steps.len()
    );
    Ok(())
}
