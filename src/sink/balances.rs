//! The balance sink: snapshots into balances, as markers are accepted (S1, S2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tracing::{debug, warn};
use uuid::Uuid;

use super::check::Mismatch;
use super::desk::{Desk, LOST, Pace, TICK, float};
use super::ports::{Feed, Hot, World};
use super::watch::{Judged, Told, Watch};
use super::watches::{Ledgers, Watches};
use super::{Options, Wiring};
use crate::cold::balances::Verdict;
use crate::cold::write::{Move, Sink, Written};
use crate::ledger::PartitionId;
use crate::log::follower::{Change, Next};

pub(super) struct Balances<W: World> {
    desk: Desk<W>,
    options: Options,
    book: Watches,
    hot: W::Hot,
    hot_is_away: bool,
}

impl<W: World> Balances<W> {
    pub(super) fn join(options: &Options, world: Arc<W>, wiring: Wiring) -> anyhow::Result<Self> {
        let hot = world.hot()?;
        let desk = Desk::join(Sink::Balances, world, wiring)?;
        let book = Watches {
            watches: BTreeMap::new(),
            ledgers: Ledgers::default(),
            generation: desk.generation,
            metrics: desk.metrics.clone(),
        };
        Ok(Self {
            desk,
            options: options.clone(),
            book,
            hot,
            hot_is_away: false,
        })
    }

    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let result = self.turns().await;
        self.desk.follower.leave(self.book.positions()).await;
        result
    }

    async fn turns(&mut self) -> anyhow::Result<()> {
        while !self.desk.stop.is_cancelled() {
            self.gather().await?;
            let moved = self.write().await?;
            self.leave_in_hot().await;
            self.desk.commit(&moved);
            self.report();
        }
        Ok(())
    }

    async fn gather(&mut self) -> anyhow::Result<()> {
        let Self {
            desk,
            book,
            options,
            ..
        } = self;
        desk.follower.resume(&book.reading())?;
        let change = {
            let next = tokio::select! {
                biased;
                () = desk.stop.cancelled() => return Ok(()),
                next = desk.follower.next() => next.context(LOST)?,
                () = desk.world.sleep(TICK) => return Ok(()),
            };
            match next {
                Next::Change(change) => Some(change),
                Next::Record(message) => {
                    book.take(&message);
                    None
                }
            }
        };
        if let Some(change) = change {
            return self.change(change).await;
        }
        let mut pace = Pace::new(options.gather_max(), desk.world.now());
        let drained = desk.follower.drain(|message| {
            book.take(message);
            pace.goes_on() || !(pace.is_over(desk.world.now()) || book.full(options))
        });
        drained.context(LOST)
    }

    async fn change(&mut self, change: Change) -> anyhow::Result<()> {
        match change {
            Change::Taken(partitions) => self.close(&partitions),
            Change::Given(partitions) => {
                let positions = self.open(&partitions).await?;
                self.desk.commit(&positions);
                let started = self.desk.follower.start(positions)?;
                self.close(&partitions.difference(&started).copied().collect());
            }
        }
        Ok(())
    }

    /// Begins the watches of partitions where cold is; none if the sink is to stop first.
    async fn open(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
    ) -> anyhow::Result<BTreeMap<PartitionId, u64>> {
        let mut positions = BTreeMap::new();
        for stored in self.desk.checkpoints(partitions).await?.unwrap_or_default() {
            let sums = loop {
                let sums = self.desk.world.sums(stored.partition).await;
                match self.desk.answer(sums).await? {
                    Some(sums) => break sums,
                    None if self.desk.stop.is_cancelled() => return Ok(positions),
                    None => {}
                }
            };
            positions.insert(stored.partition, stored.position);
            if let Some(accepted) = stored.command_offset {
                self.hot.note(stored.partition, accepted, []);
            }
            self.book
                .watches
                .insert(stored.partition, Watch::new(stored, sums));
        }
        Ok(positions)
    }

    fn close(&mut self, partitions: &BTreeSet<PartitionId>) {
        for partition in partitions {
            self.book.watches.remove(partition);
            self.desk.ungauge(*partition);
            self.desk
                .metrics
                .unaccepted
                .remove_label_values(&[&partition.to_string()])
                .ok();
        }
    }

    /// Writes what has a marker that matches; where the positions are then.
    async fn write(&mut self) -> anyhow::Result<BTreeMap<PartitionId, u64>> {
        loop {
            let moves: Vec<Move> = self.book.watches.values().filter_map(Watch::step).collect();
            if moves.is_empty() {
                return Ok(BTreeMap::new());
            }
            let begun = self.desk.world.now();
            let (result, judged) = self.attempt(&moves).await;
            match self.desk.answer(result).await? {
                Some(Written::Done(())) => return Ok(self.written(judged, begun)),
                Some(Written::Moved) => return self.read_again(&moves).await,
                None if self.desk.stop.is_cancelled() => return Ok(BTreeMap::new()),
                None => {
                    let taken = self.desk.follower.taken();
                    self.close(&taken);
                    self.report();
                }
            }
        }
    }

    async fn attempt(&self, moves: &[Move]) -> (Result<Written<()>, sqlx::Error>, Vec<Judged>) {
        let watches = &self.book.watches;
        let ids: Vec<Uuid> = watches.values().flat_map(Watch::ids).collect();
        let keys: Vec<_> = watches.values().flat_map(Watch::keys).collect();
        let mut judged = Vec::new();
        let touched = (&ids[..], &keys[..]);
        let result = self.desk.world.write_balances(moves, touched, |stands| {
            judged = watches
                .values()
                .filter_map(|watch| watch.judge(stands))
                .collect();
            let accepted = || judged.iter().filter(|judged| judged.result.is_ok());
            let pairs =
                || accepted().filter_map(|judged| Some((watches.get(&judged.partition)?, judged)));
            Verdict {
                rows: pairs()
                    .flat_map(|(watch, judged)| watch.rows(judged))
                    .collect(),
                holds: pairs()
                    .flat_map(|(watch, judged)| watch.holds(judged))
                    .collect(),
                moves: accepted().filter_map(Judged::moved).collect(),
            }
        });
        (result.await, judged)
    }

    fn written(&mut self, judged: Vec<Judged>, begun: Instant) -> BTreeMap<PartitionId, u64> {
        let (mut positions, mut rows) = (BTreeMap::new(), 0);
        for judged in judged {
            let (partition, result) = (judged.partition, judged.result);
            let name = result.err().map_or("accepted", Mismatch::name);
            let markers = &self.desk.metrics.markers;
            markers.with_label_values(&[name]).inc();
            if let Err(mismatch) = result {
                debug!(partition, %mismatch, "a marker is passed over");
            }
            let Some(watch) = self.book.watches.get_mut(&partition) else {
                continue;
            };
            let told = watch.settle(judged);
            positions.insert(partition, watch.stored.position);
            rows += told.rows;
            self.tell(partition, told);
        }
        let (rows, seconds) = (float(rows), (self.desk.world.now() - begun).as_secs_f64());
        self.desk.observe(rows, seconds);
        positions
    }

    fn tell(&mut self, partition: PartitionId, told: Told) {
        let (metrics, label) = (&self.desk.metrics, &[partition.to_string()]);
        let rows = metrics.balance_rows.with_label_values(label);
        rows.inc_by(told.rows);
        let synced = metrics.synced.with_label_values(label);
        synced.inc_by(told.commands);
        let aggregation = metrics.aggregation.with_label_values(label);
        aggregation.set(synced.get() as f64 / rows.get().max(1) as f64);
        let stale = metrics.stale_snapshots.with_label_values(label);
        stale.inc_by(told.stale.len() as u64);
        if !told.stale.is_empty() {
            warn!(partition, stale = ?told.stale, "snapshots older than cold are named");
            self.hot.name_stale(partition, told.stale);
        }
        if let Some(accepted) = told.accepted {
            self.hot.note(partition, accepted, told.synced);
        }
    }

    /// Cold stands elsewhere than this member thought: it is cold that counts.
    async fn read_again(&mut self, moves: &[Move]) -> anyhow::Result<BTreeMap<PartitionId, u64>> {
        let partitions: BTreeSet<_> = moves.iter().map(|step| step.to.partition).collect();
        warn!(
            ?partitions,
            "balances were written by another instance; reading on from there"
        );
        let positions = self.open(&partitions).await?;
        self.desk.follower.seek(&positions)?;
        Ok(positions)
    }

    /// Hot may be away: its owner finds the accepted marker later.
    async fn leave_in_hot(&mut self) {
        match self.hot.leave().await {
            Ok(()) => self.hot_is_away = false,
            Err(error) => {
                self.desk.metrics.hot_failures.inc();
                if !self.hot_is_away {
                    warn!(%error, "hot is not told what is in cold");
                }
                self.hot_is_away = true;
            }
        }
    }

    fn report(&mut self) {
        let now = self.desk.world.now();
        if !self.desk.reports_now() {
            return;
        }
        let alarm = Duration::from_secs(self.options.sink_alarm_seconds.into());
        let mut trouble = None;
        for watch in self.book.watches.values_mut() {
            let waited = watch.waited(now);
            let partition = watch.stored.partition;
            self.desk.gauge(&watch.stored, waited.is_some());
            let (metrics, label) = (&self.desk.metrics, &[partition.to_string()]);
            metrics
                .snapshots
                .with_label_values(label)
                .inc_by(watch.take_count());
            let unaccepted = metrics.unaccepted.with_label_values(label);
            unaccepted.set(waited.unwrap_or_default().as_secs_f64());
            if waited.is_some_and(|waited| waited > alarm) {
                trouble = Some(format!(
                    "partition {partition}: no marker matches since command {:?}",
                    watch.stored.command_offset
                ));
            }
        }
        self.desk.say(trouble);
    }
}
