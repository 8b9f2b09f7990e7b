//! A member's share of a group: what it is given, what it has started, what is taken from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::ledger::PartitionId;

/// A change of this member's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These partitions wait for [`super::follower::Follower::start`].
    Given(BTreeSet<PartitionId>),
    /// These are somebody else's from now on; nothing of them arrives any more.
    Taken(BTreeSet<PartitionId>),
}

/// Takes part in rebalances: notes what is given, lets go of what is taken at once.
#[derive(Default)]
pub(super) struct Shares {
    state: Mutex<State>,
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    /// Given, and not told yet.
    given: BTreeSet<PartitionId>,
    /// Taken after its start, and not told yet.
    taken: BTreeSet<PartitionId>,
    /// Given, and not started yet: the group waits for that.
    waiting: BTreeSet<PartitionId>,
    started: BTreeSet<PartitionId>,
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to tell next.
    pub(super) fn change(&self) -> Option<Change> {
        let mut state = self.lock();
        if !state.taken.is_empty() {
            return Some(Change::Taken(std::mem::take(&mut state.taken)));
        }
        let given = std::mem::take(&mut state.given);
        (!given.is_empty()).then_some(Change::Given(given))
    }

    /// What was taken and not told yet, once.
    pub(super) fn taken(&self) -> BTreeSet<PartitionId> {
        std::mem::take(&mut self.lock().taken)
    }

    /// Starts what waits among `positions`; what was taken since is not there any more.
    pub(super) fn start(&self, positions: &mut BTreeMap<PartitionId, u64>) {
        let mut state = self.lock();
        positions.retain(|partition, _| state.waiting.remove(partition));
        state
            .given
            .retain(|partition| !positions.contains_key(partition));
        state.started.extend(positions.keys());
    }

    pub(super) fn started(&self) -> BTreeSet<PartitionId> {
        self.lock().started.clone()
    }

    /// Whatever waits still, as it is on the way out.
    pub(super) fn abandon(&self) -> BTreeSet<PartitionId> {
        std::mem::take(&mut self.lock().waiting)
    }

    fn give(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let partitions = partitions(list);
        // An empty share has no start to wait for.
        if partitions.is_empty() {
            return consumer.incremental_assign(list);
        }
        let mut state = self.lock();
        state.given.extend(&partitions);
        state.waiting.extend(&partitions);
        Ok(())
    }

    fn take(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let mut unstarted = TopicPartitionList::new();
        {
            let mut state = self.lock();
            for (partition, element) in partitions(list).into_iter().zip(list.elements()) {
                state.given.remove(&partition);
                if state.started.remove(&partition) {
                    state.taken.insert(partition);
                }
                if state.waiting.remove(&partition) {
                    let (topic, number) = (element.topic(), element.partition());
                    unstarted.add_partition_offset(topic, number, Offset::End)?;
                }
            }
        }
        // What was never taken up cannot be given back.
        assign(consumer, &unstarted)?;
        consumer.incremental_unassign(list)
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<PartitionId> {
    let elements = list.elements();
    let numbers = elements
        .iter()
        .map(|element| PartitionId::try_from(element.partition()));
    numbers.flatten().collect()
}

impl ClientContext for Shares {}

impl ConsumerContext for Shares {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let result = match event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            true => self.give(consumer, list),
            false => self.take(consumer, list),
        };
        if let Err(error) = result {
            warn!(%error, "a change of this member's share went wrong");
        }
        self.changed.notify_one();
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            debug!(%error, "the group's offsets were not committed");
        }
    }
}

/// Takes partitions up, each at its offset; none is no change.
pub(super) fn assign(
    consumer: &impl Consumer<Shares>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match list.count() {
        0 => Ok(()),
        _ => consumer.incremental_assign(list),
    }
}
