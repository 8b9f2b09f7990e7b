//! A base made of `snapshots` and `outcomes` alone, with cold away: what a new owner starts from is
//! true, or it starts from nothing.
//!
//! One partition of two balances, whose owners decide commands, send a leg for each, publish
//! snapshots and then a marker. `snapshots` is compacted, outcomes are trimmed, a sink lags. Every
//! takeover reads the log alone: `snapshots` after its claim, then outcomes up to it.
//!
//! The base is of the newest marker that survived, as of its command c. A balance that the outcomes
//! left before c changed is taken from them; any other one from the newest snapshot that is not of
//! after c. Entries do not say terms unless they set them, so where they did not, a snapshot must
//! join on to them. The versions must sum up to the marker's. Whoever finds no such base waits for
//! cold.

mod base;
mod scopes;
mod turns;

use steelyard::ledger::chain::{Place, place};

use crate::explore::{Model, Steps};
use crate::snapshots::{Flush, NEVER, UNTOUCHED, Value, Values, changed_since, last};

const OWNERS_MAX: usize = 3;
const LOG_MAX: usize = 12;
const TOPIC_MAX: usize = 24;

const TRUE_OWNER: &str = "an owner knows the true state";
const BACKED: &str = "no leg without its decision";
const EXACT: &str = "cold is an exact cut";
const NO_WAIT: &str = "no takeover waits for cold";

/// One rule switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Nothing,
    /// The versions are not summed up.
    NoSum,
    /// Of snapshots the newest version counts, also one of after c.
    Newer,
    /// Outcomes count whatever is missing between them.
    Gap,
    /// The fold begins with the first outcome there is, not where the marker says.
    FromFirst,
    /// A snapshot that is newer than what was folded takes its place.
    SnapshotWins,
    /// Terms are a snapshot's, however old it is.
    StaleTerms,
    /// Legs are sent again since the end of the fold, not since c.
    LegsSinceEnd,
    /// A marker does not wait for its legs.
    MarkerFirst,
    /// What is published again is what changed since c, not since cold's watermark.
    SinceMarker,
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
struct Command {
    /// The balances it changes, as bits.
    touches: u8,
    /// Whether it sets their terms; what opens a balance does.
    configures: bool,
}

const fn moves(touches: u8) -> Command {
    Command {
        touches,
        configures: false,
    }
}

const fn configures(touches: u8) -> Command {
    Command {
        touches,
        configures: true,
    }
}

/// Both balances alone, then together.
const MIXED: &[Command] = &[moves(0b01), configures(0b01), moves(0b11)];
/// One is left alone while the other goes on.
const APART: &[Command] = &[moves(0b11), moves(0b10), moves(0b01)];

/// The balances, how many commands are in them, and where the last one's outcome is.
type Base = (Values, u8, u8);

fn sum(values: &Values) -> u8 {
    values.iter().map(|value| value.version).sum()
}

/// A record of `snapshots`. What a marker sums up to is the truth as of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Item {
    Balance { which: u8, value: Value },
    Marker { covers: u8, position: u8 },
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
    /// Has read `snapshots`: the newest marker, and the newest snapshots that count.
    Gathered {
        epoch: u8,
        marker: (u8, u8),
        snapshots: Values,
    },
    /// Has found no base.
    Waits,
    Running,
    /// Has nothing left to do.
    Gone,
}

/// Why a takeover starts from nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// A marker is newer than the claim: another one helps.
    TooNew,
    /// What is on the log does not tell.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    phase: Phase,
    /// Commands it has decided and appended, and the first of them not acknowledged.
    published: u8,
    unacked: u8,
    /// Commands whose legs it has appended, and the first of them not acknowledged.
    sent: u8,
    unsent: u8,
    /// The balances after the last acknowledged one, and where its outcome is.
    values: Values,
    position: u8,
    /// No later than cold's watermark, as far as it knows: what changed since then is kept.
    kept_since: u8,
    dirty: u8,
    marked: u8,
    again: u8,
    flush: Option<Flush>,
}

