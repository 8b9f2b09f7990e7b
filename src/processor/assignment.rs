//! Partitions come and go; each has one task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::services::Services;
use super::waits::TAKING_OVER;
use super::{Parts, Shared, StandBy, Stores, partition, standby};
use crate::ledger::PartitionId;
use crate::log::consumer::{Change, Inbox, Member};
use crate::log::{owners, session};
use crate::telemetry::health::State;

/// The group's name, behind the prefix.
const GROUP: &str = "processor";
/// How long the group's coordinator may take to say who owns what.
const ASKED_MAX: Duration = Duration::from_secs(5);
/// How long the group goes without a newcomer at the most.
const WARM_UP_MAX: Duration = Duration::from_secs(120);

/// Processes the partitions that the group gives this instance, until `stop`; then finishes the
/// batches in hand and leaves the group.
///
/// # Errors
/// If a client refuses its settings, or the group will not have this instance any more.
pub async fn run(parts: Parts, stores: Stores, stop: CancellationToken) -> anyhow::Result<()> {
    let services = Services::new(&parts.log, &stores.hot, stores.pool, parts.generation)?;
    let (shared, recalling) = Shared::new(parts, services);
    let session = session::of_group(&shared.log, shared.options.session_ms).await?;
    let instance = shared.options.instance.as_deref();
    let tracker = TaskTracker::new();
    let recalling = tracker.spawn(recalling);
    warm_up(&shared, &stop).await;
    let (member, mut changes) = Member::join(&shared.log, GROUP, instance, session)?;
    let standing_by = tracker.spawn(standby::follow(shared.clone()));
    let stopping = stop.clone();
    let mut polling = tracker.spawn_blocking(move || member.poll(&stopping));
    let mut owners = Owners {
        shared: shared.clone(),
        tracker,
        tasks: HashMap::new(),
    };
    (shared.report)("processor-group", State::waiting("joining the group"));
    // A member that ends by itself tells of no change: its partitions still hold on to it.
    let ended = tokio::select! {
        () = follow(&mut owners, &mut changes) => None,
        polled = &mut polling => Some(polled),
    };
    owners.stop_all().await;
    let polled = match ended {
        Some(polled) => polled?,
        None => polling.await?,
    };
    // What cold has not answered by now is asked again by whoever wants to know.
    recalling.abort();
    standing_by.abort();
    let flushing = shared.clone();
    owners
        .tracker
        .spawn_blocking(move || flushing.world.replies.finish(Duration::from_secs(2)))
        .await?;
    Ok(polled?)
}

/// Whoever comes to a group that works already would be given partitions at once, and let them
/// stand while it reads cold: it stands by first. A name that owns some already comes back to them.
async fn warm_up(shared: &Arc<Shared<Services>>, stop: &CancellationToken) {
    let (log, topic) = (shared.log.clone(), shared.topics.commands.clone());
    let instance = shared.options.instance.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let group = log.group(GROUP);
        owners::others_own(&log, &group, &topic, instance.as_deref(), ASKED_MAX)
    });
    if shared.options.standby == StandBy::None || !matches!(looking.await, Ok(Ok(true))) {
        return;
    }
    let waiting = "standing by before it joins the group";
    (shared.report)("processor-group", State::waiting(waiting));
    tokio::select! {
        () = stop.cancelled() => {}
        () = standby::look(shared) => {}
        () = tokio::time::sleep(WARM_UP_MAX) => tracing::warn!("joining the group without a standby"),
    }
}

/// Ends when the member has left the group.
async fn follow(owners: &mut Owners, changes: &mut mpsc::UnboundedReceiver<Change>) {
    while let Some(change) = changes.recv().await {
        match change {
            Change::Assigned(inboxes) => {
                for inbox in inboxes {
                    owners.start(inbox);
                }
                (owners.shared.report)("processor-group", State::Ok);
            }
            Change::Revoked(partitions, given_up) => {
                owners.stop(&partitions).await;
                drop(given_up);
            }
        }
    }
}

struct Owners {
    shared: Arc<Shared<Services>>,
    tracker: TaskTracker,
    tasks: HashMap<PartitionId, (CancellationToken, JoinHandle<()>)>,
}

impl Owners {
    fn start(&mut self, inbox: Inbox) {
        let number = inbox.partition;
        tracing::info!(partition = number, "partition assigned");
        // Before anybody hears that the group is joined.
        let check = format!("partition-{number}");
        (self.shared.report)(&check, State::waiting(TAKING_OVER));
        let stop = CancellationToken::new();
        let owning = partition::own(self.shared.clone(), inbox, stop.clone());
        let inner = self.tracker.spawn(owning);
        let shared = self.shared.clone();
        let watched = self.tracker.spawn(async move {
            if let Err(broken) = inner.await
                && broken.is_panic()
            {
                alarm(&shared, number);
            }
        });
        self.tasks.insert(number, (stop, watched));
    }

    async fn stop(&mut self, partitions: &[PartitionId]) {
        let leaving: Vec<_> = partitions
            .iter()
            .filter_map(|number| self.tasks.remove(number))
            .collect();
        for (stop, _) in &leaving {
            stop.cancel();
        }
        for (_, task) in leaving {
            drop(task.await);
        }
    }

    async fn stop_all(&mut self) {
        let all: Vec<PartitionId> = self.tasks.keys().copied().collect();
        self.stop(&all).await;
    }
}

/// A broken invariant: the partition stays as it is, uncommitted, until somebody has looked.
fn alarm<W>(shared: &Shared<W>, partition: PartitionId) {
    let label = partition.to_string();
    shared.metrics.violations.with_label_values(&[&label]).inc();
    tracing::error!(
        partition,
        "an invariant is broken; the partition has stopped"
    );
    let why = "an invariant is broken; see the log";
    (shared.report)(&format!("partition-{partition}"), State::failed(why));
}
