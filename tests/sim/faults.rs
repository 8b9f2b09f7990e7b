//! What may go wrong in a run, and how often: drawn by its seed, so that runs differ in kind.

use std::time::Duration;

use steelyard::cold::write::Sink;
use steelyard::ledger::PartitionId;

use crate::chance::Chance;
use crate::cluster::{Cluster, Kind};
use crate::log::Topic;
use crate::tasks::Tasks;
use crate::world::{Sim, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Crash,
    Start,
    Move,
    Zombie,
    Rebalance,
    BreakProducer,
    LogAway,
    HotAway,
    HotEmptied,
    HotSaved,
    HotRolledBack,
    HotExpires,
    ColdAway,
    SinkCrash,
    SinkStop,
    SinkStart,
    SinkMove,
    SinkZombie,
    Compact,
    Trim,
    Clock,
    Wait,
}

const ALL: [Fault; 22] = [
    Fault::Crash,
    Fault::Start,
    Fault::Move,
    Fault::Zombie,
    Fault::Rebalance,
    Fault::BreakProducer,
    Fault::LogAway,
    Fault::HotAway,
    Fault::HotEmptied,
    Fault::HotSaved,
    Fault::HotRolledBack,
    Fault::HotExpires,
    Fault::ColdAway,
    Fault::SinkCrash,
    Fault::SinkStop,
    Fault::SinkStart,
    Fault::SinkMove,
    Fault::SinkZombie,
    Fault::Compact,
    Fault::Trim,
    Fault::Clock,
    Fault::Wait,
];

/// The faults of one run.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Each as often as it stands here.
    deck: Vec<Fault>,
    /// One step in so many is a fault.
    pub(crate) one_in: u64,
}

impl Faults {
    /// Half of all kinds, some of them often. What brings things back is always there.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let mut deck = vec![Fault::Start, Fault::Start, Fault::SinkStart, Fault::Wait];
        for fault in ALL {
            if chance.one_in(2) {
                let often = chance.between(1, 3) as usize;
                deck.extend(std::iter::repeat_n(fault, often));
            }
        }
        let one_in = *chance.pick(&[30, 100, 300, 1000]);
        Self { deck, one_in }
    }

    /// Owners at once that never learn of each other, while the sink is often away and compaction
    /// is not: what it takes for errors in a sum to cancel.
    pub(crate) fn of_late_owners() -> Self {
        let often = |fault, times| std::iter::repeat_n(fault, times);
        let deck = often(Fault::Compact, 6)
            .chain(often(Fault::Zombie, 4))
            .chain(often(Fault::ColdAway, 3))
            .chain(often(Fault::Start, 2))
            .chain([Fault::BreakProducer, Fault::SinkStart]);
        Self {
            deck: deck.collect(),
            one_in: 40,
        }
    }

    /// Owners that come and go while cold is away, of outcomes that are trimmed whenever it is not.
    pub(crate) fn of_the_log_alone() -> Self {
        let often = |fault, times| std::iter::repeat_n(fault, times);
        let deck = often(Fault::Trim, 4)
            .chain(often(Fault::ColdAway, 3))
            .chain(often(Fault::Crash, 2))
            .chain(often(Fault::Start, 3))
            .chain(often(Fault::Move, 2))
            .chain([Fault::Compact, Fault::HotEmptied, Fault::SinkStart]);
        Self {
            deck: deck.collect(),
            one_in: 60,
        }
    }

    /// One fault.
    pub(crate) fn strike(&self, sim: &Sim, cluster: &mut Cluster, tasks: &mut Tasks) {
        let (fault, partition) = {
            let world = &mut *sim.lock();
            let fault = *world.chance.pick(&self.deck);
            let partition = PartitionId::try_from(world.chance.index(world.count.into())).unwrap();
            world.tell("fault", fault as u64, &[]);
            (fault, partition)
        };
        let place = sim.lock().chance.index(cluster.process_count());
        match fault {
            Fault::Crash => {
                if cluster.crash(tasks, place) {
                    sim.lock().reach("a process is killed");
                }
            }
            Fault::Start => {
                if cluster.owners(tasks, partition).is_empty() {
                    cluster.own(tasks, place, partition);
                }
            }
            Fault::Move => {
                for owner in cluster.owners(tasks, partition) {
                    cluster.revoke(owner, partition);
                    sim.lock().reach("a partition is handed over");
                }
                cluster.own(tasks, place, partition);
            }
            Fault::Zombie => {
                cluster.own(tasks, place, partition);
                if cluster.owners(tasks, partition).len() > 1 {
                    sim.lock().reach("two owners at once");
                }
            }
            Fault::Rebalance => {
                cluster.rebalance(tasks);
                sim.lock().reach("the group is shared out anew");
            }
            Fault::BreakProducer => {
                if cluster.break_producer(place) {
                    sim.lock().reach("a producer breaks");
                }
            }
            Fault::SinkCrash
            | Fault::SinkStop
            | Fault::SinkStart
            | Fault::SinkMove
            | Fault::SinkZombie => {
                sink_fault(fault, sim, cluster, tasks, partition);
            }
            Fault::LogAway
            | Fault::HotAway
            | Fault::HotEmptied
            | Fault::HotSaved
            | Fault::HotRolledBack
            | Fault::HotExpires
            | Fault::ColdAway
            | Fault::Compact
            | Fault::Trim
            | Fault::Clock
            | Fault::Wait => world_fault(fault, &mut sim.lock(), partition),
        }
    }
}