const ABSENT: Owner = Owner {
    phase: Phase::Absent,
    published: 0,
    unacked: NEVER,
    sent: 0,
    unsent: NEVER,
    values: UNTOUCHED,
    position: 0,
    kept_since: 0,
    dirty: 0,
    marked: 0,
    again: 0,
    flush: None,
};

impl Owner {
    fn acked(&self) -> u8 {
        self.published.min(self.unacked)
    }

    fn since(&self, covers: u8) -> u8 {
        changed_since(&self.values, covers)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Outcomes, each by its command, from the first that is not trimmed.
    log: [u8; LOG_MAX],
    length: u8,
    was_trimmed: bool,
    /// How many commands the chain of outcomes has decided.
    decided: u8,
    decided_at: u8,
    /// All of `snapshots` that compaction left; the sink starts again from `accepted_at`.
    topic: [Option<Item>; TOPIC_MAX],
    accepted_at: u8,
    unread_from: u8,
    gathered: Values,
    rows: Values,
    watermark: u8,
    /// Legs that the other partition has applied.
    received: u8,
    owners: [Owner; OWNERS_MAX],
    losses: u8,
    restarts: u8,
    /// Whether a takeover had to wait.
    waited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compaction {
    Anytime,
    AtOnce,
}

/// What is looked at beside owners, `snapshots` and outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// A leg for each command.
    Legs,
    /// A sink that lags.
    Sink,
}

#[derive(Clone, Copy, Debug)]
struct Alone {
    broken: Break,
    commands: &'static [Command],
    owners: usize,
    losses: u8,
    /// How often owners die and come back.
    restarts: u8,
    compaction: Compaction,
    /// Outcomes but the latest may be trimmed, whatever needs them.
    trims: bool,
    beside: Beside,
    /// Whether to look for a takeover that waits.
    waiting_is_wrong: bool,
}

impl Alone {
    fn breaking(broken: Break) -> Self {
        Self {
            broken,
            commands: APART,
            owners: 2,
            losses: 0,
            restarts: 1,
            compaction: Compaction::AtOnce,
            trims: true,
            beside: Beside::Nothing,
            waiting_is_wrong: false,
        }
    }

    /// The balances after `count` commands.
    fn truth(&self, count: u8) -> Values {
        let mut values = Values::default();
        (0..count).for_each(|command| self.change(&mut values, command));
        values
    }

    fn change(&self, values: &mut Values, command: u8) {
        let Command {
            touches,
            configures,
        } = self.commands[usize::from(command)];
        for (at, value) in values.iter_mut().enumerate() {
            if touches >> at & 1 == 1 {
                value.version += 1;
                value.changed = command + 1;
                if configures || value.version == 1 {
                    value.terms = command + 1;
                }
            }
        }
    }

    fn count(&self) -> u8 {
        u8::try_from(self.commands.len()).unwrap()
    }
}

impl State {
    fn append(&mut self, command: u8) {
        self.log[usize::from(self.length)] = command;
        self.length += 1;
        if place(last(self.decided), command.into(), last(command)) == Place::Next {
            self.decided = command + 1;
            self.decided_at = self.length - 1;
        }
    }

    fn compact(&mut self, at: usize) {
        self.topic[at..].rotate_left(1);
        self.topic[TOPIC_MAX - 1] = None;
        for place in [&mut self.accepted_at, &mut self.unread_from] {
            *place -= u8::from(at < usize::from(*place));
        }
    }

    fn unread(&self) -> Option<Item> {
        self.topic[usize::from(self.unread_from)]
    }

    /// The newest marker that is there, with its position.
    fn marker(&self) -> (u8, u8) {
        let markers = self.topic.iter().flatten().filter_map(|item| match *item {
            Item::Marker { covers, position } => Some((covers, position)),
            Item::Balance { .. } => None,
        });
        markers.max().unwrap_or_default()
    }

