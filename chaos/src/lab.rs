//! The lab: a world under load, to which faults are done one after the other.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use load::rng::Rng;
use steelyard::telemetry::clock;
use tokio::time::Instant;

use crate::check::{self, Tally};
use crate::drive::{Drive, Size};
use crate::fleet::Fleet;
use crate::node::Role;
use crate::stack::Stack;
use crate::wait;
use crate::world::World;

/// How long everything may take to come to rest once it is healed, in seconds.
const QUIET_SECONDS: u64 = 120;
/// How long clients may go without a single answer once everything is healed.
const ALIVE: Duration = Duration::from_secs(60);
/// How far ahead of the end there may be no hold that expires: longer than the short ones last.
const SOON_MS: i64 = 10_000;
/// How long holds may stay open when their time is over and everything is healed.
const EXPIRED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Lab {
    pub world: World,
    pub fleet: Fleet,
    pub drive: Drive,
    pub rng: Rng,
}

impl Lab {
    /// A fresh world on `stack`, its nodes, and load on them.
    pub async fn start(stack: &Stack, program: &Path, size: Size, seed: u64) -> Result<Self> {
        let world = World::new(stack, program.to_owned())?;
        Self::start_in(world, size, seed).await
    }

    /// The same in a world that is there already.
    pub async fn start_in(world: World, size: Size, seed: u64) -> Result<Self> {
        let mut rng = Rng::new(seed);
        let mut fleet = Fleet::start(&world, &mut rng).await?;
        let drive = Drive::start(&world, &mut fleet, size, &mut rng).await;
        let drive = match drive {
            Ok(drive) => drive,
            Err(error) => return Err(error.context(fleet.waits().await)),
        };
        Ok(Self {
            world,
            fleet,
            drive,
            rng,
        })
    }

    /// Lets the load run for a while.
    pub async fn run_for(&mut self, low_ms: u64, high_ms: u64) {
        let pause = Duration::from_millis(self.rng.between(low_ms, high_ms));
        tokio::time::sleep(pause).await;
    }

    /// Waits until clients are answered again, and something new is decided in every partition: the
    /// fault before it is healed.
    pub async fn is_alive(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let answered = self.drive.answered();
        let decided = self.fleet.applied(self.world.partitions).await;
        let more = async || {
            if self.drive.answered() <= answered + 20 {
                return None;
            }
            let now = self.fleet.applied(self.world.partitions).await;
            let goes_on = now.iter().zip(&decided).all(|(now, then)| now > then);
            goes_on.then_some(())
        };
        let waited = wait::until("clients to be answered again", ALIVE, more).await;
        if let Err(error) = waited {
            return Err(error.context(self.fleet.waits().await));
        }
        self.fleet.check()?;
        Ok(started.elapsed())
    }

    /// Ends the load, waits until everything is in the stores, and stops everything but the
    /// ingresses as planned.
    pub async fn rest(&mut self) -> Result<()> {
        self.drive.finish().await?;
        let (code, said) = self.audit().await?;
        ensure!(code == Some(0), "the audit is not clean:\n{said}");
        self.stop().await
    }

    /// Stops everything but the ingresses as planned.
    pub async fn stop(&mut self) -> Result<()> {
        let nodes = self.fleet.nodes.iter_mut();
        for node in nodes.filter(|node| node.role != Role::Ingress && node.runs()) {
            node.stop().await?;
        }
        Ok(())
    }

    /// Waits until cold has no open hold whose time was over at `at_ms`.
    async fn nothing_is_due(&self, at_ms: i64) -> Result<()> {
        let pool = self.world.cold().connect()?;
        let count = "select count(*) from holds where state in ('pending', 'open') \
                     and expires_at <= to_timestamp($1)";
        let none = async || {
            let due = sqlx::query_scalar::<_, i64>(count).bind(at_ms as f64 / 1000.0);
            (due.fetch_one(&pool).await.ok()? == 0).then_some(())
        };
        wait::until("holds to expire whose time is over", EXPIRED, none).await?;
        Ok(())
    }

    async fn audit(&self) -> Result<(Option<i32>, String)> {
        let (world, wait) = (self.world.clone(), QUIET_SECONDS.to_string());
        let auditing = tokio::task::spawn_blocking(move || world.say(&["audit", "--wait", &wait]));
        auditing.await?
    }

    /// Ends the load, waits until everything has come to rest, and checks it.
    pub async fn finish(mut self) -> Result<Tally> {
        let began = Instant::now();
        self.fleet.ready().await?;
        let told = self.drive.finish().await?;
        let answered = began.elapsed();
        // Cold knows every hold once it has caught up, and once none of them expires any more
        // nothing is written behind the checker's back.
        self.audit().await?;
        let soon_ms = clock::now_ms() + SOON_MS;
        self.nothing_is_due(soon_ms).await?;
        let (code, said) = self.audit().await?;
        println!(
            "  quiet {:.1} s after the last order, its last answer after {:.1} s",
            began.elapsed().as_secs_f64(),
            answered.as_secs_f64()
        );
        self.fleet.check()?;
        let checked = check::check(&self.world, told, soon_ms).await;
        let tally = checked.with_context(|| format!("the world is {}", self.world.name))?;
        if code != Some(0) {
            let waits = self.fleet.waits().await;
            bail!("the audit is not clean:\n{said}\n{waits}");
        }
        for (what, times) in [
            ("answers", tally.answers),
            ("replies", tally.replies),
            ("reads", tally.reads),
            ("holds", tally.holds),
        ] {
            ensure!(times > 0, "no {what} were seen: this proves nothing");
        }
        Ok(tally)
    }
}
