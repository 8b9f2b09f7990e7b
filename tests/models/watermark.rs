//! A neighbouring design that was not chosen: hot is the truth, and carries the partition's
//! watermark. One script for each command; then its snapshot is published, then the offset is
//! committed. It is sound with these rules, and fails without any of them.
//!
//! | the script finds | it does |
//! |---|---|
//! | no watermark | nothing: hot is rebuilt, the committed offset read first |
//! | a command at or before the watermark, or the balance's last | moves the watermark at most: the snapshot is published again |
//! | a command beyond the next one | nothing: the worker goes back to the next one |
//! | the next command | applies it, and moves the watermark with it |

use crate::explore::{Model, STUCK, Steps, breaks, sound};

const COMMANDS: u8 = 3;
const TOPIC_MAX: usize = 20;

const ONCE: &str = "a command is applied once";
const NOT_LOST: &str = "no command is applied over a missing one";

/// One rule switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Nothing,
    /// Only balances know their last command.
    NoWatermark,
    /// The offset is committed before the snapshot is there.
    CommitFirst,
    /// A rebuild reads snapshots before the committed offset.
    SnapshotsFirst,
    /// A rebuild reads the database alone.
    ColdAlone,
    /// A worker that was replaced goes on publishing.
    Unfenced,
}

/// A balance: how often each command was applied to it, and its last one, counted from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Balance {
    last: u8,
    applied: [u8; 3],
}

type Balances = [Balance; 2];

/// The balance that a command changes.
fn of(command: u8) -> usize {
    usize::from(command % 2)
}

fn apply(balances: &mut Balances, command: u8) {
    let balance = &mut balances[of(command)];
    balance.last = command + 1;
    balance.applied[usize::from(command)] += 1;
}

fn truth() -> Balances {
    let mut balances = Balances::default();
    (0..COMMANDS).for_each(|command| apply(&mut balances, command));
    balances
}

