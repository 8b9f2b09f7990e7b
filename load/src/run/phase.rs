//! One measurement, and the baseline beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::{sleep, sleep_until};

use super::cpu::Snapshot;
use super::mix::{Heat, Load, Mix};
use super::options::{Scenario, Step};
use super::report::Row;
use super::stage::Stage;
use crate::kafka::scratch::Scratch;
use crate::kafka::{Route, Tail};
use crate::measure::{Pacing, Schedule, Track, Verdict};
use crate::wire;

/// Between two looks whether a phase has started.
const LOOK: Duration = Duration::from_millis(5);
/// How long the sinks may take to catch up after a measurement.
const CATCH_UP: Duration = Duration::from_secs(300);

impl Stage {
    /// Measures one scenario.
    pub async fn measure(&mut self, step: Step) -> Result<Row> {
        let burst = self.options.burst(step);
        let (warmup, span) = (self.options.warmup, self.options.seconds);
        let track = self.track(schedule(step.pacing, burst, (warmup, span)));
        let tail = self.road.settle(&track)?;
        let (played, cores) = match step.scenario {
            Scenario::Kafka => {
                let write = self.payments(&track, step.load);
                let topic = &self.road.topics.commands;
                tokio::join!(self.road.send(&track, topic, write), cores(&track))
            }
            Scenario::Http | Scenario::Batch => {
                self.knock().await?;
                tokio::join!(self.post(&track, step), cores(&track))
            }
        };
        played?;
        self.road.await_complete(&track).await?;
        let (lag, ended) = (self.sinks.lag()?, Instant::now());
        tail.finish()?;
        let name = format!("{} {}", step.scenario.name(), step.load.name());
        let mut row = Row::new(name, &track, cores);
        row.sink_lag = lag;
        row.drained_seconds = self.catch_up(lag, ended).await?;
        Ok(row)
    }

    /// Lets the sinks catch up before anything else is measured. Where none runs there is nothing
    /// to wait for.
    async fn catch_up(&self, lag: Option<u64>, since: Instant) -> Result<Option<f64>> {
        if lag.is_none() {
            return Ok(None);
        }
        let drained = self.sinks.drain(&self.road, since, CATCH_UP).await?;
        let after = drained.iter().map(|sink| sink.after);
        let slowest = after.collect::<Option<Vec<_>>>();
        Ok(slowest.and_then(|after| Some(after.into_iter().max()?.as_secs_f64())))
    }

    /// Measures what the same client does on the same broker without Steelyard: it writes the very
    /// records of a Kafka scenario to a topic of its own, and reads them back.
    pub async fn baseline(&mut self, heat: Heat, pacings: &[Pacing]) -> Result<Vec<Row>> {
        let log = &self.road.options;
        let (ledger, heat_name) = (&self.book.ledger.name, heat.name());
        let name = format!("{}.baseline-{ledger}-{heat_name}", log.topic_prefix);
        let shape = (self.road.partitions, self.road.replicas);
        let scratch = Scratch::create(log, &name, shape).await?;
        let rows = self.echoes(&scratch.name, heat, pacings).await;
        let deleted = scratch.delete().await;
        let rows = rows?;
        deleted?;
        Ok(rows)
    }

    async fn echoes(&mut self, topic: &str, heat: Heat, pacings: &[Pacing]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for pacing in pacings {
            rows.push(self.echo(topic, heat, *pacing).await?);
        }
        Ok(rows)
    }

    async fn echo(&mut self, topic: &str, heat: Heat, pacing: Pacing) -> Result<Row> {
        let warmup = self.options.warmup.min(2);
        let span = self.options.baseline_seconds;
        let track = self.track(schedule(pacing, 1, (warmup, span)));
        let (road, heard) = (&self.road, track.clone());
        let tail = Tail::start(&road.options, topic, road.partitions, move |_, value| {
            if let Some(sequence) = wire::echo(value).and_then(|echo| heard.tag.read(echo)) {
                heard.settled(sequence, Verdict::Applied, false);
            }
        })?;
        let write = self.payments(&track, Load::plain(heat));
        let (played, cores) = tokio::join!(road.send(&track, topic, write), cores(&track));
        played?;
        self.road.await_complete(&track).await?;
        tail.finish()?;
        let name = format!("baseline {}", heat.name());
        Ok(Row::new(name, &track, cores))
    }

    fn payments(
        &self,
        track: &Arc<Track>,
        load: Load,
    ) -> impl FnMut(usize, &mut Vec<u8>) -> Route + Send + 'static {
        let (book, writer) = (self.book.clone(), self.writer(track, true));
        let mut mix = Mix::new(book.clone(), load, self.options.seed);
        move |number, out| book.payment(&writer, number, (&mut mix, load.shape), out)
    }
}

fn schedule(pacing: Pacing, burst: usize, (warmup, span): (u64, u64)) -> Schedule {
    let (warmup, span) = (Duration::from_secs(warmup), Duration::from_secs(span));
    Schedule::new(pacing, burst, warmup, span)
}

/// The cores that each program used over the measured span.
async fn cores(track: &Track) -> BTreeMap<String, f64> {
    let measured = track.schedule.measured.clone();
    while !track.has_started() {
        sleep(LOOK).await;
    }
    sleep_until(track.moment(measured.start).into()).await;
    let before = Snapshot::take();
    sleep_until(track.moment(measured.end).into()).await;
    Snapshot::take().since(&before)
}
