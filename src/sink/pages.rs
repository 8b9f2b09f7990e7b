//! The pages of this member's partitions, and what the journal takes from all of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::TimeDelta;
use rdkafka::Message;
use tracing::error;
use uuid::Uuid;

use super::page::{Arrival, Page, Taken};
use super::{Options, SinkMetrics};
use crate::cold::journal::Month;
use crate::cold::write::Sink;
use crate::ledger::PartitionId;
use crate::wire::Time;

/// The pages of this member's partitions.
pub(super) struct Pages {
    pub(super) pages: BTreeMap<PartitionId, Page>,
    pub(super) generation: Uuid,
    pub(super) metrics: SinkMetrics,
}

impl Pages {
    pub(super) fn take(&mut self, message: &impl Message) {
        let partition = PartitionId::try_from(message.partition()).ok();
        let page = partition.and_then(|partition| self.pages.get_mut(&partition));
        let (Some(page), Ok(offset)) = (page, u64::try_from(message.offset())) else {
            return;
        };
        let arrival = Arrival {
            offset,
            key: message.key().unwrap_or_default(),
            value: message.payload(),
        };
        match page.take(arrival, self.generation) {
            Ok(Taken::Outcome { reused }) => self.metrics.reused.inc_by(reused.into()),
            Ok(Taken::Skipped(place)) => {
                self.metrics
                    .skipped
                    .with_label_values(&[place.name()])
                    .inc();
            }
            Ok(Taken::Nothing) => {}
            Err(halt) => {
                self.metrics
                    .malformed
                    .with_label_values(&[Sink::Journal.name()])
                    .inc();
                let partition = page.stored.partition;
                error!(
                    partition,
                    what = halt.0,
                    "the journal of a partition stands"
                );
            }
        }
    }

    pub(super) fn full(&self, options: &Options) -> bool {
        let (mut outcomes, mut bytes) = (0, 0);
        for page in self.pages.values() {
            outcomes += page.outcomes;
            bytes += page.part.bytes();
        }
        outcomes >= options.sink_batch_records.into() || bytes >= options.sink_batch_bytes as usize
    }

    /// The months that rows fall into, or soon will, and whose tables are not known to be there.
    pub(super) fn months(&self, known: &HashSet<Month>) -> Vec<Month> {
        let ahead = TimeDelta::days(3).num_milliseconds();
        let times = self.pages.values().filter_map(|page| page.step()?.to.at);
        let soon = times.map(|at| Month::of(Time(at.0.saturating_add(ahead))));
        let now = self.pages.values().flat_map(|page| page.part.months());
        let months: BTreeSet<Month> = now.chain(soon).collect();
        months
            .into_iter()
            .filter(|month| !known.contains(month))
            .collect()
    }

    pub(super) fn reading(&self) -> BTreeMap<PartitionId, u64> {
        self.pages
            .iter()
            .map(|(partition, page)| (*partition, page.next()))
            .collect()
    }

    pub(super) fn positions(&self) -> BTreeMap<PartitionId, u64> {
        self.pages
            .iter()
            .map(|(partition, page)| (*partition, page.stored.position))
            .collect()
    }
}
