//! Hot: claimed, installed, written by compare-and-set; emptied and rolled back at any time.
//!
//! One partition of two balances. What `books.rs` shows is taken for granted here: an owner knows
//! the true state of what it has decided, and rows are the truth as of the watermark. The question
//! is what readers see: hot where it is installed, and rows for balances that hot does not have.

use crate::explore::{Model, Steps, breaks, long, sound};

const BALANCES: usize = 2;
const OWNERS_MAX: usize = 3;

const BACKED: &str = "nothing is shown before its outcome";
const WHOLE: &str = "what is shown is not older than its position";
const FORWARD: &str = "a reader never sees an older version";

/// Which balances each command changes, as bits.
const TOUCHES: [u8; 4] = [0b01, 0b10, 0b01, 0b11];

/// One rule switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Nothing,
    /// Hot is written before the outcome is acknowledged.
    HotFirst,
    /// Hot is written without looking what stands there.
    NoCompare,
    /// A hot that is not ours is written from memory, without a claim and a look at outcomes.
    FromMemory,
    /// An installation waits for nothing.
    NoWait,
    /// An installation waits until it is as far as hot stood, and an empty hot tells nothing.
    AsHotStood,
    /// A hot that was rolled back beyond cold keeps its other balances.
    NoWipe,
    /// An installation compares the epoch, and not where hot stood.
    EpochOnly,
    /// Balances may leave hot before cold has them.
    EarlyExpiry,
}

/// By balance, the version.
type Versions = [u8; 2];

/// The versions after `count` commands.
fn truth(count: u8) -> Versions {
    let touches = TOUCHES[..usize::from(count)].iter();
    touches.fold([0; 2], |[one, two], touched| {
        [one + (touched & 1), two + (touched >> 1)]
    })
}

