//! Audit: reads outcomes, hot and cold, and proves that they agree. Writes nothing.
//!
//! | check | proves |
//! |---|---|
//! | caught-up | with `--wait`: every store stands at the last command |
//! | chain | every outcome names the command before it and the hash of the outcome before it, and carries its own; copies are the same bytes |
//! | commands | every record up to the last one decided has exactly one outcome |
//! | fold | the ledger's own fold over all outcomes keeps L1, L2, L3 and the order of legs |
//! | versions | a balance's versions are 1, 2, 3…; no reservation is negative |
//! | zero-sum | per asset, `posted` sums to zero in every partition, and so over all |
//! | transit | the mirrors of each pair of partitions show the money that its legs carry |
//! | once | no reference of a ledger has two home decisions, in one partition or in two |
//! | cold | rows and marker are the state as of the watermark, none missing, none extra |
//! | journal | transactions and entries are those of the outcomes up to its position |
//! | references | cold finds the transaction of every reference that was decided |
//! | hot | values are what the outcomes left; what is absent is in cold |
//! | replay | with `--replay`: the oracle decides every record of `commands` alike, byte for byte |
//!
//! One partition after the other is read as a stream; in memory are the balances of one, 33 bytes
//! for each reference, and the legs of one that another was not seen to receive. A running system
//! goes on meanwhile: each store is compared as of the command where it stands. Where outcomes are
//! trimmed the fold starts from what the log alone tells ([`crate::log::alone`]); only where it
//! does not tell, and a note says so, are cold's rows believed.

mod base;
mod books;
mod chain;
mod cold;
mod compare;
mod cursor;
mod history;
mod hot;
mod journal;
mod look;
mod once;
mod references;
mod replay;
pub mod report;
mod runs;
mod scan;
mod transit;
mod turn;
mod visit;
mod wait;
mod whole;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;

use crate::hot::audit::Reader;
use crate::hot::key::Keys;
use crate::ledger::{BalanceId, PartitionId};
use crate::log::reader::Reader as LogReader;
use turn::{Place, Sources};
use whole::Whole;

pub use replay::Recognition;
pub use report::{Check, Finding, Report, Verdict};

/// What to audit, and how to tell it.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Prints the report as JSON.
    #[arg(long, env = "STEELYARD_AUDIT_JSON")]
    pub json: bool,
    /// Audits this partition only; repeat or separate with commas. All of them by default.
    #[arg(
        long = "partition",
        env = "STEELYARD_AUDIT_PARTITIONS",
        value_name = "PARTITION",
        value_delimiter = ','
    )]
    pub only: Vec<PartitionId>,
    /// Decides every record of the log again, with a second implementation of the rules, and
    /// compares; needs the leg secret and the reply topics of the processors, and the whole log.
    #[arg(long, env = "STEELYARD_AUDIT_REPLAY")]
    pub replay: bool,
    /// Waits up to this long until hot and cold have caught up, in seconds; a store that has not
    /// is a difference then.
    #[arg(
        long = "wait",
        env = "STEELYARD_AUDIT_WAIT",
        value_name = "SECONDS",
        default_value_t = 0
    )]
    pub wait_seconds: u64,
}

/// Audits, prints the report, and gives the program's exit code: 0 clean, 1 broken, 2 could not be
/// told.
pub async fn command(
    options: &Options,
    log: &crate::log::Options,
    hot: &crate::hot::Options,
    pool: &PgPool,
    recognition: Option<Recognition>,
) -> ExitCode {
    let told = run(options, log, hot, pool, recognition).await;
    let code = told.as_ref().map_or(2, Report::exit_code);
    match (told, options.json) {
        (Ok(report), false) => println!("{report}"),
        (Ok(report), true) => println!("{:#}", report.json()),
        (Err(error), false) => println!("audit: could not be told: {error:#}"),
        (Err(error), true) => {
            let error = format!("{error:#}");
            println!("{:#}", serde_json::json!({"clean": false, "untold": error}));
        }
    }
    ExitCode::from(code)
}

/// Audits; with a `recognition` it replays too.
///
/// # Errors
/// If the log cannot be read; without it nothing can be proved. Hot or cold being away is told by
/// the checks that need them.
pub async fn run(
    options: &Options,
    log: &crate::log::Options,
    hot: &crate::hot::Options,
    pool: &PgPool,
    recognition: Option<Recognition>,
) -> anyhow::Result<Report> {
    let log_reader = Arc::new(LogReader::open(log)?);
    let bounds = outcomes(&log_reader, log).await?;
    let count = PartitionId::try_from(bounds.len()).context("more partitions than there can be")?;
    let partitions = chosen(&options.only, count)?;
    let reader = Reader::new(hot.connect()?, Keys::new(&hot.redis_prefix));
    let mut sources = Sources {
        reader: log_reader.clone(),
        topics: log.topics(),
        hot: reader,
        pool,
        count,
    };
    let mut audit = Whole::default();
    if options.wait_seconds > 0 {
        let bound = Duration::from_secs(options.wait_seconds);
        let waited = wait::until_caught_up(&mut sources, &partitions, bound).await?;
        audit.add([waited]);
    }
    let bounds = outcomes(&log_reader, log).await?;
    let mut keys = sources.hot.balances().await.map(by_partition);
    for number in partitions {
        let keys = match &mut keys {
            Ok(keys) => Ok(keys.remove(&number).unwrap_or_default()),
            Err(error) => Err(format!("redis: {error}")),
        };
        let (_, cut) = bounds.get(usize::from(number)).copied().unwrap_or_default();
        let scanned = turn::turn(&mut sources, Place { number, cut, keys }).await?;
        audit.take(scanned);
        if let Some(recognition) = recognition.clone() {
            let (reader, topics) = (log_reader.clone(), sources.topics.clone());
            let replayed = replay::replay(reader, topics, recognition, (number, count)).await?;
            audit.add([replayed]);
        }
    }
    audit.finish(&sources).await
}

async fn outcomes(
    reader: &Arc<LogReader>,
    log: &crate::log::Options,
) -> anyhow::Result<Vec<(u64, u64)>> {
    let (reader, topic) = (reader.clone(), log.topics().outcomes);
    let reading = tokio::task::spawn_blocking(move || reader.all_bounds(&topic));
    reading.await?.context("kafka cannot be read")
}

fn chosen(asked: &[PartitionId], count: PartitionId) -> anyhow::Result<Vec<PartitionId>> {
    let mut chosen = asked.to_vec();
    chosen.sort_unstable();
    chosen.dedup();
    match chosen.last() {
        None => Ok((0..count).collect()),
        Some(last) => {
            anyhow::ensure!(*last < count, "partition {last} is not among {count}");
            Ok(chosen)
        }
    }
}

fn by_partition(keys: Vec<(PartitionId, BalanceId)>) -> HashMap<PartitionId, Vec<BalanceId>> {
    let mut map: HashMap<_, Vec<_>> = HashMap::new();
    for (partition, id) in keys {
        map.entry(partition).or_default().push(id);
    }
    map
}
