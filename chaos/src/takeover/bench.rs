//! Two processors under a steady flow, one of which ends again and again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use load::kafka::group::Group;
use tokio::time::{Instant, sleep};

use super::fill;
use super::tail::{Outcomes, Taken};
use crate::drive::Size;
use crate::flow::Flow;
use crate::lab::Lab;
use crate::node::{Node, Role};
use crate::stack::Stack;
use crate::wait;
use crate::world::World;

/// How long one takeover may take before the measurement is given up, or a standby to be whole.
const TAKEN: Duration = Duration::from_secs(300);
/// How long things may settle between two ends.
const CALM: Duration = Duration::from_secs(3);
/// The gauge that only the owner of a partition has.
const OWNED: &str = "steelyard_partition_epoch{";
/// The gauge of a partition that an instance stands by for.
const STANDBY: &str = "steelyard_standby_whole";
/// The phases of a takeover, by the name of their metric's label.
pub(super) const PHASES: [&str; 9] = [
    "claim",
    "hot",
    "watermark",
    "cold",
    "log",
    "fold",
    "legs",
    "install",
    "start",
];

/// What an end is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) partitions: u16,
    pub(super) rate: u64,
    pub(super) session_ms: Option<u64>,
    pub(super) standby: bool,
}

/// One end of a processor, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    /// How long the slowest of its partitions stood.
    pub(super) stood: u64,
    /// Of that, until the next owner had claimed it.
    pub(super) unclaimed: u64,
    /// How late the outcomes of other partitions were meanwhile.
    pub(super) others: Vec<u64>,
    /// Sum and count of each phase, over all partitions.
    pub(super) phases: BTreeMap<&'static str, (f64, f64)>,
}

pub(super) struct Bench {
    lab: Lab,
    conditions: Conditions,
    /// What cold has been filled with: balances and references of each partition.
    filled: (u64, u64),
}

/// A flow, and what becomes of it.
pub(super) struct Running {
    flow: Flow,
    outcomes: Outcomes,
}

impl Bench {
    pub(super) async fn new(stack: &Stack, program: &Path, conditions: Conditions) -> Result<Self> {
        let size = Size {
            accounts: 64,
            clients: 1,
            think: Duration::from_millis(50),
        };
        let world = World::of(stack, program.to_owned(), conditions.partitions)?;
        let mut lab = Lab::start_in(world, size, 1).await?;
        sleep(CALM).await;
        lab.rest().await?;
        Ok(Self {
            lab,
            conditions,
            filled: (0, 0),
        })
    }

    /// Fills cold up to so many of each, and starts the flow. Everything is at rest before.
    pub(super) async fn fill(&mut self, balances: u64, references: u64) -> Result<Running> {
        let world = self.lab.world.clone();
        let (had, knew) = self.filled;
        fill::fill(&world, had..balances, knew..references).await?;
        self.filled = (balances, references);
        let flow = Flow::start(&world, &self.lab.drive.scene.cast, self.conditions.rate, 3)?;
        let outcomes = Outcomes::watch(&world)?;
        self.all_up().await?;
        Ok(Running { flow, outcomes })
    }

    /// Ends the flow, waits until cold has everything, and stops the nodes.
    pub(super) async fn rest(&mut self, running: Running) -> Result<()> {
        running.flow.finish().await;
        let world = self.lab.world.clone();
        let (log, topics) = (world.log(), world.log().topics());
        for (sink, topic) in [
            ("processor", &topics.commands),
            ("journal-sink", &topics.outcomes),
            ("balance-sink", &topics.snapshots),
        ] {
            let group = Group::watch(&log, &log.group(sink), topic, world.partitions)?;
            let done = async || matches!(group.lag(), Ok(Some(0))).then_some(());
            wait::until(&format!("{sink} to be at the end"), TAKEN, done).await?;
        }
        self.lab.stop().await
    }