/// The balances changed by commands from `from` up to `to`, as bits.
fn touched(from: u8, to: u8) -> u8 {
    let touches = TOUCHES.iter().take(to.into()).skip(from.into());
    touches.fold(0, |all, touched| all | touched)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hot {
    epoch: u8,
    /// Commands that hot covers, if anybody has installed it.
    offset: Option<u8>,
    installed: bool,
    /// The watermark, as the sink left it here.
    accepted: u8,
    /// Zero where there is none.
    values: Versions,
}

/// What an owner knows of hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Link {
    Lost,
    /// Has claimed again on the log.
    Again,
    /// Has claimed hot, which stood there, and waits until it has decided so many.
    Claimed {
        stood: Option<u8>,
        need: u8,
    },
    At {
        wrote: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Absent,
    /// Has claimed on the log, where this many were decided.
    Claimed {
        decided: u8,
    },
    Running,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    phase: Phase,
    epoch: u8,
    link: Link,
    /// Commands it has decided, and that are acknowledged.
    decided: u8,
    accepted: u8,
    /// Balances to be written, as bits.
    pending: u8,
}

const ABSENT: Owner = Owner {
    phase: Phase::Absent,
    epoch: 0,
    link: Link::Lost,
    decided: 0,
    accepted: 0,
    pending: 0,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Commands decided in outcomes, and claims made there.
    decided: u8,
    claims: u8,
    watermark: u8,
    hot: Option<Hot>,
    copy: Option<Option<Hot>>,
    owners: [Owner; OWNERS_MAX],
    /// The highest version that a reader may have seen.
    seen: Versions,
    empties: u8,
    rollbacks: u8,
}

#[derive(Clone, Copy, Debug)]
struct Store {
    broken: Break,
    commands: u8,
    owners: usize,
    empties: u8,
    rollbacks: u8,
    /// Whether what a reader found in cold counts as seen.
    rows_count: bool,
}

impl Store {
    fn breaking(broken: Break) -> Self {
        let (commands, owners, empties, rollbacks, rows_count) = (3, 2, 1, 0, false);
        Self {
            broken,
            commands,
            owners,
            empties,
            rollbacks,
            rows_count,
        }
    }

    fn takes_over(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        match owner.phase {
            Phase::Absent if at == 0 || state.owners[at - 1].phase != Phase::Absent => {
                let mut after = state.clone();
                after.claims += 1;
                let phase = Phase::Claimed {
                    decided: state.decided,
                };
                after.owners[at] = Owner {
                    phase,
                    epoch: after.claims,
                    ..ABSENT
                };
                steps.add(("owner", at), "claims", after);
            }
            Phase::Claimed { .. } if owner.link == Link::Lost => {
                self.claims_hot(at, state, owner, steps);
            }
            Phase::Claimed { decided } if state.watermark > decided => {
                let after = with(state, at, ABSENT);
                steps.add(("owner", at), "finds the base too new", after);
            }
            Phase::Claimed { decided } => {
                let (accepted, phase) = (state.watermark, Phase::Running);
                let pending = touched(accepted, decided);
                let next = Owner {
                    phase,
                    decided,
                    accepted,
                    pending,
                    ..owner
                };
                let after = self.emptied_if_older(at, with(state, at, next));
                steps.add(("owner", at), "folds outcomes", after);
            }
            Phase::Absent | Phase::Running | Phase::Dead => {}
        }
    }

    /// The script that claims: a later owner ends this one. The last owner then starts anew.
    fn claims_hot(&self, at: usize, state: &State, mut owner: Owner, steps: &mut Steps<State>) {
        let newer = |hot: &Hot| hot.epoch > owner.epoch;
        if state.hot.as_ref().is_some_and(newer) {
            steps.add(("owner", at), "finds a later owner", self.ended(at, state));
            return;
        }
        let mut after = state.clone();
        let stood = state.hot.and_then(|hot| hot.offset);
        let need = match self.broken {
            Break::NoWait => 0,
            Break::AsHotStood => stood.unwrap_or(0),
            Break::Nothing
            | Break::HotFirst
            | Break::NoCompare
            | Break::FromMemory
            | Break::NoWipe
            | Break::EpochOnly
            | Break::EarlyExpiry => state.decided,
        };
        owner.link = Link::Claimed { stood, need };
        let empty = Hot {
            epoch: 0,
            offset: None,
            installed: false,
            accepted: 0,
            values: [0; BALANCES],
        };
        let hot = after.hot.get_or_insert(empty);
        (hot.epoch, hot.installed) = (owner.epoch, false);
        if owner.phase == Phase::Running {
            owner.accepted = owner.accepted.max(hot.accepted);
            owner.pending |= touched(owner.accepted, owner.decided);
        }
        after.owners[at] = owner;
        if owner.phase == Phase::Running {
            after = self.emptied_if_older(at, after);
        }
        steps.add(("owner", at), "claims hot", after);
    }

    /// A hot that stood before the watermark is emptied, as long as it is still ours; its position
    /// then tells so.
    fn emptied_if_older(&self, at: usize, mut state: State) -> State {
        let owner = state.owners[at];
        let older = match owner.link {
            Link::Claimed {
                stood: Some(stood), ..
            } => stood < owner.accepted,
            Link::Claimed { stood: None, .. } | Link::Lost | Link::Again | Link::At { .. } => false,
        };
        if !older || self.broken == Break::NoWipe {
            return state;
        }
        let link = &mut state.owners[at].link;
        match (
            state.hot.as_mut().filter(|hot| hot.epoch == owner.epoch),
            &mut *link,
        ) {
            (Some(hot), Link::Claimed { stood, .. }) => {
                (hot.values, hot.offset) = ([0; BALANCES], Some(owner.accepted));
                *stood = hot.offset;
            }
            _ => *link = Link::Lost,
        }
        state
    }

    fn ended(&self, at: usize, state: &State) -> State {
        let dead = Owner {
            phase: Phase::Dead,
            ..ABSENT
        };
        let last = at + 1 == self.owners;
        with(state, at, if last { ABSENT } else { dead })
    }

    fn decides(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let mut owner = state.owners[at];
        if owner.decided == self.commands {
            return;
        }
        owner.pending |= TOUCHES[usize::from(owner.decided)];
        owner.decided += 1;
        let mut after = with(state, at, owner);
        if self.broken == Break::HotFirst {
            steps.add(("owner", at), "decides", after.clone());
        }
        after.decided = after.decided.max(owner.decided);
        steps.add(("owner", at), "has an outcome acknowledged", after);
    }

    fn visits(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        match owner.link {
            Link::Lost => {
                let mut after = state.clone();
                after.claims += 1;
                let (link, epoch) = (Link::Again, after.claims);
                after.owners[at] = Owner {
                    link,
                    epoch,
                    ..owner
                };
                steps.add(("owner", at), "claims again", after);
            }
            Link::Again => self.claims_hot(at, state, owner, steps),
            Link::Claimed { need, .. } if need > owner.decided => {}
            Link::Claimed { stood, .. } => {
                let whatever = self.broken == Break::EpochOnly;
                self.writes(at, state, (!whatever).then_some(stood), steps);
            }
            Link::At { wrote } => self.writes(at, state, Some(Some(wrote)), steps),
        }
    }

    /// The script that writes what is pending, if hot is still what this owner left.
    fn writes(&self, at: usize, state: &State, left: Option<Option<u8>>, steps: &mut Steps<State>) {
        let mut owner = state.owners[at];
        let ours =
            |hot: &Hot| hot.epoch == owner.epoch && left.is_none_or(|left| hot.offset == left);
        let blind = self.broken == Break::NoCompare && state.hot.is_some();
        let from_memory = self.broken == Break::FromMemory
            && state.hot.is_none_or(|hot| hot.epoch <= owner.epoch);
        if !state.hot.as_ref().is_some_and(ours) && !blind && !from_memory {
            if state.hot.is_some_and(|hot| hot.epoch > owner.epoch) {
                steps.add(("owner", at), "finds a later owner", self.ended(at, state));
            } else {
                let after = with(
                    state,
                    at,
                    Owner {
                        link: Link::Lost,
                        ..owner
                    },
                );
                steps.add(("owner", at), "finds hot is not its own", after);
            }
            return;
        }
        let mut hot = state.hot.unwrap_or(Hot {
            epoch: owner.epoch,
            offset: None,
            installed: false,
            accepted: 0,
            values: [0; BALANCES],
        });
        let foreign = !state.hot.as_ref().is_some_and(ours);
        let written = match foreign && from_memory {
            true => touched(owner.accepted, owner.decided),
            false => owner.pending,
        };
        let values = hot.values.iter_mut().zip(truth(owner.decided)).enumerate();
        for (balance, (value, now)) in values {
            if written >> balance & 1 == 1 {
                *value = now;
            }
        }
        (hot.epoch, hot.offset, hot.installed) = (owner.epoch, Some(owner.decided), true);
        owner.link = Link::At {
            wrote: owner.decided,
        };
        owner.pending = 0;
        owner.accepted = owner.accepted.max(hot.accepted);
        let mut after = with(state, at, owner);
        after.hot = Some(hot);
        steps.add(("owner", at), "writes hot", after);
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
        if state.empties > 0 && state.hot.is_some() {
            let mut after = state.clone();
            (after.hot, after.empties) = (None, state.empties - 1);
            steps.add(("hot", 0), "is emptied", after);
        }
        if state.rollbacks > 0 {
            let mut after = state.clone();
            match state.copy {
                None => after.copy = Some(state.hot),
                Some(copy) => {
                    (after.hot, after.copy) = (copy, None);
                    (after.rollbacks, after.seen) = (0, [0; BALANCES]);
                }
            }
            let what = state.copy.map_or("is copied", |_| "goes back to the copy");
            steps.add(("hot", 0), what, after);
        }
    }

    fn sinks(&self, state: &State, steps: &mut Steps<State>) {
        if state.watermark < state.decided {
            let mut after = state.clone();
            after.watermark += 1;
            steps.add(("sink", 0), "accepts a marker", after);
        }
        let Some(hot) = state.hot else {
            return;
        };
        if hot.accepted < state.watermark {
            let mut after = state.clone();
            after.hot = Some(Hot {
                accepted: state.watermark,
                ..hot
            });
            steps.add(("sink", 0), "leaves its watermark in hot", after);
        }
        for balance in 0..BALANCES {
            let cold = truth(state.watermark)[balance];
            let synced = hot.values[balance] <= cold || self.broken == Break::EarlyExpiry;
            if hot.values[balance] > 0 && synced {
                let mut after = state.clone();
                let mut hot = hot;
                hot.values[balance] = 0;
                after.hot = Some(hot);
                steps.add(("balance", balance), "expires", after);
            }
        }
    }
}

impl State {
    /// What readers see, if hot is installed, and the commands it is as of.
    fn shown(&self) -> Option<(Versions, u8)> {
        let hot = self.hot.filter(|hot| hot.installed)?;
        let mut shown = truth(self.watermark);
        for (shown, value) in shown.iter_mut().zip(hot.values) {
            if value > 0 {
                *shown = value;
            }
        }
        Some((shown, hot.offset.unwrap_or_default()))
    }

    /// What hot has shown stays seen; or, if `rows` count too, what readers found in cold.
    fn remember(&mut self, rows: bool) {
        let values = self.hot.filter(|hot| hot.installed).map(|hot| hot.values);
        let shown = if rows {
            self.shown().map(|(shown, _)| shown)
        } else {
            values
        };
        for (seen, shown) in self.seen.iter_mut().zip(shown.unwrap_or_default()) {
            *seen = shown.max(*seen);
        }
    }
}

fn older(one: &Versions, other: &Versions) -> bool {
    one.iter().zip(other).any(|(one, other)| one < other)
}

fn with(state: &State, at: usize, owner: Owner) -> State {
    let mut after = state.clone();
    after.owners[at] = owner;
    after
}

impl Model for Store {
    type State = State;

    fn initial(&self) -> State {
        State {
            decided: 0,
            claims: 0,
            watermark: 0,
            hot: None,
            copy: None,
            owners: [ABSENT; OWNERS_MAX],
            seen: [0; BALANCES],
            empties: self.empties,
            rollbacks: self.rollbacks,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.owners {
            if state.owners[at].phase == Phase::Running {
                self.decides(at, state, steps);
                self.visits(at, state, steps);
            } else {
                self.takes_over(at, state, steps);
            }
        }
        self.sinks(state, steps);
        self.faults(state, steps);
        steps.update(|after| after.remember(self.rows_count));
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let (shown, offset) = state.shown()?;
        let rules = [
            (older(&truth(state.decided), &shown), BACKED),
            (older(&shown, &truth(offset)), WHOLE),
            (older(&shown, &state.seen), FORWARD),
        ];
        let broken = rules.into_iter().find(|(broken, _)| *broken);
        broken.map(|(_, rule)| rule)
    }

    fn done(&self, state: &State) -> bool {
        state.shown() == Some((truth(self.commands), self.commands))
    }
}

#[test]
fn readers_see_the_truth_whatever_is_emptied() {
    let once = Store::breaking(Break::Nothing);
    let twice = Store {
        commands: 2,
        empties: 2,
        ..once
    };
    sound("hot, 2 commands, 2 owners at once, emptied twice", &twice);
    if long() {
        sound("hot, 3 commands, 2 owners at once, emptied once", &once);
    }
}

#[test]
fn readers_see_the_truth_with_two_zombies() {
    let model = Store {
        owners: 3,
        commands: 1,
        ..Store::breaking(Break::Nothing)
    };
    sound("hot, 1 command, 3 owners at once, emptied once", &model);
}

#[test]
fn a_hot_that_is_rolled_back_is_never_mixed_with_the_present() {
    let sound_store = Store::breaking(Break::Nothing);
    let short = Store {
        commands: 2,
        empties: 0,
        rollbacks: 1,
        ..sound_store
    };
    sound(
        "hot, 2 commands, 2 owners at once, rolled back once",
        &short,
    );
    if long() {
        let both = Store {
            empties: 1,
            ..short
        };
        let scope = "rolled back once, emptied once";
        sound(
            &format!("hot, 2 commands, 2 owners at once, {scope}"),
            &both,
        );
        let more = Store {
            commands: 3,
            ..short
        };
        sound("hot, 3 commands, 2 owners at once, rolled back once", &more);
    }
}

/// A limit, not a promise: cold may be ahead of hot, where it has taken a marker of a zombie that
/// decides faster than its successor, and a balance that hot lacks is read from cold.
#[test]
fn a_balance_found_in_cold_may_be_newer_than_hot_for_a_while() {
    let model = Store {
        rows_count: true,
        empties: 0,
        ..Store::breaking(Break::Nothing)
    };
    breaks("hot, behind cold", FORWARD, &model);
}

#[test]
fn hot_before_the_outcome_shows_what_was_never_decided() {
    breaks(
        "hot, written first",
        BACKED,
        &Store::breaking(Break::HotFirst),
    );
}

#[test]
fn hot_written_without_a_look_goes_backwards() {
    breaks(
        "hot, no compare",
        FORWARD,
        &Store::breaking(Break::NoCompare),
    );
}

#[test]
fn a_rewrite_from_memory_goes_backwards() {
    breaks(
        "hot, from memory",
        FORWARD,
        &Store::breaking(Break::FromMemory),
    );
}

#[test]
fn an_installation_that_does_not_wait_goes_backwards() {
    let model = Store {
        empties: 0,
        ..Store::breaking(Break::NoWait)
    };
    breaks("hot, no wait", FORWARD, &model);
}

#[test]
fn an_empty_hot_does_not_tell_what_readers_have_seen() {
    breaks(
        "hot, as it stood",
        FORWARD,
        &Store::breaking(Break::AsHotStood),
    );
}

#[test]
fn a_rolled_back_hot_that_is_not_emptied_mixes_old_with_new() {
    let model = Store {
        rollbacks: 1,
        ..Store::breaking(Break::NoWipe)
    };
    breaks("hot, not emptied", WHOLE, &model);
}

#[test]
fn an_installation_that_compares_the_epoch_only_overlooks_a_rollback() {
    let model = Store {
        rollbacks: 1,
        ..Store::breaking(Break::EpochOnly)
    };
    breaks("hot, epoch only", WHOLE, &model);
}

#[test]
fn a_balance_that_expires_before_cold_has_it_is_shown_as_it_was() {
    breaks(
        "hot, early expiry",
        WHOLE,
        &Store::breaking(Break::EarlyExpiry),
    );
}
