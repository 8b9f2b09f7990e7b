//! The watches of this member's partitions, and what the sink takes from all of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rdkafka::Message;
use tracing::error;
use uuid::Uuid;

use super::watch::{Kind, Watch};
use super::{Options, SinkMetrics};
use crate::cold::write::Sink;
use crate::ledger::PartitionId;

/// The watches of this member's partitions.
pub(super) struct Watches {
    pub(super) watches: BTreeMap<PartitionId, Watch>,
    pub(super) ledgers: Ledgers,
    pub(super) generation: Uuid,
    pub(super) metrics: SinkMetrics,
}

/// Names of ledgers, shared between balances.
#[derive(Debug, Default)]
pub(super) struct Ledgers(HashSet<Arc<str>>);

impl Ledgers {
    pub(super) fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.0.insert(name.clone());
        name
    }
}

impl Watches {
    pub(super) fn take(&mut self, message: &impl Message) {
        let partition = PartitionId::try_from(message.partition()).ok();
        let watch = partition.and_then(|partition| self.watches.get_mut(&partition));
        let Some(watch) = watch else {
            return;
        };
        match watch.take(message, self.generation, &mut self.ledgers) {
            Ok(Kind::Marker { superseding: true }) => {
                self.metrics
                    .markers
                    .with_label_values(&["superseded"])
                    .inc();
            }
            Ok(Kind::Marker { superseding: false } | Kind::Snapshot | Kind::Nothing) => {}
            Err(invalid) => {
                self.metrics
                    .malformed
                    .with_label_values(&[Sink::Balances.name()])
                    .inc();
                let (partition, offset) = (watch.stored.partition, message.offset());
                error!(partition, offset, %invalid, "a record of snapshots cannot be read");
            }
        }
    }

    pub(super) fn full(&self, options: &Options) -> bool {
        let balances: usize = self.watches.values().map(Watch::balances).sum();
        balances >= options.sink_batch_balances as usize
    }

    pub(super) fn reading(&self) -> BTreeMap<PartitionId, u64> {
        self.watches
            .iter()
            .map(|(partition, watch)| (*partition, watch.next()))
            .collect()
    }

    pub(super) fn positions(&self) -> BTreeMap<PartitionId, u64> {
        let watches = self.watches.iter();
        watches
            .map(|(partition, watch)| (*partition, watch.stored.position))
            .collect()
    }
}
