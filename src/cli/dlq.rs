//! `steelyard dlq`: the records that could not be understood, listed, shown, and sent again.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use serde_json::{Value, json};

use super::table::{aligned, shown};
use crate::ledger::PartitionId;
use crate::ledger::route::partition_of_key;
use crate::log::letters::{Letter, letter, letters, send_again};
use crate::log::reader::Reader;
use crate::wire::record::{Headers, Raw, Recognizer};
use crate::wire::{Secret, Time};
use crate::{log, telemetry};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Lists the latest dead letters of every partition.
    List(List),
    /// Prints one dead letter with everything that is known of it.
    Show(Which),
    /// Sends one dead letter's record to commands again, if it would be understood now.
    ///
    /// Says what it would do, and does it with --yes. Headers that ask for a reply are left out.
    /// It is safe to repeat: a reference is applied once.
    Replay(Replay),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Options {
    #[command(flatten, next_help_heading = "Kafka")]
    log: log::Options,
    #[command(flatten, next_help_heading = "Operations")]
    logs: telemetry::Logs,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct List {
    /// Most letters of each partition.
    #[arg(long, default_value_t = 20)]
    limit: u64,
    /// Only those with this reason, such as `key-mismatch`.
    #[arg(long)]
    reason: Option<String>,
    /// Print JSON, one object a letter, instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Which {
    /// The partition of dead-letters.
    partition: PartitionId,
    /// The offset there.
    offset: u64,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Replay {
    #[command(flatten)]
    which: Which,
    /// Sends it under this key instead of its own: the id of the balance that decides.
    #[arg(long)]
    key: Option<String>,
    /// Do it.
    #[arg(long)]
    yes: bool,
}

/// Exits with 0 if it could do what was asked.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(args) => list(args).await?,
        Action::Show(which) => {
            let (letter, _) = find(&which).await?;
            println!("{:#}", in_full(&letter));
        }
        Action::Replay(args) => replay(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: List) -> anyhow::Result<()> {
    telemetry::init(&args.options.logs)?;
    let (options, limit) = (args.options.log.clone(), args.limit);
    let reading = tokio::task::spawn_blocking(move || latest(&options, limit));
    let mut found = reading.await??;
    found.retain(|letter| args.reason.as_ref().is_none_or(|it| *it == letter.reason()));
    if args.json {
        for letter in &found {
            println!("{}", in_full(letter));
        }
        return Ok(());
    }
    let head = [
        "PARTITION",
        "OFFSET",
        "AT",
        "REASON",
        "KEY",
        "BYTES",
        "DETAIL",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|letter| {
        vec![
            letter.partition.to_string(),
            letter.offset.to_string(),
            Time(letter.at_ms).utc().to_rfc3339(),
            shown(letter.reason().as_bytes(), 40),
            shown(&letter.key, 36),
            letter.value.len().to_string(),
            shown(letter.detail().as_bytes(), 80),
        ]
    }));
    print!("{}", aligned(&rows));
    Ok(())
}

fn latest(options: &log::Options, limit: u64) -> anyhow::Result<Vec<Letter>> {
    let (reader, topic) = (Reader::open(options)?, options.topics().dead_letters);
    let mut found = Vec::new();
    for (partition, (_, end)) in (0..).zip(reader.all_bounds(&topic)?) {
        let from = end.saturating_sub(limit);
        found.extend(letters(&reader, &topic, partition, from)?);
    }
    Ok(found)
}

/// The letter, and how many partitions `commands` has.
async fn find(which: &Which) -> anyhow::Result<(Letter, PartitionId)> {
    telemetry::init(&which.options.logs)?;
    let options = which.options.log.clone();
    let (partition, offset) = (which.partition, which.offset);
    let reading = tokio::task::spawn_blocking(move || {
        let (reader, topics) = (Reader::open(&options)?, options.topics());
        let count = reader.all_bounds(&topics.dead_letters)?.len();
        ensure!(
            usize::from(partition) < count,
            "there is no partition {partition}"
        );
        let found = letter(&reader, &topics.dead_letters, partition, offset)?;
        let commands = reader.all_bounds(&topics.commands)?.len();
        Ok::<_, anyhow::Error>((found, PartitionId::try_from(commands)?))
    });
    let (found, count) = reading.await??;
    match found {
        Some(letter) => Ok((letter, count)),
        None => bail!("partition {partition} has no dead letter at {offset}"),
    }
}

fn in_full(letter: &Letter) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let own = letter.own_headers();
    let own = own.map(|(name, value)| json!({"name": name, "value": text(value)}));
    let (topic, partition, offset) = letter.original();
    json!({
        "partition": letter.partition,
        "offset": letter.offset,
        "at": Time(letter.at_ms).utc().to_rfc3339(),
        "reason": letter.reason(),
        "detail": letter.detail(),
        "original": {"topic": topic, "partition": partition, "offset": offset},
        "key": text(&letter.key),
        "value": text(&letter.value),
        "truncated": letter.is_truncated(),
        "headers": own.collect::<Vec<_>>(),
    })
}

async fn replay(args: Replay) -> anyhow::Result<()> {
    let (letter, count) = find(&args.which).await?;
    ensure!(
        !letter.is_leg(),
        "it came as a leg, which only processors may send"
    );
    ensure!(!letter.is_truncated(), "something of it was cut off");
    let own = String::from_utf8_lossy(&letter.key).into_owned();
    let key = args.key.clone().unwrap_or(own);
    let partition = partition_of_key(key.as_bytes(), count);
    understood(&letter, &key, (partition, count))?;
    let bytes = letter.value.len();
    if !args.yes {
        println!("would send {bytes} bytes under {key} to partition {partition}; --yes does it");
        return Ok(());
    }
    let (partition, offset) = send_again(&args.which.options.log, &letter, &key, count).await?;
    println!("sent: {bytes} bytes under {key} are at {offset} of partition {partition}");
    Ok(())
}

/// Whether a processor would understand the record now.
fn understood(
    letter: &Letter,
    key: &str,
    (here, count): (PartitionId, PartitionId),
) -> anyhow::Result<()> {
    // No leg is opened with it.
    let secret = Secret::new("not a secret at all").map_err(anyhow::Error::msg)?;
    let mut recognizer = Recognizer::new(secret, Vec::new(), here, count);
    let raw = Raw {
        offset: letter.offset.max(1),
        key: (!key.is_empty()).then_some(key.as_bytes()),
        value: (!letter.value.is_empty()).then_some(&letter.value),
        headers: Headers::default(),
    };
    match recognizer.recognize(&raw) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "it would be a dead letter again: {}: {error}",
            error.kind.slug()
        ),
    }
}
