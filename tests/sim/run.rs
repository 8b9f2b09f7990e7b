//! One run: a world drawn from a seed, in which anything goes; then it heals, and must come to rest
//! with every accepted transaction at its end, and hot, cold and truth the same.

use std::collections::BTreeMap;
use std::time::Duration;

use steelyard::cold::write::Sink;
use steelyard::ledger::id::TRANSIT_LEDGER;
use steelyard::ledger::{Asset, PartitionId};

use crate::breaks::Break;
use crate::check;
use crate::cluster::{Cluster, Kind};
use crate::faults::Faults;
use crate::held::Reserved;
use crate::redis::split;
use crate::scene::{self, Scene};
use crate::tasks::Tasks;
use crate::traffic::Traffic;
use crate::world::{Sim, World};

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Most commands of clients.
    pub(crate) commands: u64,
    /// Most steps in which anything goes.
    pub(crate) steps: u64,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) steps: u64,
    pub(crate) digest: u64,
    pub(crate) reached: BTreeMap<&'static str, u64>,
}

pub(crate) struct Run {
    sim: Sim,
    tasks: Tasks,
    cluster: Cluster,
    traffic: Traffic,
    faults: Faults,
    steps: u64,
    /// The time that one step takes.
    pace: Duration,
    /// Whether clients leave time between what they send.
    leaves_time: bool,
    /// Whether whatever the sink names reaches whoever is to publish it again.
    names_arrive: bool,
    healed: bool,
}

/// How long an owner that is told to stop may take.
const LATE_OWNERS_END: Duration = Duration::from_secs(10);

/// Steps after which a healed world must have come to rest.
const REST_STEPS_MAX: u64 = 400_000;

impl Run {
    pub(crate) fn new(seed: u64, size: Size, broken: Option<Break>) -> Self {
        let mut chance = crate::chance::Chance::new(!seed);
        let scene = Scene::draw(&mut chance, broken);
        let late = scene == Scene::LateOwners;
        let (least, most) = match scene {
            Scene::Any => (1, 8),
            Scene::LateOwners => (1, 1),
            Scene::Holds => (2, 4),
            Scene::LogAlone => (1, 2),
        };
        let count = PartitionId::try_from(chance.between(least, most)).unwrap();
        let horizon = match scene {
            Scene::LogAlone => 1,
            Scene::Any | Scene::LateOwners | Scene::Holds => *chance.pick(&[1, 5, 600, 86_400]),
        };
        let sim = Sim::new(seed, count, horizon, broken);
        let options = scene::options(&mut chance, scene);
        let mut cluster = Cluster::new(&sim, options, scene::sink_options(&mut chance));
        let processes = if late { 3 } else { chance.between(1, 3) };
        cluster.places(processes as usize, chance.between(1, 2) as usize);
        let commands = chance.between(20, size.commands);
        let pace = match scene {
            Scene::LateOwners => 1_000,
            Scene::LogAlone => 10_000,
            Scene::Any | Scene::Holds => *chance.pick(&[10, 100, 1_000, 10_000]),
        };
        let traffic = Traffic::new(&mut chance, count, commands, scene);
        let faults = match scene {
            Scene::LateOwners => Faults::of_late_owners(),
            Scene::LogAlone => Faults::of_the_log_alone(),
            Scene::Any | Scene::Holds => Faults::draw(&mut chance),
        };
        {
            let mut world = sim.lock();
            world.genesis();
            world.log.ways.draw(&mut chance);
            if late {
                world.redis.away_until = Duration::from_secs(3_600);
            }
        }
        Self {
            sim,
            tasks: Tasks::default(),
            cluster,
            traffic,
            faults,
            steps: 0,
            pace: Duration::from_micros(pace),
            leaves_time: chance.one_in(2),
            names_arrive: late,
            healed: false,
        }
    }

    /// Both phases.
    pub(crate) fn play(&mut self, size: Size) -> Ran {
        self.begin();
        while self.steps < size.steps
            && (self.traffic.left > 0 || !self.sim.lock().chance.one_in(2_000))
        {
            self.step();
        }
        self.heal();
        self.rest();
        self.compare();
        let bases = self.cluster.bases();
        let mut world = self.sim.lock();
        for (what, times) in bases {
            (0..times).for_each(|_| world.reach(what));
        }
        Ran {
            steps: self.steps,
            digest: world.digest(),
            reached: std::mem::take(&mut world.reached),
        }
    }

