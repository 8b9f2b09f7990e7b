//! Processes and what they run: owners of partitions, and sinks; started, moved, doubled, killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::Registry;
use steelyard::ledger::PartitionId;
use steelyard::processor::{self, Shared, partition, standby};
use steelyard::sink::{self, SinkMetrics, Wiring};
use tokio_util::sync::CancellationToken;

use crate::feed::Desk;
use crate::log::PREFIX;
use crate::node::{Inbox, Node};
use crate::tasks::Tasks;
use crate::world::{GENERATION, Sim};

/// A process with the partitions it believes to own.
struct Process {
    shared: Arc<Shared<Node>>,
    node: Node,
    standby: usize,
    owners: BTreeMap<PartitionId, Owner>,
    /// The task that completes replies.
    recalls: usize,
}

struct Owner {
    task: usize,
    stop: CancellationToken,
}

/// A sink's process.
struct Member {
    desk: Arc<Desk>,
    task: usize,
    stop: CancellationToken,
}

/// A partition that is given to a process as soon as those who had it have let go.
struct Handover {
    partition: PartitionId,
    leaving: Vec<usize>,
    place: usize,
}

pub(crate) struct Cluster {
    sim: Sim,
    pub(crate) count: PartitionId,
    options: processor::Options,
    sink_options: sink::Options,
    metrics: processor::Metrics,
    sink_metrics: SinkMetrics,
    processes: Vec<Option<Process>>,
    journals: Vec<Option<Member>>,
    balances: Vec<Option<Member>>,
    handovers: Vec<Handover>,
}

/// Which sink.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Journal,
    Balances,
}

impl Cluster {
    pub(crate) fn new(sim: &Sim, options: processor::Options, sink_options: sink::Options) -> Self {
        let count = sim.lock().count;
        let registry = Registry::new();
        Self {
            sim: sim.clone(),
            count,
            options,
            sink_options,
            metrics: processor::Metrics::new(&registry).unwrap(),
            sink_metrics: SinkMetrics::new(&registry).unwrap(),
            processes: vec![],
            journals: vec![],
            balances: vec![],
            handovers: vec![],
        }
    }

    pub(crate) fn places(&mut self, processes: usize, members: usize) {
        self.processes.resize_with(processes, || None);
        self.journals.resize_with(members, || None);
        self.balances.resize_with(members, || None);
    }