fn sink_fault(
    fault: Fault,
    sim: &Sim,
    cluster: &mut Cluster,
    tasks: &mut Tasks,
    partition: PartitionId,
) {
    let (kind, place) = {
        let mut world = sim.lock();
        let kind = *world.chance.pick(&[Kind::Journal, Kind::Balances]);
        (kind, world.chance.index(cluster.member_count()))
    };
    match fault {
        Fault::SinkCrash => {
            if cluster.crash_sink(tasks, kind, place) {
                sim.lock().reach("a sink is killed");
            }
        }
        Fault::SinkStop => {
            if cluster.stop_sink(kind, place) {
                sim.lock().reach("a sink is told to stop");
            }
        }
        Fault::SinkMove => {
            for other in 0..cluster.member_count() {
                cluster.take(kind, other, partition);
            }
            cluster.give(tasks, kind, place, partition);
            sim.lock().reach("a sink's partition moves");
        }
        _ => cluster.give(tasks, kind, place, partition),
    }
}

fn world_fault(fault: Fault, world: &mut World, partition: PartitionId) {
    let most = *world.chance.pick(&[5, 200, 3_000, 20_000]);
    let while_away = Duration::from_millis(world.chance.between(1, most));
    match fault {
        Fault::LogAway => world.log.away_until = world.now + while_away,
        Fault::HotAway => world.redis.away_until = world.now + while_away,
        Fault::HotEmptied => world.hot_is_emptied(),
        Fault::HotSaved => world.hot_is_saved(),
        Fault::HotRolledBack => world.hot_is_rolled_back(),
        Fault::HotExpires => world.hot_expires(),
        Fault::ColdAway => world.cold.away_until = world.now + while_away,
        Fault::Compact => {
            let line = world.log.line(Topic::Snapshots, partition);
            let (low, end) = (line.low, line.end());
            let upto = world.chance.between(low, end);
            world
                .log
                .line_mut(Topic::Snapshots, partition)
                .compact(upto);
            world.reach("snapshots are compacted");
        }
        Fault::Trim => trim(world, partition),
        Fault::Clock => {
            let skew = i64::try_from(world.chance.below(4_000)).unwrap() - 2_000;
            world.skew_ms[usize::from(partition)] = skew;
            world.reach("a broker's clock is off");
        }
        _ => world.pass(while_away),
    }
}

/// Retention takes what nobody needs: never past the lowest position of cold.
fn trim(world: &mut World, partition: PartitionId) {
    let journal = world.cold.checkpoint(Sink::Journal, partition);
    let rows = world.cold.checkpoint(Sink::Balances, partition);
    let Some(watermark) = rows.command_offset else {
        return;
    };
    let marker = rows.marker.as_deref().unwrap_or_default();
    let marker = steelyard::wire::MarkerBody::parse(marker.as_bytes()).expect("a marker");
    let keep = marker.position.min(journal.position.saturating_sub(1));
    let upto = world.chance.between(0, keep);
    world.log.line_mut(Topic::Outcomes, partition).trim(upto);
    let commands = world.chance.between(0, watermark + 1);
    world
        .log
        .line_mut(Topic::Commands, partition)
        .trim(commands);
    if upto > 0 {
        world.reach("outcomes are trimmed");
    }
}