    /// Starts what does not run, and waits until both processors have their share, and stand by
    /// for the other's. How long that took.
    pub(super) async fn all_up(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let conditions = self.conditions;
        let world = self.lab.world.clone().without_session();
        let session = conditions.session_ms.map(|ms| ms.to_string());
        let mut settings = Vec::new();
        settings.extend(session.as_deref().map(|ms| ("STEELYARD_SESSION_MS", ms)));
        if !conditions.standby {
            settings.push(("STEELYARD_STANDBY", "none"));
        }
        let nodes = self.lab.fleet.nodes.iter_mut();
        for node in nodes.filter(|node| node.role != Role::Ingress && !node.runs()) {
            node.start(&world, &settings)?;
        }
        let nodes = &self.lab.fleet.nodes;
        for node in nodes.iter().filter(|node| node.role == Role::Processor) {
            let all = f64::from(conditions.partitions);
            let is_up = async || {
                let owned = node.count(OWNED).await;
                let stands_by = node.metric(STANDBY, "").await;
                let whole = !conditions.standby || owned + stands_by >= all;
                (node.is_ready().await && owned > 0.0 && owned < all && whole).then_some(())
            };
            let what = format!("{} to have its share", node.name);
            wait::until(&what, TAKEN, is_up).await?;
        }
        Ok(began.elapsed())
    }

    /// Ends one processor, and starts it again.
    pub(super) async fn end(
        &mut self,
        running: &Running,
        at: usize,
        signal: &str,
    ) -> Result<(Ended, Duration)> {
        sleep(CALM).await;
        let names = ["processor-a", "processor-b"];
        let (name, other) = (names[at % 2], names[(at + 1) % 2]);
        let owned = self.lab.fleet.node(name)?.labels(OWNED, "partition").await;
        let owned: Vec<u16> = owned.iter().filter_map(|it| it.parse().ok()).collect();
        ensure!(!owned.is_empty(), "{name} owns nothing");
        let before = phases(self.lab.fleet.node(other)?).await;
        let began_ms = steelyard::telemetry::clock::now_ms();
        self.lab.fleet.node(name)?.signal(signal)?;
        let taken = wait::until("its partitions to go on", TAKEN, async || {
            let each = owned.iter();
            let each = each.map(|it| running.outcomes.taken(*it, began_ms));
            each.collect::<Option<Vec<_>>>()
        });
        let taken = taken.await?;
        let slowest = taken.iter().max_by_key(|taken| taken.first_ms);
        let Some(Taken {
            last_ms,
            claimed_ms,
            first_ms,
        }) = slowest.copied()
        else {
            return Ok(Default::default());
        };
        let from_ms = match signal {
            "KILL" => began_ms,
            _ => last_ms,
        };
        let others = running.outcomes.delays(&owned, began_ms);
        let mut phases = phases(self.lab.fleet.node(other)?).await;
        for (phase, (sum, count)) in &mut phases {
            let (sum_before, count_before) = before.get(phase).copied().unwrap_or_default();
            *sum -= sum_before;
            *count -= count_before;
        }
        self.lab
            .fleet
            .node(name)?
            .ended(Duration::from_secs(60))
            .await?;
        let back = self.all_up().await?;
        let ended = Ended {
            stood: u64::try_from(first_ms - from_ms).unwrap_or(0),
            unclaimed: u64::try_from(claimed_ms - from_ms).unwrap_or(0),
            others,
            phases,
        };
        Ok((ended, back))
    }
}

/// How long each phase has taken at `node` so far: milliseconds, and how often.
async fn phases(node: &Node) -> BTreeMap<&'static str, (f64, f64)> {
    let mut all = BTreeMap::new();
    for phase in PHASES {
        let label = format!("\"{phase}\"");
        let sum = node.metric("steelyard_takeover_seconds_sum", &label).await;
        let count = node.metric("steelyard_takeover_seconds_count", &label);
        all.insert(phase, (sum * 1000.0, count.await));
    }
    all
}
