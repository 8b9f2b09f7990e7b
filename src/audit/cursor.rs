//! Reads one partition's outcomes in stretches, so that other stores can be compared in between.

use std::sync::Arc;

use rdkafka::Message;

use super::runs::Runs;
use super::scan::Scan;
use crate::ledger::PartitionId;
use crate::log::Topics;
use crate::log::reader::{ReadError, Reader};

/// Where reading stands.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) reader: Arc<Reader>,
    pub(super) topics: Topics,
    pub(super) partition: PartitionId,
    /// The next position to read, and the end as far as it is known.
    pub(super) next: u64,
    pub(super) end: u64,
    pub(super) scan: Scan,
}

impl Cursor {
    /// Reads on, until command `until` is decided or the log ends; without `until` to the end of
    /// the log as it is now.
    pub(super) async fn advance(mut self, until: Option<u64>) -> anyhow::Result<Self> {
        let reading = tokio::task::spawn_blocking(move || self.read(until).map(|()| self));
        Ok(reading.await??)
    }

    fn read(&mut self, until: Option<u64>) -> Result<(), ReadError> {
        let topic = &self.topics.outcomes;
        let mut refreshed = false;
        while !reached(&self.scan, until) {
            if self.next >= self.end || (until.is_none() && !refreshed) {
                let (_, end) = self.reader.bounds(topic, self.partition)?;
                refreshed = true;
                if end <= self.next {
                    break;
                }
                self.end = end;
            }
            let (scan, next) = (&mut self.scan, &mut self.next);
            let mut stopped = false;
            self.reader
                .read(topic, self.partition, *next, self.end, |message| {
                    let position = u64::try_from(message.offset()).unwrap_or(0);
                    let value = message.payload().unwrap_or_default();
                    scan.record(position, message.key().unwrap_or_default(), value);
                    *next = position + 1;
                    stopped = reached(scan, until);
                    !stopped
                })?;
            if !stopped {
                *next = self.end;
                if until.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn reached(scan: &Scan, until: Option<u64>) -> bool {
    until.is_some_and(|until| scan.chain.last() >= Some(until))
}

/// The offsets of `commands` from `from` to `last`, and the first one there is. Blocks.
pub(super) fn commands(
    reader: &Reader,
    topic: &str,
    partition: PartitionId,
    from: u64,
    last: u64,
) -> Result<(u64, Runs), ReadError> {
    let (low, high) = reader.bounds(topic, partition)?;
    let (from, end) = (from.max(low), high.min(last.saturating_add(1)));
    let mut runs = Runs::default();
    reader.read(topic, partition, from, end, |message| {
        runs.push(u64::try_from(message.offset()).unwrap_or(0));
        true
    })?;
    Ok((from, runs))
}