fn newest(mut one: Balances, other: &Balances) -> Balances {
    for (one, other) in one.iter_mut().zip(other) {
        if other.last > one.last {
            *one = *other;
        }
    }
    one
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hot {
    /// How many commands are applied.
    next: u8,
    balances: Balances,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Absent,
    /// About to run the script.
    Script,
    /// Has a snapshot to publish.
    Publish(u8, Balance),
    Commit,
    /// Found hot empty.
    Rebuild,
    /// Has read the committed offset, or the snapshots.
    Half(u8, Balances),
    Whole(u8, Balances),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Worker {
    at: At,
    position: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    hot: Option<Hot>,
    copy: Option<Hot>,
    committed: u8,
    topic: [Option<(u8, Balance)>; TOPIC_MAX],
    /// How much of it the sink has read.
    read: u8,
    rows: Balances,
    workers: [Worker; 2],
    crashes: u8,
    empties: u8,
    failovers: u8,
}

#[derive(Clone, Copy, Debug)]
struct Watermark {
    broken: Break,
    workers: usize,
    crashes: u8,
    empties: u8,
    failovers: u8,
    compacts: bool,
}

impl Watermark {
    fn breaking(broken: Break) -> Self {
        let (workers, crashes, empties, failovers, compacts) = (1, 0, 0, 0, false);
        Self {
            broken,
            workers,
            crashes,
            empties,
            failovers,
            compacts,
        }
    }

    fn script(&self, state: &mut State, at: usize) -> &'static str {
        let worker = &mut state.workers[at];
        let command = worker.position;
        let Some(hot) = &mut state.hot else {
            worker.at = At::Rebuild;
            return "finds hot empty";
        };
        let balance = hot.balances[of(command)];
        let watermark = self.broken != Break::NoWatermark;
        if balance.last > command || watermark && command < hot.next {
            hot.next = hot.next.max(command + 1);
            worker.at = match self.broken == Break::CommitFirst {
                true => At::Commit,
                false => At::Publish(command % 2, balance),
            };
            return "finds its command applied";
        }
        if watermark && command > hot.next {
            worker.position = hot.next;
            return "goes back";
        }
        apply(&mut hot.balances, command);
        hot.next = command + 1;
        worker.at = match self.broken == Break::CommitFirst {
            true => At::Commit,
            false => At::Publish(command % 2, hot.balances[of(command)]),
        };
        "applies"
    }

    /// With nothing to do a worker looks whether hot is what it left; the last one, whether its
    /// commit stands.
    fn idle(&self, state: &mut State, at: usize) -> Option<&'static str> {
        let worker = &mut state.workers[at];
        let next = state.hot.map(|hot| hot.next);
        match next {
            None => worker.at = At::Rebuild,
            Some(next) if next < COMMANDS => worker.position = next,
            Some(_) if at + 1 == self.workers && state.committed < COMMANDS => {
                worker.position = state.committed;
            }
            Some(_) => return None,
        }
        Some("looks again")
    }

    /// What a rebuild finds: rows and, if it looks there, everything that the topic still has.
    fn snapshots(&self, state: &State) -> Balances {
        let mut found = state.rows;
        for (which, balance) in state.topic.iter().flatten() {
            let known = &mut found[usize::from(*which)];
            if balance.last > known.last && self.broken != Break::ColdAlone {
                *known = *balance;
            }
        }
        found
    }

    fn step(&self, state: &State, at: usize, steps: &mut Steps<State>) {
        let worker = state.workers[at];
        let mut after = state.clone();
        let replaced = at == 0 && state.workers[1].at != At::Absent;
        let what = match worker.at {
            At::Absent => {
                after.workers[at] = Worker {
                    at: At::Script,
                    position: state.committed,
                };
                "starts at the committed offset"
            }
            At::Script if worker.position == COMMANDS => match self.idle(&mut after, at) {
                Some(what) => what,
                None => return,
            },
            At::Script => self.script(&mut after, at),
            At::Publish(..) if replaced && self.broken != Break::Unfenced => return,
            At::Publish(which, balance) => {
                let free = after.topic.iter_mut().find(|slot| slot.is_none());
                *free.unwrap() = Some((which, balance));
                after.workers[at].at = At::Commit;
                if self.broken == Break::CommitFirst {
                    after.workers[at] = Worker {
                        at: At::Script,
                        position: worker.position + 1,
                    };
                }
                "publishes"
            }
            At::Commit => {
                after.committed = worker.position + 1;
                after.workers[at] = Worker {
                    at: At::Script,
                    position: worker.position + 1,
                };
                if let (Break::CommitFirst, Some(hot)) = (self.broken, state.hot) {
                    let balance = hot.balances[of(worker.position)];
                    let publish = At::Publish(worker.position % 2, balance);
                    after.workers[at] = Worker {
                        at: publish,
                        ..worker
                    };
                }
                "commits"
            }
            At::Rebuild => {
                after.workers[at].at = match self.broken == Break::SnapshotsFirst {
                    true => At::Half(0, self.snapshots(state)),
                    false => At::Half(state.committed, Balances::default()),
                };
                "reads the first half of a base"
            }
            At::Half(committed, found) => {
                after.workers[at].at = match self.broken == Break::SnapshotsFirst {
                    true => At::Whole(state.committed, found),
                    false => At::Whole(committed, self.snapshots(state)),
                };
                "reads the second half of a base"
            }
            At::Whole(next, balances) => {
                after.hot.get_or_insert(Hot { next, balances });
                after.workers[at] = Worker {
                    at: At::Script,
                    position: next,
                };
                "installs unless somebody has"
            }
        };
        steps.add(("worker", at), what, after);
    }

    fn faults(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.workers {
            if state.crashes > 0 && state.workers[at].at != At::Absent {
                let mut after = state.clone();
                after.workers[at] = Worker {
                    at: At::Absent,
                    position: 0,
                };
                after.crashes -= 1;
                steps.add(("worker", at), "crashes", after);
            }
        }
        if state.empties > 0 {
            let mut after = state.clone();
            (after.hot, after.empties) = (None, state.empties - 1);
            steps.add(("hot", 0), "is emptied", after);
        }
        if state.failovers > 0 {
            let mut after = state.clone();
            match state.copy {
                None => after.copy = state.hot,
                Some(_) => (after.hot, after.copy, after.failovers) = (state.copy, None, 0),
            }
            let what = state.copy.map_or("is copied", |_| "fails over to the copy");
            steps.add(("hot", 0), what, after);
        }
    }

    fn sinks(&self, state: &State, steps: &mut Steps<State>) {
        if let Some((which, balance)) = state.topic[usize::from(state.read)] {
            let mut after = state.clone();
            after.read += 1;
            let mut found = Balances::default();
            found[usize::from(which)] = balance;
            after.rows = newest(state.rows, &found);
            steps.add(("sink", 0), "writes a row", after);
        }
        for (at, item) in state.topic.iter().flatten().enumerate() {
            let mut later = state.topic[at + 1..].iter().flatten();
            if self.compacts && later.any(|later| later.0 == item.0) {
                let mut after = state.clone();
                after.topic[at..].rotate_left(1);
                after.topic[TOPIC_MAX - 1] = None;
                after.read -= u8::from(at < usize::from(state.read));
                steps.add(("snapshots", at), "are compacted", after);
            }
        }
    }
}