    /// How often takeovers started from what.
    pub(crate) fn bases(&self) -> [(&'static str, u64); 3] {
        let bases = [
            ("standby", "a takeover has a standby"),
            ("log", "a takeover starts from the log alone"),
        ];
        let [standby, log] =
            bases.map(|(from, what)| (what, self.metrics.bases.with_label_values(&[from]).get()));
        let waited = self.metrics.takeovers.with_label_values(&["postgres"]);
        [standby, log, ("a takeover waits for cold", waited.get())]
    }

    fn process(&mut self, tasks: &mut Tasks, place: usize) -> &mut Process {
        let (sim, options, metrics, count) = (&self.sim, &self.options, &self.metrics, self.count);
        self.processes[place].get_or_insert_with(|| {
            let node = Node::new(sim);
            let parts = processor::Parts {
                options: options.clone(),
                log: steelyard::log::Options {
                    kafka_brokers: String::new(),
                    kafka_properties: Vec::new(),
                    topic_prefix: PREFIX.to_owned(),
                },
                partitions: count,
                generation: GENERATION,
                secret: sim.lock().secret.clone(),
                metrics: metrics.clone(),
                report: Arc::new(|check, state| {
                    let broken = state.to_string().contains("invariant");
                    assert!(!broken, "{check}: {state}");
                }),
            };
            let (shared, recalling) = Shared::new(parts, node.clone());
            Process {
                standby: tasks.spawn(standby::follow(shared.clone())),
                shared,
                node,
                owners: BTreeMap::new(),
                recalls: tasks.spawn(recalling),
            }
        })
    }

    /// Lets the process at `place` own `partition`, whoever else does.
    pub(crate) fn own(&mut self, tasks: &mut Tasks, place: usize, partition: PartitionId) {
        let inbox = Inbox::new(&self.sim, partition);
        let process = self.process(tasks, place);
        if process
            .owners
            .get(&partition)
            .is_some_and(|owner| tasks.lives(owner.task))
        {
            return;
        }
        let stop = CancellationToken::new();
        let owning = partition::own(process.shared.clone(), inbox, stop.clone());
        let task = tasks.spawn(owning);
        process.owners.insert(partition, Owner { task, stop });
    }

    /// Tells the process at `place` that `partition` is somebody else's.
    pub(crate) fn revoke(&mut self, place: usize, partition: PartitionId) {
        if let Some(process) = &self.processes[place]
            && let Some(owner) = process.owners.get(&partition)
        {
            owner.stop.cancel();
        }
    }

    /// The group shares the partitions out anew: who has to give one up is told first, and whoever
    /// gets it starts once that one has ended.
    pub(crate) fn rebalance(&mut self, tasks: &mut Tasks) {
        for partition in 0..self.count {
            let place = self.sim.lock().chance.index(self.processes.len());
            let mut leaving = Vec::new();
            for owner in self.owners(tasks, partition) {
                if owner != place
                    && let Some(process) = &self.processes[owner]
                {
                    leaving.push(process.owners[&partition].task);
                    self.revoke(owner, partition);
                }
            }
            self.handovers.push(Handover {
                partition,
                leaving,
                place,
            });
        }
        self.hand_over(tasks);
    }

    /// Gives partitions to those who wait for them, where they are free.
    pub(crate) fn hand_over(&mut self, tasks: &mut Tasks) {
        let free = |waits: &mut Handover| !waits.leaving.iter().any(|task| tasks.lives(*task));
        let free: Vec<_> = self.handovers.extract_if(.., free).collect();
        for Handover {
            partition, place, ..
        } in free
        {
            self.own(tasks, place, partition);
        }
    }

    /// What was still to be handed over stays where it is.
    pub(crate) fn forget_handovers(&mut self) {
        self.handovers.clear();
    }

    /// Kills a process: its tasks stand where they stood, some of what it sent is still on the way.
    pub(crate) fn crash(&mut self, tasks: &mut Tasks, place: usize) -> bool {
        let Some(process) = self.processes[place].take() else {
            return false;
        };
        tasks.kill(process.standby);
        for owner in process.owners.values() {
            tasks.kill(owner.task);
        }
        tasks.kill(process.recalls);
        let producers = process.node.producers();
        let mut world = self.sim.lock();
        for producer in producers {
            world.break_producer(producer, true);
        }
        true
    }

    /// A process's producer can go on no more; the process lives.
    pub(crate) fn break_producer(&mut self, place: usize) -> bool {
        let Some(process) = &self.processes[place] else {
            return false;
        };
        let [producer, _] = process.node.producers();
        self.sim.lock().break_producer(producer, false);
        true
    }

    /// Whether the producer of the process at `place` can go on.
    pub(crate) fn publishes(&self, place: usize) -> bool {
        self.processes[place].as_ref().is_some_and(|process| {
            let [producer, _] = process.node.producers();
            !self.sim.lock().log.ways.is_broken(producer)
        })
    }

    pub(crate) fn process_count(&self) -> usize {
        self.processes.len()
    }

    pub(crate) fn member_count(&self) -> usize {
        self.journals.len()
    }

    /// The places where a living task owns `partition`.
    pub(crate) fn owners(&self, tasks: &Tasks, partition: PartitionId) -> Vec<usize> {
        let owns = |process: &Process| {
            let owner = process.owners.get(&partition);
            owner.is_some_and(|owner| tasks.lives(owner.task) && !owner.stop.is_cancelled())
        };
        let places = self.processes.iter().enumerate();
        let owning = places.filter(|(_, process)| process.as_ref().is_some_and(owns));
        owning.map(|(place, _)| place).collect()
    }

    fn members(&mut self, kind: Kind) -> &mut Vec<Option<Member>> {
        match kind {
            Kind::Journal => &mut self.journals,
            Kind::Balances => &mut self.balances,
        }
    }

    /// Gives `partition` to the sink at `place`, whoever else has it.
    pub(crate) fn give(
        &mut self,
        tasks: &mut Tasks,
        kind: Kind,
        place: usize,
        partition: PartitionId,
    ) {
        if self.members(kind)[place].is_none() {
            let desk = Arc::new(Desk::new(&self.sim));
            let stop = CancellationToken::new();
            let wiring = Wiring {
                generation: GENERATION,
                metrics: self.sink_metrics.clone(),
                report: Arc::new(|_, _| {}),
                stop: stop.clone(),
            };
            let (options, world) = (self.sink_options.clone(), desk.clone());
            let running = match kind {
                Kind::Journal => sink::run_journal(options, world, wiring),
                Kind::Balances => sink::run_balances(options, world, wiring),
            };
            let task = tasks.spawn(async move { running.await.expect("a sink goes on") });
            self.members(kind)[place] = Some(Member { desk, task, stop });
        }
        if let Some(member) = &self.members(kind)[place] {
            member.desk.give(partition);
        }
    }

    pub(crate) fn take(&mut self, kind: Kind, place: usize, partition: PartitionId) {
        if let Some(member) = &self.members(kind)[place] {
            member.desk.take(partition);
        }
    }

    /// Tells a sink to finish what it writes and to leave; its partitions may be another's before
    /// it has.
    pub(crate) fn stop_sink(&mut self, kind: Kind, place: usize) -> bool {
        let Some(member) = self.members(kind)[place].take() else {
            return false;
        };
        member.stop.cancel();
        true
    }

    pub(crate) fn crash_sink(&mut self, tasks: &mut Tasks, kind: Kind, place: usize) -> bool {
        let Some(member) = self.members(kind)[place].take() else {
            return false;
        };
        tasks.kill(member.task);
        member.desk.die();
        true
    }
}
