//! Takeover time: a processor ends, and its partitions wait for the other one.
//!
//! Measured from outside, by a reader of `outcomes`. After `kill -9`: from the signal to the first
//! new outcome behind the next owner's claim, of the slowest partition that the dead one had. At
//! a planned stop: from the last outcome before that claim to the first one behind it.
//!
//! Balances and references are put into cold beforehand, with a marker to match, so that a size
//! takes minutes to make and not hours: such a world is good for measuring, and is not checked.

mod bench;
mod fill;
mod tail;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use load::table::{Table, grouped};

use self::bench::{Bench, Conditions, Ended, PHASES};
use crate::stack::Stack;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Ends of a processor by `kill -9` for each size.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// Planned stops of a processor for each size.
    #[arg(long, default_value_t = 20)]
    stops: usize,
    /// Balances of each partition, a row for each number; none may be below the one before.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    balances: Vec<u64>,
    /// Remembered references of each partition.
    #[arg(long, default_value_t = 5_000_000)]
    references: u64,
    /// Partitions; each of the two processors has half of them.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..))]
    partitions: u16,
    /// Payments a second meanwhile.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// The processors' session in milliseconds, as an operator would set it [default: the
    /// program's own]
    #[arg(long)]
    session_ms: Option<u64>,
    /// Let nobody stand by: every takeover reads Postgres.
    #[arg(long)]
    without_standby: bool,
}

/// # Errors
/// If a takeover does not come to an end.
pub async fn run(options: &Options, program: &Path) -> Result<()> {
    let stack = Stack::find()?;
    let head = [
        "balances",
        "references",
        "end",
        "ends",
        "p50 ms",
        "p99 ms",
        "until claimed, p50 ms",
        "others' p99 ms",
        "back and standing by, p50 s",
        "phases, mean ms",
    ];
    let mut table = Table::new(&head);
    let conditions = Conditions {
        partitions: options.partitions,
        rate: options.rate,
        session_ms: options.session_ms,
        standby: !options.without_standby,
    };
    let mut bench = Bench::new(&stack, program, conditions).await?;
    for &balances in &options.balances {
        let running = bench.fill(balances, options.references).await?;
        for (end, signal, times) in [
            ("kill -9", "KILL", options.kills),
            ("planned", "TERM", options.stops),
        ] {
            let (mut ends, mut backs) = (Vec::new(), Vec::new());
            for at in 0..times {
                let (ended, back) = bench.end(&running, at, signal).await?;
                println!(
                    "  {balances} balances, {end}: {} ms, of which {} until claimed; {}; back in {back:.1?}",
                    ended.stood,
                    ended.unclaimed,
                    phases(std::slice::from_ref(&ended)),
                );
                ends.push(ended);
                backs.push(back);
            }
            let mut row = vec![
                grouped(balances),
                grouped(options.references),
                end.to_owned(),
                times.to_string(),
            ];
            row.extend(cells(&ends, &mut backs));
            if times > 0 {
                table.row(row);
            }
        }
        bench.rest(running).await?;
    }
    print!("{}", table.markdown());
    Ok(())
}

/// What is told of several ends.
fn cells(ends: &[Ended], backs: &mut [Duration]) -> [String; 6] {
    let of = |what: fn(&Ended) -> u64| ends.iter().map(what).collect::<Vec<u64>>();
    let text = |value: Option<u64>| value.map_or_else(String::new, |ms| ms.to_string());
    let (mut stood, mut unclaimed) = (of(|it| it.stood), of(|it| it.unclaimed));
    let mut others: Vec<u64> = ends.iter().flat_map(|it| it.others.clone()).collect();
    backs.sort_unstable();
    let back = backs.get(backs.len() / 2).copied().unwrap_or_default();
    [
        text(quantile(&mut stood, 0.5)),
        text(quantile(&mut stood, 0.99)),
        text(quantile(&mut unclaimed, 0.5)),
        text(quantile(&mut others, 0.99)),
        format!("{:.1}", back.as_secs_f64()),
        phases(ends),
    ]
}

/// How long each phase of a partition's takeover took, in milliseconds.
fn phases(ends: &[Ended]) -> String {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (phase, (sum, count)) in ends.iter().flat_map(|ended| &ended.phases) {
        let total = sums.entry(phase).or_default();
        total.0 += sum;
        total.1 += count;
    }
    let met = PHASES.iter().filter_map(|phase| {
        let (sum, count) = sums.get(phase)?;
        (*count > 0.0).then(|| format!("{phase} {:.0}", sum / count))
    });
    met.collect::<Vec<_>>().join(", ")
}

/// The value that `share` of all values do not exceed; sorts them.
fn quantile(values: &mut [u64], share: f64) -> Option<u64> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    let at = (share * values.len() as f64).ceil() as usize;
    values.get(at.saturating_sub(1).min(last)).copied()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values = vec![5, 1, 4, 2, 3];
        assert_eq!(quantile(&mut values, 0.5), Some(3));
        assert_eq!(quantile(&mut values, 0.99), Some(5));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
