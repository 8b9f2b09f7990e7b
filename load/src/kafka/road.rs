//! The road over the log: commands on it, final outcomes off it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use steelyard::log::{Options, Topics};

use super::producer::{Route, Sender};
use super::tail::Tail;
use crate::measure::Track;
use crate::stop::Stop;
use crate::wire::{Final, Outcome};

/// A new idempotent producer sends nothing before it has an id, which takes it half a second.
const PRODUCER_ID: Duration = Duration::from_millis(600);

#[derive(Clone, Debug)]
pub struct Road {
    pub options: Options,
    pub topics: Topics,
    pub partitions: u16,
    pub replicas: i32,
    pub stop: Stop,
    /// How overdue anything may be.
    pub patience: Duration,
}

impl Road {
    pub fn find(options: &Options, stop: Stop, patience: Duration) -> Result<Self> {
        let topics = options.topics();
        let reader = super::reader(options)?;
        let (partitions, replicas) = super::shape(&reader, &topics.commands)?;
        Ok(Self {
            options: options.clone(),
            topics,
            partitions,
            replicas,
            stop,
            patience,
        })
    }

    /// Starts reading final outcomes. Two owners of a partition may both write the outcome of one
    /// command: the second is a copy, not a second decision, and is left out.
    pub fn finals(&self, mut on: impl FnMut(Final<'_>) + Send + 'static) -> Result<Tail> {
        let mut last: Vec<Option<u64>> = vec![None; usize::from(self.partitions)];
        let read = move |partition: u16, value: &[u8]| {
            let Some(outcome) = Outcome::parse(value) else {
                return;
            };
            let (Some(offset), Some(last)) = (outcome.offset, last.get_mut(usize::from(partition)))
            else {
                return;
            };
            if last.is_some_and(|last| offset <= last) {
                return;
            }
            *last = Some(offset);
            if let Some(decision) = outcome.decision() {
                on(decision);
            }
        };
        Tail::start(&self.options, &self.topics.outcomes, self.partitions, read)
    }

    /// Starts reading final outcomes into a track whose references are its sequence numbers.
    pub fn settle(&self, track: &Arc<Track>) -> Result<Tail> {
        let track = track.clone();
        self.finals(move |decision| {
            if let Some(sequence) = track.tag.read(decision.reference) {
                track.settled(sequence, decision.verdict, decision.replayed);
            }
        })
    }

    /// Plays a track's schedule onto a topic.
    pub async fn send(
        &self,
        track: &Arc<Track>,
        topic: &str,
        write: impl FnMut(usize, &mut Vec<u8>) -> Route + Send + 'static,
    ) -> Result<()> {
        let sender = Sender::new(&self.options, topic, track.clone())?;
        let (stop, patience) = (self.stop.clone(), self.patience);
        tokio::time::sleep(PRODUCER_ID).await;
        track.start();
        let played = tokio::task::spawn_blocking(move || sender.run(&stop, patience, write));
        played.await.context("the sender panicked")?
    }

    /// Waits until everything that was sent has ended, or nothing has for as long as patience
    /// lasts.
    pub async fn await_complete(&self, track: &Track) -> Result<()> {
        let (mut settled, mut since) = (track.settled_count(), Instant::now());
        while !track.is_complete() && since.elapsed() < self.patience {
            self.stop.check()?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            if track.settled_count() != settled {
                (settled, since) = (track.settled_count(), Instant::now());
            }
        }
        self.stop.check()
    }
}