impl Model for Watermark {
    type State = State;

    fn initial(&self) -> State {
        State {
            // Somebody installed hot before anything was decided.
            hot: Some(Hot {
                next: 0,
                balances: Balances::default(),
            }),
            copy: None,
            committed: 0,
            topic: [None; TOPIC_MAX],
            read: 0,
            rows: Balances::default(),
            workers: [Worker {
                at: At::Absent,
                position: 0,
            }; 2],
            crashes: self.crashes,
            empties: self.empties,
            failovers: self.failovers,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        (0..self.workers).for_each(|at| self.step(state, at, steps));
        self.sinks(state, steps);
        self.faults(state, steps);
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let balances = state.hot?.balances;
        for (at, balance) in balances.iter().enumerate() {
            for command in (0..balance.last).filter(|command| of(*command) == at) {
                match balance.applied[usize::from(command)] {
                    0 => return Some(NOT_LOST),
                    1 => {}
                    _ => return Some(ONCE),
                }
            }
        }
        None
    }

    fn done(&self, state: &State) -> bool {
        let whole = state.hot.is_some_and(|hot| hot.balances == truth());
        whole && state.rows == truth() && state.committed == COMMANDS
    }
}

#[test]
fn the_watermark_is_sound_with_crashes_and_a_zombie() {
    let model = Watermark {
        workers: 2,
        crashes: 1,
        ..Watermark::breaking(Break::Nothing)
    };
    sound("watermark, owner and zombie, 1 crash", &model);
}

#[test]
fn the_watermark_is_sound_when_hot_loses_a_suffix_or_everything() {
    let one = Watermark {
        crashes: 1,
        ..Watermark::breaking(Break::Nothing)
    };
    sound(
        "watermark, 1 crash, 1 failover",
        &Watermark {
            failovers: 1,
            ..one
        },
    );
    let emptied = Watermark {
        empties: 1,
        compacts: true,
        ..one
    };
    sound("watermark, 1 crash, emptied once, compaction", &emptied);
}

#[test]
fn without_a_watermark_a_failover_loses_a_command() {
    let model = Watermark {
        failovers: 1,
        ..Watermark::breaking(Break::NoWatermark)
    };
    breaks("watermark, balances alone", NOT_LOST, &model);
}

#[test]
fn an_offset_committed_before_its_snapshot_leaves_rows_behind() {
    let model = Watermark {
        crashes: 1,
        ..Watermark::breaking(Break::CommitFirst)
    };
    breaks("watermark, commit first", STUCK, &model);
}

#[test]
fn a_rebuild_that_reads_snapshots_first_loses_a_command() {
    let model = Watermark {
        workers: 2,
        empties: 1,
        ..Watermark::breaking(Break::SnapshotsFirst)
    };
    breaks("watermark, snapshots first", NOT_LOST, &model);
}

#[test]
fn a_rebuild_from_a_database_that_lags_loses_a_command() {
    let model = Watermark {
        empties: 1,
        ..Watermark::breaking(Break::ColdAlone)
    };
    breaks("watermark, database alone", NOT_LOST, &model);
}

#[test]
fn a_zombie_that_publishes_hides_what_a_rebuild_needs() {
    let unfenced = Watermark::breaking(Break::Unfenced);
    let model = Watermark {
        workers: 2,
        empties: 1,
        compacts: true,
        ..unfenced
    };
    breaks("watermark, unfenced, rebuilt", STUCK, &model);
}

#[test]
fn a_zombie_that_publishes_and_stops_leaves_rows_behind() {
    let unfenced = Watermark::breaking(Break::Unfenced);
    let model = Watermark {
        workers: 2,
        crashes: 1,
        compacts: true,
        ..unfenced
    };
    breaks("watermark, unfenced", STUCK, &model);
}
