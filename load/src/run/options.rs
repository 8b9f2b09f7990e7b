//! What `load run` can be told.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::mix::{Heat, Load, Shape};
use crate::measure::Pacing;
use crate::target::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Commands straight to the log.
    Kafka,
    /// One transaction a request, answered when it is decided.
    Http,
    /// Many transactions a request.
    Batch,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[arg(value_enum, default_value = "kafka")]
    pub scenario: Scenario,
    /// Who pays: everybody, or one balance for all.
    #[arg(long, value_enum, default_value = "spread")]
    pub heat: Heat,
    /// What a payment is.
    #[arg(long, value_enum, default_value = "transfer")]
    pub shape: Shape,
    /// Commands a second, sent whatever the answers do [default: 20000; http: 5000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: Option<u64>,
    /// Look for the highest rate instead: a closed loop that keeps --window commands unanswered, or
    /// every connection busy.
    #[arg(long, conflicts_with = "rate")]
    pub max: bool,
    /// How long to measure.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// How long to warm up before.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub warmup: u64,
    /// How many balances the transfers are among.
    #[arg(
        long,
        default_value = "10000",
        value_parser = clap::value_parser!(u32).range(2..=5_000_000)
    )]
    pub balances: u32,
    /// Share of transfers that go to another partition, 0 to 1.
    #[arg(long, default_value = "0")]
    pub cross: f64,
    /// HTTP connections [default: 512; batch: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: Option<u32>,
    /// Transactions in one batch.
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Commands unanswered at a time, with --max over Kafka.
    #[arg(
        long,
        default_value = "10000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub window: u32,
    /// Seconds that a command may be overdue before it counts as dropped, and that outcomes are
    /// waited for at the end before they count as lost.
    #[arg(long, default_value = "30", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub patience: u64,
    /// How long to measure what this client and broker do alone; 0 leaves it out.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub baseline_seconds: u64,
    /// Decides who pays whom.
    #[arg(long, default_value = "1")]
    pub seed: u64,
    /// Run the scenarios that the floors are set for; exit code 1 if one is missed or anything is
    /// lost.
    #[arg(long, conflicts_with_all = ["max", "rate"])]
    pub floors: bool,
    /// Run what is more than a transfer at home: across partitions, splits, a striped account,
    /// holds.
    #[arg(long, conflicts_with_all = ["max", "rate", "floors"])]
    pub mixes: bool,
    /// Print the report as JSON on standard output, and the table on standard error.
    #[arg(long)]
    pub json: bool,
    /// Print the result as Markdown; with =FILE, write it between the file's `measured` marks.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-"
    )]
    pub markdown: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
}

/// A hold and its two posts.
pub const HOLD_COMMANDS: usize = 3;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub scenario: Scenario,
    pub load: Load,
    pub pacing: Pacing,
}

impl Options {
    pub fn check(&self) -> Result<()> {
        ensure!(
            (0.0..=1.0).contains(&self.cross),
            "--cross is a share from 0 to 1"
        );
        ensure!(
            self.shape != Shape::Hold || (self.scenario == Scenario::Http && self.cross == 0.0),
            "--shape hold is for http, and without --cross"
        );
        Ok(())
    }

    /// What this run measures, in order.
    pub fn steps(&self) -> Vec<Step> {
        if self.floors {
            return super::floors::steps(self);
        }
        if self.mixes {
            return super::mixes::steps(self);
        }
        let pacing = match self.max {
            true => self.closed(self.scenario),
            false => Pacing::Open {
                rate: self.rate.unwrap_or(self.scenario.usual_rate()),
            },
        };
        vec![Step {
            scenario: self.scenario,
            load: Load {
                heat: self.heat,
                shape: self.shape,
                cross: self.cross,
            },
            pacing,
        }]
    }

    pub fn closed(&self, scenario: Scenario) -> Pacing {
        let window = match scenario {
            Scenario::Kafka => self.window as usize,
            Scenario::Http => self.connections(scenario),
            Scenario::Batch => self.connections(scenario) * self.batch as usize,
        };
        Pacing::Closed { window }
    }

    pub fn connections(&self, scenario: Scenario) -> usize {
        let usual = match scenario {
            Scenario::Kafka | Scenario::Http => 512,
            Scenario::Batch => 8,
        };
        self.connections.map_or(usual, |given| given as usize)
    }

    /// Commands that are due together: those of one request, or of one hold.
    pub fn burst(&self, step: Step) -> usize {
        match (step.scenario, step.load.shape) {
            (Scenario::Http, Shape::Hold) => HOLD_COMMANDS,
            (Scenario::Kafka | Scenario::Http, _) => 1,
            (Scenario::Batch, _) => self.batch as usize,
        }
    }

    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Http => "http",
            Self::Batch => "batch",
        }
    }

    pub fn usual_rate(self) -> u64 {
        match self {
            Self::Kafka | Self::Batch => 20_000,
            Self::Http => 5_000,
        }
    }
}
