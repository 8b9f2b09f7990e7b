//! What both sinks work with: the topic they follow, Postgres, and whom they tell how they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::ports::{Feed, World};
use super::{Report, SinkMetrics, Wiring, role};
use crate::cold::write::{Checkpoint, Sink};
use crate::ledger::PartitionId;
use crate::telemetry::clock;
use crate::telemetry::failpoint::{self, Point};
use crate::telemetry::health::State;
use crate::wire::Time;

/// The shortest and the longest pause between two attempts at Postgres.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often gauges move while nothing arrives.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How often a sink looks where cold stands, if no write tells.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Desk<W: World> {
    pub(super) sink: Sink,
    pub(super) follower: W::Feed,
    pub(super) world: Arc<W>,
    pub(super) generation: Uuid,
    pub(super) metrics: SinkMetrics,
    pub(super) stop: CancellationToken,
    report: Report,
    /// What was said last.
    said: Option<String>,
    waiting: bool,
    pause: Duration,
    reported: Option<Instant>,
    looked: Option<Instant>,
}

/// How long one gathering goes on. Looks at the clock now and then only.
pub(super) struct Pace {
    until: Instant,
    records: u32,
}

impl Pace {
    pub(super) fn new(most: Duration, now: Instant) -> Self {
        Self {
            until: now + most,
            records: 0,
        }
    }

    /// Whether this record is not one after which to look at time and bounds.
    pub(super) fn goes_on(&mut self) -> bool {
        self.records = self.records.wrapping_add(1);
        !self.records.is_multiple_of(64)
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }
}

impl<W: World> Desk<W> {
    pub(super) fn join(sink: Sink, world: Arc<W>, wiring: Wiring) -> anyhow::Result<Self> {
        let follower = world.follow(sink)?;
        Ok(Self {
            sink,
            follower,
            world,
            generation: wiring.generation,
            metrics: wiring.metrics,
            stop: wiring.stop,
            report: wiring.report,
            said: None,
            waiting: false,
            pause: PAUSE_MIN,
            reported: None,
            looked: None,
        })
    }

    /// Says how the sink is, if that is news. While it waits for Postgres, that is what it says.
    pub(super) fn say(&mut self, trouble: Option<String>) {
        if !self.waiting {
            self.tell(trouble);
        }
    }

    fn tell(&mut self, trouble: Option<String>) {
        if self.said == trouble {
            return;
        }
        (self.report)(
            role(self.sink),
            trouble.clone().map_or(State::Ok, State::waiting),
        );
        self.said = trouble;
    }

    /// Whether it is time to move gauges again.
    pub(super) fn reports_now(&mut self) -> bool {
        let now = self.world.now();
        let due = self
            .reported
            .is_none_or(|reported| now - reported >= TICK / 4);
        if due {
            self.reported = Some(now);
        }
        due
    }

    /// Whether it is time to look where cold stands.
    pub(super) fn looks_now(&mut self) -> bool {
        let now = self.world.now();
        let due = now - *self.looked.get_or_insert(now) >= LOOK;
        if due {
            self.looked = Some(now);
        }
        due
    }

    /// What Postgres answered. If it did not, waits a while, as a member of the group, and
    /// answers nothing: the caller tries again unless it is to stop.
    pub(super) async fn answer<T>(
        &mut self,
        result: Result<T, sqlx::Error>,
    ) -> anyhow::Result<Option<T>> {
        let gauge = self.metrics.waiting.with_label_values(&[self.sink.name()]);
        let error = match result {
            Ok(answer) => {
                if self.waiting {
                    info!(sink = self.sink.name(), "cold answers again");
                    self.tell(None);
                }
                self.waiting = false;
                gauge.set(0);
                self.pause = PAUSE_MIN;
                return Ok(Some(answer));
            }
            Err(error) => error,
        };
        if !self.waiting {
            match refused(&error) {
                true => error!(%error, sink = self.sink.name(), "cold refuses what it is given"),
                false => warn!(%error, sink = self.sink.name(), "waiting for cold"),
            }
        }
        self.waiting = true;
        gauge.set(1);
        self.tell(Some(format!("waiting for Postgres: {error}")));
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            idle = self.follower.idle(pause) => idle.context(LOST)?,
        }
        Ok(None)
    }

    /// Reads the positions of partitions; nothing if the sink is to stop first.
    pub(super) async fn checkpoints(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
    ) -> anyhow::Result<Option<Vec<Checkpoint>>> {
        let partitions: Vec<_> = partitions.iter().copied().collect();
        while !self.stop.is_cancelled() {
            let foreign = self.world.foreign_generation().await;
            let Some(foreign) = self.answer(foreign).await? else {
                continue;
            };
            if let Some(foreign) = foreign {
                bail!(
                    "cold was filled from the log {foreign}, and this is the log {}: its topics \
                     were made anew; use another database schema, or bring the old log back",
                    self.generation
                );
            }
            let found = self.world.checkpoints(self.sink, &partitions).await;
            if let Some(found) = self.answer(found).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Shows operators how far cold is.
    pub(super) fn commit(&self, positions: &BTreeMap<PartitionId, u64>) {
        if !positions.is_empty() {
            failpoint::pass(Point::BeforeGroupCommit);
            self.follower.commit(positions);
        }
    }

    /// One write: how many rows, how long.
    pub(super) fn observe(&self, rows: f64, seconds: f64) {
        let label = &[self.sink.name()];
        self.metrics
            .batch_rows
            .with_label_values(label)
            .observe(rows);
        self.metrics
            .write_seconds
            .with_label_values(label)
            .observe(seconds);
    }

    /// Moves the gauges of a partition.
    pub(super) fn gauge(&self, stored: &Checkpoint, behind: bool) {
        let labels = [self.sink.name(), &stored.partition.to_string()];
        let position = i64::try_from(stored.position).unwrap_or(i64::MAX);
        self.metrics
            .position
            .with_label_values(&labels)
            .set(position);
        if let Some(offset) = stored.command_offset {
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            self.metrics
                .watermark
                .with_label_values(&labels)
                .set(offset);
        }
        let age = stored.at.filter(|_| behind).map_or(0.0, seconds_since);
        self.metrics.age.with_label_values(&labels).set(age);
    }

    /// Takes the gauges of a partition back: another instance has it.
    pub(super) fn ungauge(&self, partition: PartitionId) {
        let labels = [self.sink.name(), &partition.to_string()];
        let metrics = &self.metrics;
        for gone in [
            metrics.position.remove_label_values(&labels),
            metrics.watermark.remove_label_values(&labels),
            metrics.age.remove_label_values(&labels),
            metrics.halted.remove_label_values(&labels),
        ] {
            gone.ok();
        }
    }
}

/// Why following cannot go on by itself.
pub(super) const LOST: &str = "the log does not have what comes next any more: its retention is \
    shorter than the time this sink was away";

/// Whether Postgres was there and would not take what it was given.
fn refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| {
        ["22", "23", "42"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

/// The machine's clock serves for gauges only.
fn seconds_since(at: Time) -> f64 {
    let elapsed = clock::now_ms().saturating_sub(at.0);
    Duration::from_millis(u64::try_from(elapsed).unwrap_or(0)).as_secs_f64()
}

/// A count for a histogram.
pub(super) fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
