//! `load demo`: a day of payments against a running instance.
//!
//! | part | does |
//! |---|---|
//! | [`cast`], [`day`] | who is there, and the plan: a seed decides it |
//! | [`opening`] | accounts, the morning's money, a few frozen cards |
//! | [`by_http`], [`by_kafka`] | one half of the payments each, at the same time |
//! | [`rows`] | how many rows it took the sinks |
//! | [`audit`], [`summary`] | what it came to |

mod audit;
mod by_http;
mod by_kafka;
mod cast;
mod day;
mod half;
mod opening;
mod progress;
mod rows;
mod summary;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use uuid::Uuid;

use crate::account::Ledger;
use crate::kafka::{Road, Sinks};
use crate::reference::Tag;
use crate::stop::Stop;
use crate::table::grouped;
use crate::target::Target;
use audit::Finding;
use by_http::Clients;
use cast::{BALANCES_MIN, Cast};
use day::Payment;
use half::Half;
use progress::Progress;
use rows::Rows;
use summary::Summary;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many payments the day has.
    #[arg(
        long,
        default_value = "50000",
        value_parser = clap::value_parser!(u32).range(1..=10_000_000)
    )]
    payments: u32,
    /// Among how many balances.
    #[arg(
        long,
        default_value = "2000",
        value_parser = clap::value_parser!(u32).range(BALANCES_MIN as i64..=9_999_999)
    )]
    balances: u32,
    /// Decides who pays whom how much.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// HTTP connections.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Commands from Kafka unanswered at a time.
    #[arg(
        long,
        default_value = "2000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    window: u32,
    /// Seconds without any answer before the rest counts as unanswered.
    #[arg(long, default_value = "60", value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    #[command(flatten)]
    target: Target,
}

/// How long the sinks may take after the last answer.
const DRAINS: Duration = Duration::from_secs(120);

/// Plays the day and audits it; the exit code is 0 if nothing is wrong.
pub async fn run(options: Options, stop: Stop) -> Result<u8> {
    let patience = Duration::from_secs(options.patience);
    let road = Road::find(&options.target.log, stop.clone(), patience)?;
    let endpoint = options.target.http()?;
    let id = Uuid::new_v4().simple().to_string();
    let ledger = Ledger {
        name: format!("demo-{}", &id[..8]),
        partitions: road.partitions,
    };
    let cast = Arc::new(Cast::new(ledger, options.balances as usize));
    let plan = day::plan(&cast, options.payments as usize, options.seed);
    introduce(&cast, &plan, options.seed);
    let connections = options.connections as usize;
    opening::open(&road, &endpoint, &cast, connections).await?;

    let tag = |half: &str| Tag::new(format!("{}.{half}", cast.ledger.name));
    let (http, kafka): (Vec<_>, Vec<_>) = plan.into_iter().partition(Payment::is_http);
    let http = Half::new(&cast, http, tag("h"), (false, 0));
    let kafka = Half::new(&cast, kafka, tag("k"), (true, options.window as usize));
    let clients = Clients::new(endpoint, http.clone(), stop);
    let before = Rows::read(&options.target).await;
    let answers = by_kafka::listen(&road, &kafka, options.payments as usize)?;
    let began = Instant::now();
    let played = async {
        let (http, kafka) = tokio::join!(clients.play(connections), by_kafka::play(&road, &kafka));
        http.and(kafka)
    };
    watch(played, [&http, &kafka]).await?;
    let (took, ended) = (began.elapsed(), Instant::now());
    let drained = Sinks::watch(&road)?.drain(&road, ended, DRAINS).await?;
    let after = Rows::read(&options.target).await;
    answers.finish()?;
    let complete = Summary {
        http: &http,
        kafka: &kafka,
        clients: &clients,
        took,
        drained: &drained,
        rows: before.zip(after).map(|(before, after)| after.since(before)),
    }
    .print();
    let drained = drained.iter().all(|sink| sink.after.is_some());
    conclude(audit::audit(&options.target)?, complete && drained)
}

/// The last word, and the exit code that goes with it: the audit's, unless something else is wrong.
fn conclude(finding: Finding, complete: bool) -> Result<u8> {
    let (verdict, code) = match (finding, complete) {
        (Finding::Clean, true) => (
            "the audit is clean, and every payment has its one answer",
            0,
        ),
        (Finding::Clean, false) => ("the audit is clean, but see CAPITALS above", 1),
        (Finding::Broken, _) => ("the audit is NOT CLEAN", 1),
        (Finding::Untold, _) => ("the audit COULD NOT BE TOLD", 2),
    };
    println!("{verdict}");
    Ok(code)
}

fn introduce(cast: &Cast, plan: &[Payment], seed: u64) {
    let kinds = day::census(plan).into_iter();
    let kinds: Vec<_> = kinds
        .map(|(kind, count)| format!("{} {}", grouped(count as u64), kind.name()))
        .collect();
    eprintln!(
        "ledger {}: {} payments among {} balances on {} partitions, seed {seed}\n{}",
        cast.ledger.name,
        grouped(plan.len() as u64),
        grouped(cast.opened().len() as u64),
        cast.ledger.partitions,
        kinds.join(", ")
    );
}

/// Shows how far the day has come until it has ended.
async fn watch(played: impl Future<Output = Result<()>>, halves: [&Arc<Half>; 2]) -> Result<()> {
    let total = halves.iter().map(|half| half.payments.len() as u64).sum();
    let done = || halves.iter().map(|half| half.track.settled_count()).sum();
    let mut progress = Progress::new(total);
    let mut look = tokio::time::interval(progress::LOOK);
    tokio::pin!(played);
    loop {
        tokio::select! {
            ended = &mut played => {
                progress.finish(done());
                return ended;
            }
            _ = look.tick() => progress.show(done()),
        }
    }
}
