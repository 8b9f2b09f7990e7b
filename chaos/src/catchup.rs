//! Catch-up: Postgres is away for long under load; how fast the sinks are when it is back.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use load::kafka::group::Group;
use load::table::{Table, grouped};
use tokio::time::{Instant, sleep};

use crate::drive::Size;
use crate::flow::Flow;
use crate::lab::Lab;
use crate::node::Role;
use crate::stack::{Service, Stack};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// How long Postgres is away, in minutes.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Payments a second, before, during and after.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Accounts; a quarter of them has half of all payments.
    #[arg(long, default_value_t = 200)]
    accounts: usize,
}

/// The goal: how many times as fast as commands arrive.
const GOAL: f64 = 5.0;
/// How long the way back may take.
const CAUGHT_UP: Duration = Duration::from_secs(1_800);

/// # Errors
/// If the sinks do not catch up in time, or what they wrote is not the truth.
pub async fn run(options: &Options, program: &Path) -> Result<()> {
    let stack = Stack::find()?;
    let size = Size {
        accounts: options.accounts,
        clients: 2,
        think: Duration::from_millis(100),
    };
    let mut lab = Lab::start(&stack, program, size, 1).await?;
    let world = lab.world.clone();
    let watch = |sink: &str, topic: &str| {
        Group::watch(
            &world.log(),
            &world.log().group(sink),
            topic,
            world.partitions,
        )
    };
    let topics = world.log().topics();
    let sinks = [
        ("journal", watch("journal-sink", &topics.outcomes)?),
        ("balances", watch("balance-sink", &topics.snapshots)?),
    ];
    let flow = Flow::start(&world, &lab.drive.scene.cast, options.rate, 2)?;
    sleep(Duration::from_secs(10)).await;
    let before = memory_mb(&mut lab);
    println!(
        "postgres is away for {} min at {}/s",
        options.minutes, options.rate
    );
    stack.kill(Service::Postgres).await?;
    sleep(Duration::from_secs(options.minutes * 60)).await;
    let mut behind = Vec::new();
    for (_, group) in &sinks {
        behind.push(group.lag()?.unwrap_or(0));
    }
    stack.up().await?;
    let slowest = watch_back(options, &sinks, &behind).await?;
    flow.finish().await;
    println!(
        "sinks' memory: {before} MB before, {} MB at the most",
        memory_mb(&mut lab)
    );
    println!("{}", lab.finish().await?);
    ensure!(
        slowest >= GOAL,
        "the goal is {GOAL} times the rate of arrival"
    );
    Ok(())
}

/// Waits until every sink is back at the end of the log; how many times as fast as commands arrive
/// the slowest one was.
async fn watch_back(options: &Options, sinks: &[(&str, Group)], behind: &[u64]) -> Result<f64> {
    let began = Instant::now();
    let mut table = Table::new(&["sink", "records behind", "caught up after", "times arrival"]);
    let mut slowest = f64::INFINITY;
    let mut waiting: Vec<usize> = (0..sinks.len()).collect();
    while !waiting.is_empty() {
        ensure!(
            began.elapsed() < CAUGHT_UP,
            "not caught up in {CAUGHT_UP:?}"
        );
        sleep(Duration::from_millis(200)).await;
        for at in std::mem::take(&mut waiting) {
            let (name, group) = &sinks[at];
            // Within a moment's arrivals of the end.
            if group.lag()?.is_none_or(|lag| lag > options.rate) {
                waiting.push(at);
                continue;
            }
            let seconds = began.elapsed().as_secs_f64();
            let away = (options.minutes * 60) as f64;
            // What arrived while it was away, and while it caught up, was written meanwhile.
            let times = (away + seconds) / seconds;
            slowest = slowest.min(times);
            table.row(vec![
                (*name).to_owned(),
                grouped(behind[at]),
                format!("{seconds:.1} s"),
                format!("{times:.1}"),
            ]);
        }
    }
    print!("{}", table.markdown());
    Ok(slowest)
}

/// The most that any sink's process has ever held, in megabytes.
fn memory_mb(lab: &mut Lab) -> u64 {
    let most = lab.fleet.of(Role::Sink).filter_map(|node| node.most_kb());
    most.max().unwrap_or(0) / 1024
}