    /// Of each balance the newest snapshot that is there and not of after `covers`.
    fn newest(&self, covers: u8) -> Values {
        let mut newest = Values::default();
        for item in self.topic.iter().flatten() {
            if let Item::Balance { which, value } = item
                && value.changed <= covers
                && value.version > newest[usize::from(*which)].version
            {
                newest[usize::from(*which)] = *value;
            }
        }
        newest
    }

    /// The first outcome is gone: positions count from the next one.
    fn trimmed(&self) -> Self {
        let mut after = self.clone();
        after.log.rotate_left(1);
        after.log[LOG_MAX - 1] = 0;
        after.length -= 1;
        after.was_trimmed = true;
        let back = |position: &mut u8| *position = position.saturating_sub(1);
        back(&mut after.decided_at);
        for owner in &mut after.owners {
            back(&mut owner.position);
            match &mut owner.phase {
                Phase::Claimed { epoch } => back(epoch),
                Phase::Gathered { epoch, marker, .. } => {
                    back(epoch);
                    back(&mut marker.1);
                }
                Phase::Absent | Phase::Waits | Phase::Running | Phase::Gone => {}
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

fn with(state: &State, at: usize, owner: Owner) -> State {
    let mut after = state.clone();
    after.owners[at] = owner;
    after
}

impl Model for Alone {
    type State = State;

    fn initial(&self) -> State {
        State {
            log: [0; LOG_MAX],
            length: 0,
            was_trimmed: false,
            decided: 0,
            decided_at: 0,
            topic: [None; TOPIC_MAX],
            accepted_at: 0,
            unread_from: 0,
            gathered: Values::default(),
            rows: Values::default(),
            watermark: 0,
            received: 0,
            owners: [ABSENT; OWNERS_MAX],
            losses: self.losses,
            restarts: self.restarts,
            waited: false,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.owners {
            if state.owners[at].phase == Phase::Running {
                self.publishes(at, state, steps);
                self.sends(at, state, steps);
                self.flushes(at, state, steps);
            } else {
                self.takes_over(at, state, steps);
            }
        }
        if self.beside == Beside::Sink && state.unread().is_some() {
            self.sinks(state, steps);
        }
        self.faults(state, steps);
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let untrue = |owner: &Owner| {
            owner.phase == Phase::Running && owner.values != self.truth(owner.acked())
        };
        let rules = [
            (state.owners.iter().any(untrue), TRUE_OWNER),
            (state.received > state.decided, BACKED),
            (state.rows != self.truth(state.watermark), EXACT),
            (state.waited, NO_WAIT),
        ];
        let broken = rules.into_iter().find(|(broken, _)| *broken);
        broken.map(|(_, rule)| rule)
    }

    fn done(&self, state: &State) -> bool {
        let all = self.count();
        let booked = state.watermark == all || self.beside != Beside::Sink;
        let sent = state.received == all || self.beside != Beside::Legs;
        state.decided == all && booked && sent
    }

    /// An owner that has nothing left to do makes no difference, but for the last one, who
    /// publishes again.
    fn canonical(&self, mut state: State) -> State {
        for at in 0..self.owners.saturating_sub(1) {
            let owner = &state.owners[at];
            let all = self.count();
            let done = owner.published == all && (owner.sent == all || self.beside != Beside::Legs);
            let booked = owner.dirty == 0 && owner.flush.is_none();
            let on = owner.phase == Phase::Running;
            if on && done && booked && state.restarts == 0 {
                let phase = Phase::Gone;
                state.owners[at] = Owner { phase, ..ABSENT };
            }
        }
        state
    }
}

const SOUND: Alone = Alone {
    broken: Break::Nothing,
    commands: MIXED,
    owners: 2,
    losses: 0,
    restarts: 0,
    compaction: Compaction::Anytime,
    trims: true,
    beside: Beside::Nothing,
    waiting_is_wrong: false,
};
