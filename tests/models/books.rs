//! Takeover, snapshots, marker and cold: what a new owner starts from is true, whatever became of
//! the owners before it.
//!
//! One partition of two balances. Owners decide commands, publish snapshots and then a marker;
//! `snapshots` is compacted at any time; a sink gathers, accepts or passes over, and may start
//! again; outcomes are trimmed up to the accepted marker. Legs are in `legs.rs`, hot in `hot.rs`.
//!
//! What cannot make a difference is one step: a sink reads up to the next marker, and a claim is
//! the place where outcomes ended when it was written.

use steelyard::ledger::chain::{Place, place};

use crate::explore::{Model, STUCK, Steps, breaks, sound};
use crate::snapshots::{
    AGAIN, Flush, NEVER, UNTOUCHED, Value, Values, changed_since, last, newest_of,
};

const OWNERS_MAX: usize = 3;
const LOG_MAX: usize = 10;
const TOPIC_MAX: usize = 24;

const TRUE_OWNER: &str = "an owner knows the true state";
const EXACT: &str = "cold is an exact cut";

/// Which balances each command changes, as bits.
const TOUCHES: [u8; 3] = [0b01, 0b10, 0b01];

/// One rule switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Nothing,
    /// The end of outcomes is read before cold, and decides what comes next.
    EndFirst,
    /// A marker stands for a position: everything behind it is folded.
    Position,
    /// A marker is accepted on the sum of versions alone.
    SumOnly,
    /// Rows are written as snapshots arrive.
    RowsAhead,
    /// A marker covers outcomes that are not acknowledged.
    MarkerFirst,
    /// What was passed over is not published again.
    PassedOver,
}

/// The balances after `count` commands.
fn truth(count: u8) -> Values {
    let mut values = Values::default();
    (0..count).for_each(|command| change(&mut values, command));
    values
}

fn change(values: &mut Values, command: u8) {
    for (at, value) in values.iter_mut().enumerate() {
        if TOUCHES[usize::from(command)] >> at & 1 == 1 {
            value.version += 1;
            value.changed = command + 1;
        }
    }
}

fn sum(values: &Values) -> (u8, u8) {
    let versions = values.iter().map(|value| value.version).sum();
    let highest = values.iter().map(|value| value.changed).max();
    (versions, highest.unwrap_or_default())
}

/// A record of `snapshots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Item {
    Balance {
        which: u8,
        value: Value,
    },
    Marker {
        covers: u8,
        position: u8,
        sum: (u8, u8),
    },
}

