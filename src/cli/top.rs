//! `steelyard top`: how far every group is behind on every partition, asked of Kafka itself.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use super::table::aligned;
use crate::config::duration;
use crate::ledger::PartitionId;
use crate::log::lag::to_json;
use crate::log::meter::{Lag, Meter};
use crate::log::reader::Reader;
use crate::telemetry::clock;
use crate::{log, telemetry};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Measure once, print, and end.
    #[arg(long, env = "STEELYARD_TOP_ONCE", help_heading = "Top")]
    once: bool,
    /// Print JSON, one object a measurement, instead of a table.
    #[arg(long, env = "STEELYARD_TOP_JSON", help_heading = "Top")]
    json: bool,
    /// How long to wait between two measurements.
    #[arg(
        long,
        env = "STEELYARD_TOP_INTERVAL",
        default_value = "2s",
        value_parser = duration,
        help_heading = "Top"
    )]
    interval: Duration,
    #[command(flatten, next_help_heading = "Kafka")]
    log: log::Options,
    #[command(flatten, next_help_heading = "Operations")]
    logs: telemetry::Logs,
}

/// Clears the screen and goes to its upper left.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Exits with 0 after one measurement, else goes on until it is interrupted.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::init(&args.logs)?;
    let options = args.log.clone();
    let meter = tokio::task::spawn_blocking(move || {
        let bounds = Reader::open(&options)?.all_bounds(&options.topics().commands)?;
        let count = PartitionId::try_from(bounds.len())?;
        Ok::<_, anyhow::Error>(Meter::new(&options, count)?)
    });
    let mut meter = meter.await??;
    let clears = stdout().is_terminal() && !args.once && !args.json;
    loop {
        let measured = tokio::task::spawn_blocking(move || {
            let now_ms = clock::now_ms();
            let lags = meter.measure(now_ms);
            (meter, lags, now_ms)
        });
        let (returned, lags, now_ms) = measured.await?;
        meter = returned;
        let lags = lags?;
        let text = match args.json {
            true => format!("{}\n", to_json(&lags, now_ms)),
            false => table(&lags),
        };
        let mut out = stdout();
        write!(out, "{}{text}", if clears { CLEAR } else { "" })?;
        out.flush()?;
        if args.once {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(args.interval).await;
    }
}

const HEAD: [&str; 8] = [
    "GROUP",
    "PARTITION",
    "COMMITTED",
    "END",
    "LAG",
    "SECONDS",
    "STATUS",
    "OWNER",
];

/// One line for every group on every partition, and one for each group.
fn table(lags: &[Lag]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for of_group in lags.chunk_by(|one, next| one.group == next.group) {
        rows.extend(of_group.iter().map(row));
        rows.push(total(of_group));
    }
    aligned(&rows)
}

fn row(lag: &Lag) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        lag.group.clone(),
        lag.partition.to_string(),
        lag.committed.map_or_else(dash, |at| at.to_string()),
        lag.end.to_string(),
        lag.records.to_string(),
        format!("{:.1}", lag.seconds),
        lag.status.slug().to_owned(),
        lag.owner.clone().unwrap_or_else(dash),
    ]
}

fn total(lags: &[Lag]) -> Vec<String> {
    let records: i64 = lags.iter().map(|lag| lag.records).sum();
    let oldest = lags.iter().map(|lag| lag.seconds).fold(0.0, f64::max);
    let worst = lags.iter().map(|lag| lag.status).max();
    let name = lags.first().map(|lag| lag.group.clone());
    vec![
        name.unwrap_or_default(),
        "all".to_owned(),
        String::new(),
        String::new(),
        records.to_string(),
        format!("{oldest:.1}"),
        worst.map_or("", |status| status.slug()).to_owned(),
        String::new(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::status::Status;

    fn lag(group: &str, partition: PartitionId, records: i64, status: Status) -> Lag {
        Lag {
            group: group.to_owned(),
            topic: "t".to_owned(),
            partition,
            committed: (records < 9).then_some(7),
            end: 7 + records,
            records,
            seconds: 0.5,
            status,
            owner: None,
        }
    }

    #[test]
    fn every_group_has_its_partitions_and_a_total() {
        let lags = [
            lag("g", 0, 2, Status::Ok),
            lag("g", 1, 9, Status::Stall),
            lag("h", 0, 0, Status::Ok),
        ];
        let text = table(&lags);
        let cells: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(cells[1], ["g", "0", "7", "9", "2", "0.5", "ok", "-"]);
        assert_eq!(cells[2], ["g", "1", "-", "16", "9", "0.5", "stall", "-"]);
        assert_eq!(cells[3], ["g", "all", "11", "0.5", "stall"]);
        assert_eq!(cells[5], ["h", "all", "0", "0.5", "ok"]);
    }
}
