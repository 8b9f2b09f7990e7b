//! A run: the plan printed first, fault after fault under load, then rest and the checker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use load::rng::Rng;
use load::table::Table;
use tokio::time::Instant;

use crate::drive::Size;
use crate::faults::{FAULTS, Fault, Ground, Play};
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
    /// A program of an earlier commit, which rolling-upgrade begins with; `./dev chaos --older-rev
    /// REVISION` builds one. Without it that fault is left out
    #[arg(long)]
    pub older: Option<PathBuf>,
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
        older: options.older.is_some(),
        once: options.ci || !options.only.is_empty(),
    };
    let steps = plan::plan(&wanted, &mut rng)?;
    println!("seed {seed}; the plan:");
    for (at, fault) in steps.iter().enumerate() {
        println!("  {:>3}  {:<20} {}", at + 1, fault.name, fault.about);
    }
    if !wanted.older && wanted.only.is_empty() && !wanted.ci {
        for fault in FAULTS.iter().filter(|fault| fault.older) {
            println!(
                "   --  {:<20} left out: it takes an older program (--older)",
                fault.name
            );
        }
    }
    let stack = Stack::find()?.linked()?;
    let mut report = Report::new(seed);
    let under = || steps.iter().filter(|it| matches!(it.play, Play::Under(_)));
    if under().next().is_some() {
        let mut lab = Lab::start(&stack, program, Size::default(), rng.draw()).await?;
        for fault in under() {
            lab.run_for(1_000, 3_000).await;
            let Play::Under(play) = &fault.play else {
                continue;
            };
            let done = async {
                let seen = play(&mut lab).await?;
                let alive = lab.is_alive().await?;
                let alive = alive.as_secs_f64();
                anyhow::Ok(format!("{seen}; answers again after {alive:.1} s"))
            };
            report.did(fault, done).await?;
        }
        let tally = lab.finish().await.with_context(|| format!("seed {seed}"))?;
        println!("  {tally}");
    }
    for fault in &steps {
        let Play::Alone(play) = &fault.play else {
            continue;
        };
        let ground = Ground {
            stack: stack.clone(),
            program: program.to_owned(),
            older: options.older.clone(),
            seed: rng.draw(),
        };
        report.did(fault, play(&ground)).await?;
    }
    report.finish(&steps)
}

/// What happened.
struct Report {
    seed: u64,
    happened: BTreeMap<&'static str, u64>,
}

impl Report {
    fn new(seed: u64) -> Self {
        let happened = BTreeMap::new();
        Self { seed, happened }
    }

    /// Waits for a fault, and tells it.
    async fn did(
        &mut self,
        fault: &Fault,
        doing: impl Future<Output = Result<String>>,
    ) -> Result<()> {
        let began = Instant::now();
        let (seed, name) = (self.seed, fault.name);
        let seen = doing.await;
        let seen = seen.with_context(|| format!("seed {seed}, fault {name}"))?;
        *self.happened.entry(name).or_default() += 1;
        let seconds = began.elapsed().as_secs_f64();
        println!("  {name:<20} {seconds:>5.1} s  {seen}");
        Ok(())
    }

    /// Every fault of the plan must have happened.
    fn finish(self, steps: &[&Fault]) -> Result<()> {
        let total: u64 = self.happened.values().sum();
        let (kinds, seed) = (self.happened.len(), self.seed);
        ensure!(
            usize::try_from(total)? == steps.len(),
            "of {} faults only {total} happened",
            steps.len()
        );
        println!("nothing lost, nothing twice: {total} faults of {kinds} kinds, seed {seed}");
        Ok(())
    }
}
