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

use steelyard::ledger::chain::{Place, joins, place};
use steelyard::ledger::walk::{Order, order};

use crate::explore::{Model, STUCK, Steps, breaks, long, sound};

const BALANCES: usize = 2;
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Value {
    version: u8,
    /// The command that changed it last, counted from one, and the one that set its terms.
    changed: u8,
    terms: u8,
}

type Values = [Value; BALANCES];

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

const NEVER: u8 = u8::MAX;
/// How often the last owner may publish again: more often than others can interfere.
const AGAIN: u8 = 3;

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

/// Snapshots on their way, and the marker behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flush {
    left: u8,
    values: Values,
    covers: u8,
    position: u8,
}

const ABSENT: Owner = Owner {
    phase: Phase::Absent,
    published: 0,
    unacked: NEVER,
    sent: 0,
    unsent: NEVER,
    values: [Value {
        version: 0,
        changed: 0,
        terms: 0,
    }; BALANCES],
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
        let values = self.values.iter().enumerate();
        let touched = values.filter(|(_, value)| value.changed > covers);
        touched.map(|(at, _)| 1 << at).sum()
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

    fn takes_over(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        match owner.phase {
            Phase::Absent if at == 0 || state.owners[at - 1].phase != Phase::Absent => {
                let epoch = state.length;
                let phase = Phase::Claimed { epoch };
                let after = with(state, at, Owner { phase, ..ABSENT });
                steps.add(("owner", at), "claims", after);
            }
            Phase::Claimed { epoch } => {
                let marker = state.marker();
                let any = matches!(self.broken, Break::Newer | Break::SnapshotWins);
                let most = if any { NEVER } else { marker.0 };
                let phase = Phase::Gathered {
                    epoch,
                    marker,
                    snapshots: state.newest(most),
                };
                let after = with(state, at, Owner { phase, ..ABSENT });
                steps.add(("owner", at), "reads snapshots", after);
            }
            Phase::Gathered {
                epoch,
                marker,
                snapshots,
            } => match self.base(state, epoch, marker, &snapshots) {
                Ok(base) => {
                    let owner = self.started(at, base, marker.0);
                    let after = with(state, at, owner);
                    steps.add(("owner", at), "folds outcomes on snapshots", after);
                }
                Err(Refused::TooNew) => {
                    let what = "finds the marker too new";
                    steps.add(("owner", at), what, with(state, at, ABSENT));
                }
                Err(Refused::Unknown) => {
                    let phase = Phase::Waits;
                    let mut after = with(state, at, Owner { phase, ..ABSENT });
                    after.waited = self.waiting_is_wrong;
                    steps.add(("owner", at), "finds no base", after);
                }
            },
            // Cold is back: after another claim it gives what `books.rs` says it does.
            Phase::Waits => {
                let (decided, position) = (state.decided, state.decided_at);
                let base = (self.truth(decided), decided, position);
                let owner = self.started(at, base, 0);
                let after = with(state, at, owner);
                steps.add(("owner", at), "takes its base from cold", after);
            }
            Phase::Absent | Phase::Running | Phase::Gone => {}
        }
    }

    fn started(&self, at: usize, base: Base, covers: u8) -> Owner {
        let (values, published, position) = base;
        let narrow = self.broken == Break::SinceMarker;
        let kept_since = if narrow { covers } else { 0 };
        let mut owner = Owner {
            phase: Phase::Running,
            values,
            published,
            position,
            sent: covers,
            kept_since,
            again: match self.beside == Beside::Sink && at + 1 == self.owners {
                true => AGAIN,
                false => 0,
            },
            ..ABSENT
        };
        if self.broken == Break::LegsSinceEnd {
            owner.sent = published;
        }
        owner.dirty = owner.since(kept_since);
        owner
    }

    /// The state at the end of the fold, if it can be known.
    fn base(
        &self,
        state: &State,
        epoch: u8,
        marker: (u8, u8),
        snapshots: &Values,
    ) -> Result<Base, Refused> {
        let (covers, mut position) = marker;
        let outcomes = &state.log[..usize::from(epoch)];
        if covers > 0 && position >= epoch {
            return Err(Refused::TooNew);
        }
        if outcomes.is_empty() && state.was_trimmed {
            return Err(Refused::Unknown);
        }
        let mut values = self.as_of(outcomes, covers, snapshots)?;
        let first = self.broken == Break::FromFirst;
        let from = if first { 0 } else { position };
        let mut count = covers;
        for (at, command) in (0..).zip(outcomes).skip(from.into()) {
            match place(last(count), (*command).into(), last(*command)) {
                Place::Next => {
                    self.change(&mut values, *command);
                    (count, position) = (command + 1, at);
                }
                Place::Copy => {}
                Place::Hole | Place::Fork => break,
            }
        }
        if self.broken == Break::SnapshotWins {
            values = newest_of(&values, snapshots);
        }
        Ok((values, count, position))
    }

    /// The state as of `covers`, if it can be known. In which order outcomes stand, and how often,
    /// makes no difference: each of them is true.
    fn as_of(&self, outcomes: &[u8], covers: u8, snapshots: &Values) -> Result<Values, Refused> {
        let there = |command: &u8| outcomes.contains(command);
        let from = (0..covers).rev().take_while(there).last().unwrap_or(covers);
        if (0..from).any(|command| there(&command)) && self.broken != Break::Gap {
            return Err(Refused::Unknown);
        }
        // The first version that an entry made, the state after the last one, and the terms set.
        let (mut first, mut told) = ([0; BALANCES], [None; BALANCES]);
        let mut values = *snapshots;
        for command in (0..covers).filter(there) {
            let entries = self.truth(command + 1).into_iter().enumerate();
            for (at, entry) in entries.filter(|(_, entry)| entry.changed == command + 1) {
                if first[at] == 0 {
                    first[at] = entry.version;
                }
                if entry.terms == entry.changed {
                    told[at] = Some(entry.terms);
                }
                (values[at].version, values[at].changed) = (entry.version, entry.changed);
            }
        }
        for at in 0..BALANCES {
            let joined = joins(Some(snapshots[at].version.into()), first[at].into());
            if let Some(terms) = told[at] {
                values[at].terms = terms;
            } else if first[at] > 0 && !joined && self.broken != Break::StaleTerms {
                return Err(Refused::Unknown);
            }
        }
        match sum(&values) == sum(&self.truth(covers)) || self.broken == Break::NoSum {
            true => Ok(values),
            false => Err(Refused::Unknown),
        }
    }

    fn publishes(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        let command = owner.published;
        if command == self.count() {
            return;
        }
        let mut next = Owner {
            published: command + 1,
            ..owner
        };
        let lost = Owner {
            unacked: owner.unacked.min(command),
            ..next
        };
        if self.may_lose(at, state) {
            let mut after = with(state, at, lost);
            after.losses -= 1;
            steps.add(("owner", at), "appends an outcome, which is lost", after);
        }
        if owner.unacked == NEVER {
            self.change(&mut next.values, command);
            next.position = state.length;
            next.dirty |= self.commands[usize::from(command)].touches;
        }
        let mut after = with(state, at, next);
        after.append(command);
        if self.may_lose(at, state) {
            let mut after = after.clone();
            after.owners[at] = lost;
            after.losses -= 1;
            steps.add(("owner", at), "appends an outcome and is not told", after);
        }
        steps.add(("owner", at), "appends an outcome", after);
    }

    fn sends(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        if self.beside != Beside::Legs || owner.sent >= owner.acked() {
            return;
        }
        let next = Owner {
            sent: owner.sent + 1,
            ..owner
        };
        if self.may_lose(at, state) {
            let lost = Owner {
                unsent: owner.unsent.min(owner.sent),
                ..next
            };
            let mut after = with(state, at, lost);
            after.losses -= 1;
            steps.add(("owner", at), "sends a leg, which is lost", after);
        }
        let mut after = with(state, at, next);
        if order(state.received.into(), next.sent.into()) == Order::Next {
            after.received = next.sent;
        }
        steps.add(("owner", at), "sends a leg", after);
    }

    fn may_lose(&self, at: usize, state: &State) -> bool {
        state.losses > 0 && at + 1 < self.owners
    }

    /// What a marker may cover: what is acknowledged, with its legs.
    fn covered(&self, owner: &Owner) -> u8 {
        match self.beside != Beside::Legs || self.broken == Break::MarkerFirst {
            true => owner.acked(),
            false => owner.acked().min(owner.sent).min(owner.unsent),
        }
    }

    fn flushes(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let mut owner = state.owners[at];
        if let Some(flush) = owner.flush {
            self.flush(at, state, owner, flush, steps);
            return;
        }
        let covers = owner.acked();
        if owner.dirty != 0 && covers > 0 && self.covered(&owner) == covers {
            let flush = Flush {
                left: owner.dirty,
                values: owner.values,
                covers,
                position: owner.position,
            };
            owner.dirty = 0;
            self.flush(at, state, owner, flush, steps);
        } else if owner.marked > state.watermark && owner.again > 0 && state.unread().is_none() {
            owner.dirty = owner.since(owner.kept_since.max(state.watermark));
            owner.again -= 1;
            let after = with(state, at, owner);
            steps.add(("owner", at), "finds its marker passed over", after);
        }
    }

    /// Publishes what comes next of a flush: a snapshot, or the marker behind all of them.
    fn flush(
        &self,
        at: usize,
        state: &State,
        mut owner: Owner,
        mut flush: Flush,
        steps: &mut Steps<State>,
    ) {
        let mut after = state.clone();
        let (item, what) = match flush.left {
            0 => {
                let (covers, position) = (flush.covers, flush.position);
                (owner.marked, owner.flush) = (covers, None);
                (Item::Marker { covers, position }, "publishes a marker")
            }
            left => {
                let which = u8::try_from(left.trailing_zeros()).unwrap();
                flush.left &= !(1 << which);
                owner.flush = Some(flush);
                let value = flush.values[usize::from(which)];
                (Item::Balance { which, value }, "publishes a snapshot")
            }
        };
        if self.compaction == Compaction::AtOnce {
            let same = |old: &Option<Item>| old.is_some_and(|old| old.key() == item.key());
            while let Some(old) = after.topic.iter().position(same) {
                after.compact(old);
            }
        }
        let free = after.topic.iter_mut().find(|slot| slot.is_none());
        *free.unwrap() = Some(item);
        after.owners[at] = owner;
        steps.add(("owner", at), what, after);
    }

    fn sinks(&self, state: &State, steps: &mut Steps<State>) {
        let (mut after, mut what) = (state.clone(), "gathers snapshots");
        while let Some(item) = after.unread() {
            after.unread_from += 1;
            let covers = match item {
                Item::Balance { which, value } => {
                    let newest = &mut after.gathered[usize::from(which)];
                    if value.version >= newest.version {
                        *newest = value;
                    }
                    continue;
                }
                Item::Marker { covers, .. } => covers,
            };
            let rows = newest_of(&after.rows, &after.gathered);
            let highest = |values: &Values| values.iter().map(|value| value.changed).max();
            let truth = self.truth(covers);
            let same = sum(&rows) == sum(&truth) && highest(&rows) == highest(&truth);
            what = match covers >= state.watermark && same {
                true => {
                    (after.rows, after.gathered) = (rows, Values::default());
                    (after.watermark, after.accepted_at) = (covers, after.unread_from);
                    "accepts a marker"
                }
                false => "passes a marker over",
            };
            break;
        }
        steps.add(("sink", 0), what, after);
    }

    fn faults(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.owners {
            if state.restarts > 0 && state.owners[at].phase == Phase::Running {
                let mut after = with(state, at, ABSENT);
                let phase = Phase::Claimed {
                    epoch: state.length,
                };
                after.owners[at].phase = phase;
                after.restarts -= 1;
                steps.add(("owner", at), "dies, comes back and claims", after);
            }
        }
        if self.trims && state.length > 1 {
            steps.add(("outcomes", 0), "are trimmed by one", state.trimmed());
        }
        if self.compaction != Compaction::Anytime {
            return;
        }
        for (at, item) in state.topic.iter().flatten().enumerate() {
            let mut later = state.topic[at + 1..].iter().flatten();
            if later.any(|later| later.key() == item.key()) {
                let mut after = state.clone();
                after.compact(at);
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

fn newest_of(rows: &Values, gathered: &Values) -> Values {
    let mut newest = *rows;
    for (row, gathered) in newest.iter_mut().zip(gathered) {
        if gathered.version > row.version {
            *row = *gathered;
        }
    }
    newest
}

/// The last of `count` commands.
fn last(count: u8) -> Option<u64> {
    count.checked_sub(1).map(u64::from)
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

#[test]
fn it_is_true_with_legs_losses_and_restarts() {
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        beside: Beside::Legs,
        ..SOUND
    };
    let faults = "1 loss, compaction, trimming";
    sound(
        &format!("alone, 2 commands with legs, 2 owners at once, {faults}"),
        &model,
    );
    let model = Alone {
        restarts: 1,
        compaction: Compaction::AtOnce,
        ..model
    };
    let faults = "1 loss, 1 restart, compaction, trimming";
    sound(
        &format!("alone, 2 commands with legs, 2 owners at once, {faults}"),
        &model,
    );
}

/// Compaction of any record that has a successor, at any time.
#[test]
fn it_is_true_with_all_of_that() {
    if !long() {
        return;
    }
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        restarts: 1,
        beside: Beside::Legs,
        ..SOUND
    };
    sound("alone, all of that, compaction at any time", &model);
}

#[test]
fn it_is_true_after_many_commands() {
    for (name, commands) in [("mixed", MIXED), ("apart", APART)] {
        let model = Alone {
            commands,
            compaction: Compaction::AtOnce,
            ..SOUND
        };
        sound(
            &format!("alone, 3 commands ({name}), 2 owners at once, compaction, trimming"),
            &model,
        );
    }
}

#[test]
fn it_is_true_with_two_zombies() {
    let model = Alone {
        commands: &MIXED[..2],
        owners: 3,
        compaction: Compaction::AtOnce,
        ..SOUND
    };
    sound(
        "alone, 2 commands, 3 owners at once, compaction, trimming",
        &model,
    );
}

#[test]
fn a_sink_that_lags_misses_nothing() {
    let model = Alone {
        commands: &MIXED[..2],
        restarts: 1,
        beside: Beside::Sink,
        compaction: Compaction::AtOnce,
        ..SOUND
    };
    sound(
        "alone, 2 commands, 2 owners at once, 1 restart, a sink, compaction, trimming",
        &model,
    );
}

/// Without trimming outcomes tell everything, whatever became of snapshots.
#[test]
fn no_takeover_waits_while_outcomes_are_whole() {
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        trims: false,
        waiting_is_wrong: true,
        ..SOUND
    };
    sound(
        "alone, outcomes whole, 2 commands, 2 owners at once, 1 loss, compaction",
        &model,
    );
}

/// What was changed before all outcomes that are left must be in a snapshot.
#[test]
fn a_takeover_waits_where_the_log_does_not_tell() {
    let model = Alone {
        waiting_is_wrong: true,
        ..Alone::breaking(Break::Nothing)
    };
    breaks("alone, trimmed", NO_WAIT, &model);
}

#[test]
fn without_the_sum_an_old_snapshot_counts() {
    breaks("alone, no sum", TRUE_OWNER, &Alone::breaking(Break::NoSum));
}

#[test]
fn snapshots_of_after_the_marker_hide_old_ones() {
    breaks(
        "alone, newer snapshots",
        TRUE_OWNER,
        &Alone::breaking(Break::Newer),
    );
}

#[test]
fn a_snapshot_in_the_place_of_what_was_folded_is_counted_twice() {
    let model = Alone::breaking(Break::SnapshotWins);
    breaks("alone, snapshots win", TRUE_OWNER, &model);
}

#[test]
fn an_old_snapshot_tells_old_terms() {
    let model = Alone {
        commands: MIXED,
        ..Alone::breaking(Break::StaleTerms)
    };
    breaks("alone, old terms", TRUE_OWNER, &model);
}

#[test]
fn outcomes_with_a_gap_between_them_tell_old_terms() {
    let model = Alone {
        commands: MIXED,
        ..Alone::breaking(Break::Gap)
    };
    breaks("alone, a gap", TRUE_OWNER, &model);
}

/// After a lost append the log has what follows nothing, and both come again behind it.
#[test]
fn a_fold_begins_where_the_marker_says() {
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        trims: false,
        beside: Beside::Legs,
        ..Alone::breaking(Break::FromFirst)
    };
    breaks("alone, from the first outcome", BACKED, &model);
}

#[test]
fn legs_count_since_the_marker_and_it_waits_for_them() {
    for broken in [Break::LegsSinceEnd, Break::MarkerFirst] {
        let model = Alone {
            commands: &MIXED[..2],
            trims: false,
            beside: Beside::Legs,
            ..Alone::breaking(broken)
        };
        breaks(&format!("alone, {broken:?}"), STUCK, &model);
    }
}

#[test]
fn what_is_published_again_counts_since_the_watermark_of_cold() {
    let model = Alone {
        commands: &MIXED[..2],
        beside: Beside::Sink,
        ..Alone::breaking(Break::SinceMarker)
    };
    breaks("alone, published since the marker", STUCK, &model);
}
