//! The journal sink: outcomes into transactions, entries and references.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tracing::{error, warn};

use super::desk::{Desk, LOST, Pace, TICK, float};
use super::page::Page;
use super::pages::Pages;
use super::ports::{Feed, World};
use super::{Options, Wiring};
use crate::cold::journal::{Conflict, Month, Part};
use crate::cold::write::{Move, Sink, Written};
use crate::ledger::PartitionId;
use crate::log::follower::{Change, Next};

pub(super) struct Journal<W: World> {
    desk: Desk<W>,
    options: Options,
    book: Pages,
    /// Months whose tables are there.
    months: HashSet<Month>,
}

impl<W: World> Journal<W> {
    pub(super) fn join(options: &Options, world: Arc<W>, wiring: Wiring) -> anyhow::Result<Self> {
        let desk = Desk::join(Sink::Journal, world, wiring)?;
        let book = Pages {
            pages: BTreeMap::new(),
            generation: desk.generation,
            metrics: desk.metrics.clone(),
        };
        Ok(Self {
            desk,
            options: options.clone(),
            book,
            months: HashSet::new(),
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
            self.write().await?;
            self.look().await?;
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

    /// Begins the pages of partitions where cold is; none if the sink is to stop first.
    async fn open(
        &mut self,
        partitions: &BTreeSet<PartitionId>,
    ) -> anyhow::Result<BTreeMap<PartitionId, u64>> {
        let mut positions = BTreeMap::new();
        for stored in self.desk.checkpoints(partitions).await?.unwrap_or_default() {
            positions.insert(stored.partition, stored.position);
            self.book.pages.insert(stored.partition, Page::new(stored));
        }
        Ok(positions)
    }

    fn close(&mut self, partitions: &BTreeSet<PartitionId>) {
        for partition in partitions {
            self.book.pages.remove(partition);
            self.desk.ungauge(*partition);
        }
    }

    async fn write(&mut self) -> anyhow::Result<()> {
        loop {
            let moves: Vec<Move> = self.book.pages.values().filter_map(Page::step).collect();
            if moves.is_empty() {
                return Ok(());
            }
            let begun = self.desk.world.now();
            let result = self.attempt(&moves).await;
            match self.desk.answer(result).await? {
                Some(Written::Done(conflicts)) => {
                    self.written(moves, &conflicts, begun);
                    return Ok(());
                }
                Some(Written::Moved) => {
                    let partitions = moves.iter().map(|step| step.to.partition);
                    return self.read_again(&partitions.collect()).await;
                }
                None if self.desk.stop.is_cancelled() => return Ok(()),
                None => {
                    let taken = self.desk.follower.taken();
                    self.close(&taken);
                    self.report();
                }
            }
        }
    }

    async fn attempt(&mut self, moves: &[Move]) -> Result<Written<Vec<Conflict>>, sqlx::Error> {
        let missing = self.book.months(&self.months);
        if !missing.is_empty() {
            self.desk.world.ensure_months(&missing).await?;
            self.months.extend(missing);
        }
        let parts: Vec<&Part> = self.book.pages.values().map(|page| &page.part).collect();
        self.desk.world.write_journal(moves, &parts).await
    }

    fn written(&mut self, moves: Vec<Move>, conflicts: &[Conflict], begun: Instant) {
        let rows: usize = self.book.pages.values().map(|page| page.part.rows()).sum();
        let (rows, seconds) = (
            float(rows as u64),
            (self.desk.world.now() - begun).as_secs_f64(),
        );
        self.desk.observe(rows, seconds);
        let metrics = &self.desk.metrics;
        metrics.conflicts.inc_by(conflicts.len() as u64);
        for Conflict {
            ledger,
            reference,
            kept,
            other,
        } in conflicts
        {
            error!(%ledger, %reference, %kept, %other, "S4: a reference stands for two transactions");
        }
        let mut positions = BTreeMap::new();
        for Move { to, .. } in moves {
            positions.insert(to.partition, to.position);
            let Some(page) = self.book.pages.get_mut(&to.partition) else {
                continue;
            };
            let partition = to.partition.to_string();
            metrics
                .outcomes
                .with_label_values(&[&partition])
                .inc_by(page.outcomes);
            page.written(to);
        }
        self.desk.commit(&positions);
    }

    /// Looks now and then whether the journal was sent back, as a rebuild does: where no outcome
    /// comes any more, no write finds that out.
    async fn look(&mut self) -> anyhow::Result<()> {
        if !self.desk.looks_now() {
            return Ok(());
        }
        let pages = &self.book.pages;
        let partitions: BTreeSet<_> = pages.keys().copied().collect();
        let stored = self.desk.checkpoints(&partitions).await?;
        let moved = stored.unwrap_or_default().into_iter().filter(|stored| {
            let page = self.book.pages.get(&stored.partition);
            page.is_some_and(|page| page.stored.position != stored.position)
        });
        let moved: BTreeSet<_> = moved.map(|stored| stored.partition).collect();
        match moved.is_empty() {
            true => Ok(()),
            false => self.read_again(&moved).await,
        }
    }

    /// Cold stands elsewhere than this member thought: it is cold that counts.
    async fn read_again(&mut self, partitions: &BTreeSet<PartitionId>) -> anyhow::Result<()> {
        warn!(
            ?partitions,
            "the journal was written by another instance; reading on from there"
        );
        let positions = self.open(partitions).await?;
        Ok(self.desk.follower.seek(&positions)?)
    }

    fn report(&mut self) {
        if !self.desk.reports_now() {
            return;
        }
        let mut trouble = None;
        for page in self.book.pages.values() {
            self.desk.gauge(&page.stored, page.behind());
            let labels = [Sink::Journal.name(), &page.stored.partition.to_string()];
            let halted = self.desk.metrics.halted.with_label_values(&labels);
            halted.set(page.halted.is_some().into());
            if let Some(halt) = &page.halted {
                trouble = Some(format!(
                    "partition {} stands: {}",
                    page.stored.partition, halt.0
                ));
            }
        }
        self.desk.say(trouble);
    }
}
