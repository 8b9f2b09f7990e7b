//! Takeover time: a processor ends, and its partitions wait for the other one.
//!
//! Measured from outside, by a reader of `outcomes`. After `kill -9`: from the signal to the first
//! new outcome behind the next owner's claim, of the slowest partition that the dead one had. At
//! a planned stop: from the last outcome before that claim to the first one behind it.
//!
//! Balances and references are put into cold beforehand, with a marker to match, so that a size
//! takes minutes to make and not hours: such a world is good for measuring, and is not checked.

mod fill;
mod tail;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use load::table::{Table, grouped};
use tokio::time::sleep;

use self::tail::Outcomes;
use crate::drive::Size;
use crate::flow::Flow;
use crate::lab::Lab;
use crate::node::Role;
use crate::stack::Stack;
use crate::wait;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Ends of a processor by `kill -9` for each size; half as many planned stops.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// Balances of each partition, a row for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    balances: Vec<u64>,
    /// Remembered references of each partition.
    #[arg(long, default_value_t = 5_000_000)]
    references: u64,
    /// Payments a second meanwhile.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// The processors' session in milliseconds, as an operator would set it [default: the
    /// program's own]
    #[arg(long)]
    session_ms: Option<u64>,
}

/// How long one takeover may take before the measurement is given up.
const TAKEN: Duration = Duration::from_secs(300);
/// How long things may settle between two ends.
const CALM: Duration = Duration::from_secs(3);
/// The gauge that only the owner of a partition has.
const OWNED: &str = "steelyard_partition_epoch{";

/// # Errors
/// If a takeover does not come to an end.
pub async fn run(options: &Options, program: &Path) -> Result<()> {
    let stack = Stack::find()?;
    let head = [
        "balances",
        "references",
        "end",
        "p50",
        "p99",
        "most",
        "others' p99",
    ];
    let mut table = Table::new(&head);
    for &balances in &options.balances {
        let mut bench = Bench::start(&stack, program, options, balances).await?;
        for (end, signal, times) in [
            ("kill -9", "KILL", options.kills),
            ("planned", "TERM", options.kills / 2),
        ] {
            let (mut taken, mut others) = (Vec::new(), Vec::new());
            for at in 0..times {
                let (ms, meanwhile) = bench.end(at, signal).await?;
                println!("  {balances} balances, {end}: {ms} ms");
                taken.push(ms);
                others.extend(meanwhile);
            }
            let ms = |value: Option<u64>| value.map_or_else(String::new, |ms| format!("{ms} ms"));
            table.row(vec![
                grouped(balances),
                grouped(options.references),
                end.to_owned(),
                ms(quantile(&mut taken, 0.5)),
                ms(quantile(&mut taken, 0.99)),
                ms(taken.last().copied()),
                ms(quantile(&mut others, 0.99)),
            ]);
        }
        bench.flow.finish().await;
    }
    print!("{}", table.markdown());
    Ok(())
}

/// The value that `share` of all values do not exceed; sorts them.
fn quantile(values: &mut [u64], share: f64) -> Option<u64> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    let at = (share * values.len() as f64).ceil() as usize;
    values.get(at.saturating_sub(1).min(last)).copied()
}

/// Two processors of a size, under a steady flow.
struct Bench {
    lab: Lab,
    flow: Flow,
    outcomes: Outcomes,
    session_ms: Option<String>,
}

impl Bench {
    async fn start(
        stack: &Stack,
        program: &Path,
        options: &Options,
        balances: u64,
    ) -> Result<Self> {
        let size = Size {
            accounts: 64,
            clients: 1,
            think: Duration::from_millis(50),
        };
        let mut lab = Lab::start(stack, program, size, balances).await?;
        sleep(CALM).await;
        lab.rest().await?;
        let world = lab.world.clone();
        fill::fill(&world, balances, options.references).await?;
        let flow = Flow::start(&world, &lab.drive.scene.cast, options.rate, 3)?;
        let mut bench = Self {
            outcomes: Outcomes::watch(&world)?,
            flow,
            lab,
            session_ms: options.session_ms.map(|ms| ms.to_string()),
        };
        bench.all_up().await?;
        Ok(bench)
    }

    /// Starts what does not run, and waits until both processors have their share.
    async fn all_up(&mut self) -> Result<()> {
        let world = self.lab.world.clone().without_session();
        let session = self.session_ms.as_deref();
        let session = session.map(|ms| ("STEELYARD_SESSION_MS", ms));
        let settings: Vec<(&str, &str)> = session.into_iter().collect();
        let nodes = self.lab.fleet.nodes.iter_mut();
        for node in nodes.filter(|node| node.role != Role::Ingress && !node.runs()) {
            node.start(&world, &settings)?;
        }
        let nodes = &self.lab.fleet.nodes;
        for node in nodes.iter().filter(|node| node.role == Role::Processor) {
            let owns = async || {
                let owns = node.is_ready().await && node.count(OWNED).await > 0.0;
                owns.then_some(())
            };
            let what = format!("{} to own something", node.name);
            wait::until(&what, TAKEN, owns).await?;
        }
        Ok(())
    }

    /// Ends one processor; how long its partitions stood, and how late the others' outcomes were
    /// meanwhile, all in milliseconds.
    async fn end(&mut self, at: usize, signal: &str) -> Result<(u64, Vec<u64>)> {
        sleep(CALM).await;
        let name = ["processor-a", "processor-b"][at % 2];
        let node = self.lab.fleet.node(name)?;
        let owned = node.labels(OWNED, "partition").await;
        let owned: Vec<u16> = owned.iter().filter_map(|it| it.parse().ok()).collect();
        ensure!(!owned.is_empty(), "{name} owns nothing");
        let began_ms = steelyard::telemetry::clock::now_ms();
        node.signal(signal)?;
        let taken = wait::until("its partitions to go on", TAKEN, async || {
            let each = owned.iter().map(|it| self.outcomes.taken(*it, began_ms));
            each.collect::<Option<Vec<_>>>()
        });
        let taken = taken.await?;
        let stood = taken.iter().map(|taken| match signal {
            "KILL" => taken.first_ms - began_ms,
            _ => taken.first_ms - taken.last_ms,
        });
        let stood = stood.max().unwrap_or(0);
        let others = self.outcomes.delays(&owned, began_ms);
        let node = self.lab.fleet.node(name)?;
        node.ended(Duration::from_secs(60)).await?;
        self.all_up().await?;
        Ok((u64::try_from(stood)?, others))
    }
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