    pub(crate) fn sim(&self) -> &Sim {
        &self.sim
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    fn begin(&mut self) {
        for partition in 0..self.cluster.count {
            let place = usize::from(partition) % self.cluster.process_count();
            self.cluster.own(&mut self.tasks, place, partition);
            for kind in [Kind::Journal, Kind::Balances] {
                let place = usize::from(partition) % self.cluster.member_count();
                self.cluster.give(&mut self.tasks, kind, place, partition);
            }
        }
    }

    /// One thing happens. False if nothing can but time.
    fn step(&mut self) -> bool {
        self.steps += 1;
        let (roll, strikes) = {
            let mut world = self.sim.lock();
            world.pass(self.pace);
            let strikes = !self.healed && world.chance.one_in(self.faults.one_in);
            (world.chance.below(100), strikes)
        };
        self.cluster.hand_over(&mut self.tasks);
        if strikes {
            self.faults
                .strike(&self.sim, &mut self.cluster, &mut self.tasks);
            return true;
        }
        // Whatever the roll names first; if that has nothing to do, the others in turn. Clients
        // that leave time come by their own roll only.
        let first = match roll {
            0..40 => 0,
            40..60 => 1,
            60..80 => 2,
            80..92 => 3,
            _ => 4,
        };
        let turns = (0..5).map(|turn| (first + turn) % 5);
        let leaves_time = self.leaves_time;
        let mut turns = turns.filter(|what| !(leaves_time && *what == 4 && first != 4));
        turns.any(|what| self.happens(what)) || (leaves_time && self.time_passes())
    }

    /// Nothing happens until somebody wakes.
    fn time_passes(&mut self) -> bool {
        !self.healed && self.sim.lock().pass_to_next()
    }

    fn happens(&mut self, what: usize) -> bool {
        match what {
            0 => self.task_goes_on(),
            1 => self.call_goes_on(),
            2 => self.record_moves(),
            3 => self.record_arrives(),
            _ => self.client_sends(),
        }
    }

    fn task_goes_on(&mut self) -> bool {
        let ready = self.tasks.ready();
        if ready == 0 {
            return false;
        }
        let choice = {
            let mut world = self.sim.lock();
            let choice = world.chance.index(ready);
            world.tell("task", choice as u64, &[]);
            choice
        };
        self.tasks.poll(choice);
        true
    }

    fn call_goes_on(&mut self) -> bool {
        let mut world = self.sim.lock();
        while !world.calls.is_empty() {
            let length = world.calls.len();
            let choice = world.chance.index(length);
            let gate = world.calls.swap_remove(choice);
            if !gate.left.load(std::sync::atomic::Ordering::Relaxed) {
                gate.open();
                return true;
            }
        }
        false
    }

    fn record_moves(&mut self) -> bool {
        let mut world = self.sim.lock();
        world.move_log()
    }

    fn record_arrives(&mut self) -> bool {
        let mut world = self.sim.lock();
        let readers = world.log.readers.len();
        if readers == 0 {
            return false;
        }
        let first = world.chance.index(readers);
        (0..readers).any(|turn| world.arrive((first + turn) % readers))
    }

    fn client_sends(&mut self) -> bool {
        let sends = self.traffic.left > 0 && !self.healed;
        if sends {
            self.traffic.send(&mut self.sim.lock());
        }
        sends
    }

    /// Every fault ends: one owner, one sink of each kind, everybody answers.
    fn heal(&mut self) {
        self.healed = true;
        self.pace = Duration::from_micros(10);
        {
            let mut world = self.sim.lock();
            world.skew_ms.fill(0);
            world.log.away_until = Duration::ZERO;
            world.log.ways.heal();
            // An owner that fails takes names with it: those that are late are gone by then.
            world.redis.away_until = match self.names_arrive {
                true => world.now + LATE_OWNERS_END,
                false => Duration::ZERO,
            };
            world.cold.away_until = Duration::ZERO;
        }
        self.cluster.forget_handovers();
        for partition in 0..self.cluster.count {
            let mut owners = self.cluster.owners(&self.tasks, partition);
            // Whoever is kept takes names, and loses them if it cannot publish any more.
            let keeps = |place: &mut usize| !self.names_arrive || self.cluster.publishes(*place);
            let kept = owners.pop_if(keeps).unwrap_or(0);
            for zombie in owners {
                self.cluster.revoke(zombie, partition);
            }
            self.cluster.own(&mut self.tasks, kept, partition);
            for kind in [Kind::Journal, Kind::Balances] {
                for place in 1..self.cluster.member_count() {
                    self.cluster.take(kind, place, partition);
                }
                self.cluster.give(&mut self.tasks, kind, 0, partition);
            }
        }
    }

    /// Until nothing is under way any more.
    fn rest(&mut self) {
        let until = self.steps + REST_STEPS_MAX;
        while let Some(unrest) = self.unrest() {
            self.own_what_nobody_owns();
            for _ in 0..100 {
                if !self.step() {
                    let woken = self.sim.lock().pass_to_next();
                    assert!(woken, "all wait for nothing: {unrest}");
                }
            }
            assert!(self.steps < until, "no rest: {unrest}");
        }
    }

    /// An owner that was told to stop as the world healed may have been the last one.
    fn own_what_nobody_owns(&mut self) {
        for partition in 0..self.cluster.count {
            if self.cluster.owners(&self.tasks, partition).is_empty() {
                self.cluster.own(&mut self.tasks, 0, partition);
            }
        }
    }

    /// What is not at its end yet.
    fn unrest(&self) -> Option<String> {
        let world = self.sim.lock();
        if world.log.ways.is_busy() {
            return Some("records are on their way".to_owned());
        }
        if let Some(waits) = world.hold_waits() {
            return Some(waits);
        }
        for partition in world.partitions() {
            let truth = &world.truth[usize::from(partition)];
            let (last, landed) = (truth.last(), truth.landed as u64);
            let rows = world
                .cold
                .checkpoint(Sink::Balances, partition)
                .command_offset;
            let journal = world
                .cold
                .checkpoint(Sink::Journal, partition)
                .command_offset;
            let slot = &world.redis.slots[usize::from(partition)];
            let hot = slot.position.offset.filter(|_| slot.installed);
            let ends = [landed.checked_sub(1), rows, journal, hot];
            if ends != [Some(last); 4] {
                return Some(format!(
                    "partition {partition} ends at {last}; outcomes, rows, journal, hot: {ends:?}"
                ));
            }
            let hidden = self.names_arrive.then(|| world.hidden(partition));
            if let Some(hidden) = hidden.flatten() {
                return Some(hidden);
            }
        }
        None
    }

    /// Hot, cold and truth say the same, and nothing is under way.
    fn compare(&self) {
        let world = self.sim.lock();
        let mut transit: BTreeMap<Asset, i128> = BTreeMap::new();
        let reserved = Reserved::by_homes(&world);
        for partition in world.partitions() {
            let truth = &world.truth[usize::from(partition)];
            world.cold_is_a_cut(partition);
            hot_is_true(&world, partition);
            world.journal_is_whole(partition);
            for (id, hold) in truth.partition.holds().iter() {
                let other = world.oracle.hold(partition, id);
                assert_eq!(other, Some(hold), "the oracle has another hold {id}");
            }
            for (id, balance) in truth.partition.balances() {
                reserved.is_on(id, balance.state);
                let other = world.oracle.balance(id);
                assert_eq!(other, Some(&balance), "the oracle has another {id}");
                if *balance.ledger == *TRANSIT_LEDGER {
                    *transit.entry(balance.asset).or_default() += balance.state.posted;
                }
            }
        }
        for (asset, sum) in transit {
            let stays = world.stays.get(&asset).copied().unwrap_or_default();
            assert_eq!(sum, stays, "money in {asset} is on the wire");
        }
    }
}

/// What hot shows is the truth; what it lets go is in cold.
fn hot_is_true(world: &World, partition: PartitionId) {
    let truth = &world.truth[usize::from(partition)];
    for (id, hot) in &world.redis.slots[usize::from(partition)].balances {
        let (version, json) = split(&hot.text);
        check::balance_is_true(world, partition, json, "hot");
        assert_eq!(
            version,
            truth.past[id].len() as u64,
            "hot is behind in balance {id}"
        );
    }
}