impl Item {
    fn key(&self) -> u8 {
        match self {
            Self::Balance { which, .. } => *which,
            Self::Marker { .. } => u8::MAX,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Absent,
    Claimed {
        epoch: u8,
    },
    /// Has seen where outcomes end and what was decided there: only where that comes first.
    SawEnd {
        epoch: u8,
        decided: u8,
    },
    Based {
        epoch: u8,
        decided: u8,
    },
    Running,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    phase: Phase,
    /// The cold it has read: watermark and position.
    base: (u8, u8),
    /// Commands it has decided and appended, and the first of them not acknowledged.
    published: u8,
    unacked: u8,
    /// The balances after the last acknowledged one, and where its outcome is.
    values: Values,
    position: u8,
    /// Balances to be published, as bits, and the last marker.
    dirty: u8,
    marked: u8,
    /// How often it may still publish again.
    again: u8,
    flush: Option<Flush>,
}

const ABSENT: Owner = Owner {
    phase: Phase::Absent,
    base: (0, 0),
    published: 0,
    unacked: NEVER,
    values: UNTOUCHED,
    position: 0,
    dirty: 0,
    marked: 0,
    again: 0,
    flush: None,
};

impl Owner {
    fn acked(&self) -> u8 {
        self.published.min(self.unacked)
    }

    /// Balances changed since the watermark, as bits.
    fn since(&self, watermark: u8) -> u8 {
        changed_since(&self.values, watermark)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Outcomes, each by its command, from the first that is not trimmed.
    log: [u8; LOG_MAX],
    length: u8,
    /// How many commands the chain of outcomes has decided.
    decided: u8,
    /// What the sink has read or will read since the last accepted marker.
    topic: [Option<Item>; TOPIC_MAX],
    unread_from: u8,
    gathered: Values,
    rows: Values,
    watermark: u8,
    position: u8,
    owners: [Owner; OWNERS_MAX],
    losses: u8,
    sink_crashes: u8,
}

#[derive(Clone, Copy, Debug)]
struct Books {
    broken: Break,
    commands: u8,
    owners: usize,
    losses: u8,
    sink_crashes: u8,
    trims: bool,
    compacts: bool,
}

impl Books {
    fn breaking(broken: Break) -> Self {
        Self {
            broken,
            commands: 2,
            owners: 2,
            losses: 1,
            sink_crashes: 0,
            trims: false,
            compacts: true,
        }
    }

    fn takes_over(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        let base = (state.watermark, state.position);
        match owner.phase {
            Phase::Absent if at == 0 || state.owners[at - 1].phase != Phase::Absent => {
                let phase = Phase::Claimed {
                    epoch: state.length,
                };
                steps.add(
                    ("owner", at),
                    "claims",
                    with(state, at, Owner { phase, ..ABSENT }),
                );
            }
            Phase::Claimed { epoch } if self.broken == Break::EndFirst => {
                let phase = Phase::SawEnd {
                    epoch,
                    decided: state.decided,
                };
                let after = with(state, at, Owner { phase, ..owner });
                steps.add(("owner", at), "reads the end of outcomes", after);
            }
            Phase::Claimed { epoch } => {
                let phase = Phase::Based {
                    epoch,
                    decided: NEVER,
                };
                let next = Owner {
                    phase,
                    base,
                    values: state.rows,
                    ..owner
                };
                steps.add(("owner", at), "reads cold", with(state, at, next));
            }
            Phase::SawEnd { epoch, decided } => {
                let phase = Phase::Based { epoch, decided };
                let next = Owner {
                    phase,
                    base,
                    values: state.rows,
                    ..owner
                };
                steps.add(("owner", at), "reads cold", with(state, at, next));
            }
            Phase::Based { epoch, decided } => self.starts(at, state, (epoch, decided), steps),
            Phase::Absent | Phase::Running | Phase::Dead => {}
        }
    }

    /// Folds what was decided since the base. Rows and watermark were read in one.
    fn starts(&self, at: usize, state: &State, seen: (u8, u8), steps: &mut Steps<State>) {
        let (epoch, decided) = seen;
        let (watermark, position) = state.owners[at].base;
        let sound = self.broken != Break::EndFirst;
        if sound && watermark > 0 && position >= epoch {
            steps.add(
                ("owner", at),
                "finds the base too new",
                with(state, at, ABSENT),
            );
            return;
        }
        let mut owner = Owner {
            phase: Phase::Running,
            ..state.owners[at]
        };
        (owner.published, owner.position) = (watermark, position);
        for index in position..epoch {
            let command = state.log[usize::from(index)];
            let next = match place(last(owner.published), command.into(), last(command)) {
                Place::Next => true,
                Place::Copy => self.broken == Break::Position && index > position,
                Place::Hole | Place::Fork => break,
            };
            if next {
                change(&mut owner.values, command);
                (owner.published, owner.position) = (command + 1, index);
            }
        }
        if self.broken == Break::EndFirst {
            owner.published = decided;
        }
        (owner.base, owner.marked) = ((0, 0), watermark);
        owner.again = if at + 1 < self.owners { 0 } else { AGAIN };
        owner.dirty = owner.since(watermark);
        steps.add(("owner", at), "folds outcomes", with(state, at, owner));
    }

    fn publishes(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        let command = owner.published;
        if command == self.commands {
            return;
        }
        let next = Owner {
            published: command + 1,
            ..owner
        };
        let lost = Owner {
            unacked: owner.unacked.min(command),
            ..next
        };
        let may_lose = state.losses > 0 && at + 1 < self.owners;
        if may_lose {
            let mut after = with(state, at, self.decided_anyway(lost, state.length, command));
            after.losses -= 1;
            steps.add(("owner", at), "appends an outcome, which is lost", after);
        }
        let mut after = with(state, at, next);
        after.append(command);
        if may_lose {
            let mut after = after.clone();
            after.owners[at] = self.decided_anyway(lost, state.length, command);
            after.losses -= 1;
            steps.add(("owner", at), "appends an outcome and is not told", after);
        }
        after.owners[at] = match owner.unacked {
            NEVER => decided(next, state.length, command),
            _ => self.decided_anyway(next, state.length, command),
        };
        steps.add(("owner", at), "appends an outcome", after);
    }

    /// Without an acknowledgement nothing comes of a decision, unless markers do not wait for it.
    fn decided_anyway(&self, owner: Owner, position: u8, command: u8) -> Owner {
        match self.broken == Break::MarkerFirst {
            true => decided(
                Owner {
                    unacked: NEVER,
                    ..owner
                },
                position,
                command,
            ),
            false => owner,
        }
    }

    fn flushes(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        let Some(flush) = owner.flush else {
            if owner.dirty != 0 && owner.acked() > 0 {
                let (left, values) = (owner.dirty, owner.values);
                let (covers, position) = (owner.acked(), owner.position);
                let flush = Flush {
                    left,
                    values,
                    covers,
                    position,
                };
                self.flush(at, state, Owner { dirty: 0, ..owner }, flush, steps);
            } else if self.passed_over(&owner, state) {
                let (dirty, again) = (owner.since(state.watermark), owner.again - 1);
                let next = Owner {
                    dirty,
                    again,
                    ..owner
                };
                let what = "finds its marker passed over";
                steps.add(("owner", at), what, with(state, at, next));
            }
            return;
        };
        self.flush(at, state, owner, flush, steps);
    }

    /// Publishes what comes next of a flush: a snapshot, or the marker behind all of them.
    fn flush(
        &self,
        at: usize,
        state: &State,
        owner: Owner,
        mut flush: Flush,
        steps: &mut Steps<State>,
    ) {
        let mut after = state.clone();
        if flush.left == 0 {
            let (covers, position) = (flush.covers, flush.position);
            after.put(Item::Marker {
                covers,
                position,
                sum: sum(&flush.values),
            });
            after.owners[at] = Owner {
                flush: None,
                marked: covers,
                ..owner
            };
            steps.add(("owner", at), "publishes a marker", after);
            return;
        }
        let which = u8::try_from(flush.left.trailing_zeros()).unwrap();
        flush.left &= !(1 << which);
        after.put(Item::Balance {
            which,
            value: flush.values[usize::from(which)],
        });
        after.owners[at] = Owner {
            flush: Some(flush),
            ..owner
        };
        steps.add(("owner", at), "publishes a snapshot", after);
    }

    /// Whether the sink has seen everything there is, and not accepted this owner's marker.
    fn passed_over(&self, owner: &Owner, state: &State) -> bool {
        let behind = owner.marked > state.watermark && owner.again > 0;
        behind && state.unread().is_none() && self.broken != Break::PassedOver
    }

    fn sinks(&self, state: &State, steps: &mut Steps<State>) {
        let mut after = state.clone();
        let mut what = "gathers snapshots";
        while let Some(item) = after.unread() {
            after.unread_from += 1;
            match item {
                Item::Balance { which, value } => {
                    let newest = &mut after.gathered[usize::from(which)];
                    if value.version >= newest.version {
                        *newest = value;
                    }
                }
                Item::Marker {
                    covers,
                    position,
                    sum: marked,
                } => {
                    let rows = newest_of(&after.rows, &after.gathered);
                    let (versions, highest) = sum(&rows);
                    let higher = self.broken == Break::SumOnly || highest == marked.1;
                    let accepts = covers >= state.watermark && versions == marked.0 && higher;
                    what = if accepts {
                        "accepts a marker"
                    } else {
                        "passes a marker over"
                    };
                    if accepts {
                        after.accept(rows, (covers, position));
                    }
                    break;
                }
            }
        }
        if self.broken == Break::RowsAhead {
            after.rows = newest_of(&after.rows, &after.gathered);
        }
        steps.add(("sink", 0), what, after);
    }

    fn faults(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.owners.saturating_sub(1) {
            if !matches!(state.owners[at].phase, Phase::Absent | Phase::Dead) {
                let dead = Owner {
                    phase: Phase::Dead,
                    ..ABSENT
                };
                steps.add(("owner", at), "dies", with(state, at, dead));
            }
        }
        if state.sink_crashes > 0 && state.unread_from > 0 {
            let mut after = state.clone();
            (after.unread_from, after.gathered) = (0, Values::default());
            after.sink_crashes -= 1;
            steps.add(("sink", 0), "starts again", after);
        }
        if self.trims && state.position > 0 {
            steps.add(
                ("outcomes", 0),
                "are trimmed to the watermark",
                state.trimmed(),
            );
        }
        for (at, item) in state
            .topic
            .iter()
            .flatten()
            .enumerate()
            .filter(|_| self.compacts)
        {
            let mut later = state.topic[at + 1..].iter().flatten();
            if later.any(|later| later.key() == item.key()) {
                let mut after = state.clone();
                after.topic[at..].rotate_left(1);
                after.topic[TOPIC_MAX - 1] = None;
                after.unread_from -= u8::from(at < usize::from(state.unread_from));
                steps.add(("snapshots", at), "are compacted", after);
            }
        }
    }
}

impl State {
    fn append(&mut self, command: u8) {
        self.log[usize::from(self.length)] = command;
        self.length += 1;
        if place(last(self.decided), command.into(), last(command)) == Place::Next {
            self.decided = command + 1;
        }
    }

    fn put(&mut self, item: Item) {
        let free = self.topic.iter_mut().find(|slot| slot.is_none());
        *free.unwrap() = Some(item);
    }

    fn unread(&self) -> Option<Item> {
        self.topic[usize::from(self.unread_from)]
    }

    /// Rows, watermark and place in the topic change together.
    fn accept(&mut self, rows: Values, marker: (u8, u8)) {
        (self.rows, self.gathered) = (rows, Values::default());
        (self.watermark, self.position) = marker;
        self.forget_read();
    }

    fn forget_read(&mut self) {
        let read = usize::from(self.unread_from);
        self.topic.rotate_left(read);
        self.topic[TOPIC_MAX - read..].fill(None);
        self.unread_from = 0;
    }

    /// Outcomes before the watermark's own are gone: positions count from there.
    fn trimmed(&self) -> Self {
        let (mut after, gone) = (self.clone(), self.position);
        after.log.rotate_left(gone.into());
        after.log[LOG_MAX - usize::from(gone)..].fill(0);
        after.length -= gone;
        after.position = 0;
        let back = |position: &mut u8| *position = position.saturating_sub(gone);
        for owner in &mut after.owners {
            back(&mut owner.base.1);
            back(&mut owner.position);
            match &mut owner.phase {
                Phase::Claimed { epoch }
                | Phase::SawEnd { epoch, .. }
                | Phase::Based { epoch, .. } => back(epoch),
                Phase::Absent | Phase::Running | Phase::Dead => {}
            }
            if let Some(flush) = &mut owner.flush {
                back(&mut flush.position);
            }
        }
        for item in after.topic.iter_mut().flatten() {
            if let Item::Marker { position, .. } = item {
                back(position);
            }
        }
        after
    }
}

/// The owner after its outcome of `command` at `position` is acknowledged.
fn decided(mut owner: Owner, position: u8, command: u8) -> Owner {
    change(&mut owner.values, command);
    owner.position = position;
    owner.dirty |= TOUCHES[usize::from(command)];
    owner
}

fn with(state: &State, at: usize, owner: Owner) -> State {
    let mut after = state.clone();
    after.owners[at] = owner;
    after
}

impl Model for Books {
    type State = State;

    fn initial(&self) -> State {
        State {
            log: [0; LOG_MAX],
            length: 0,
            decided: 0,
            topic: [None; TOPIC_MAX],
            unread_from: 0,
            gathered: Values::default(),
            rows: Values::default(),
            watermark: 0,
            position: 0,
            owners: [ABSENT; OWNERS_MAX],
            losses: self.losses,
            sink_crashes: self.sink_crashes,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.owners {
            if state.owners[at].phase == Phase::Running {
                self.publishes(at, state, steps);
                self.flushes(at, state, steps);
            } else {
                self.takes_over(at, state, steps);
            }
        }
        if state.unread().is_some() {
            self.sinks(state, steps);
        }
        self.faults(state, steps);
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let untrue =
            |owner: &Owner| owner.phase == Phase::Running && owner.values != truth(owner.acked());
        if self.broken != Break::MarkerFirst && state.owners.iter().any(untrue) {
            return Some(TRUE_OWNER);
        }
        (state.rows != truth(state.watermark)).then_some(EXACT)
    }

    fn done(&self, state: &State) -> bool {
        state.decided == self.commands && state.watermark == self.commands
    }

    /// What the sink has read makes no difference if it never starts again, and neither does an
    /// owner that has nothing left to do.
    fn canonical(&self, mut state: State) -> State {
        if state.sink_crashes == 0 {
            state.forget_read();
        }
        for at in 0..self.owners.saturating_sub(1) {
            let owner = &state.owners[at];
            let done =
                owner.published == self.commands && owner.dirty == 0 && owner.flush.is_none();
            if owner.phase == Phase::Running && done && owner.marked <= state.watermark {
                state.owners[at] = Owner {
                    phase: Phase::Dead,
                    ..ABSENT
                };
            }
        }
        state
    }
}

#[test]
fn a_base_is_true_after_many_commands() {
    let model = Books {
        commands: 3,
        losses: 0,
        compacts: false,
        ..Books::breaking(Break::Nothing)
    };
    sound("books, 3 commands, 2 owners at once", &model);
}

#[test]
fn a_base_is_true_with_a_sink_that_starts_again_compaction_and_trimming() {
    let sound_books = Books::breaking(Break::Nothing);
    let model = Books {
        losses: 2,
        sink_crashes: 1,
        trims: true,
        ..sound_books
    };
    let scope = "2 losses, 1 sink crash, compaction, trimming";
    sound(
        &format!("books, 2 commands, 2 owners at once, {scope}"),
        &model,
    );
}

#[test]
fn a_base_is_true_with_two_zombies() {
    let sound_books = Books::breaking(Break::Nothing);
    let model = Books {
        commands: 1,
        owners: 3,
        ..sound_books
    };
    sound(
        "books, 1 command, 3 owners at once, 1 loss, compaction",
        &model,
    );
}

#[test]
fn the_end_of_outcomes_read_before_cold_decides_twice() {
    breaks(
        "books, end first",
        TRUE_OWNER,
        &Books::breaking(Break::EndFirst),
    );
}

#[test]
fn a_marker_that_is_a_position_folds_copies() {
    let position = Books::breaking(Break::Position);
    let model = Books {
        owners: 3,
        losses: 0,
        compacts: false,
        ..position
    };
    breaks("books, a position", TRUE_OWNER, &model);
}

#[test]
fn the_sum_alone_accepts_errors_that_cancel() {
    let model = Books {
        commands: 3,
        ..Books::breaking(Break::SumOnly)
    };
    breaks("books, sum only", EXACT, &model);
}

#[test]
fn rows_ahead_of_their_marker_are_counted_twice() {
    breaks(
        "books, rows ahead",
        TRUE_OWNER,
        &Books::breaking(Break::RowsAhead),
    );
}

#[test]
fn a_marker_before_its_outcomes_loses_one_for_ever() {
    breaks(
        "books, marker first",
        STUCK,
        &Books::breaking(Break::MarkerFirst),
    );
}

#[test]
fn what_was_passed_over_must_come_again() {
    breaks(
        "books, passed over",
        STUCK,
        &Books::breaking(Break::PassedOver),
    );
}
