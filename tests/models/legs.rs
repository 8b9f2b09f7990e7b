//! Legs from one partition to another: its owners come and go, appends are lost, zombies go on.
//!
//! Partition `p` decides commands, each of which sends one leg to `q`. Owners of `p` append
//! outcomes and legs; each may be slow for as long as it likes, and each but the last may lose
//! appends or acknowledgements and die. `q` takes legs as they are appended. A reader of outcomes
//! folds what follows ([`place`]), a receiver takes the next number ([`order`]): these two
//! functions are the ones that partitions use.

use steelyard::ledger::chain::{Place, place};
use steelyard::ledger::walk::{Order, order};

use crate::explore::{Model, STUCK, Steps, breaks, sound};

const OWNERS_MAX: usize = 3;
const COMMANDS_MAX: usize = 3;
const LOG_MAX: usize = 16;

const ONCE: &str = "a leg is applied once";
const BACKED: &str = "no credit without its debit";
const SAME: &str = "what arrives is what was decided";

/// One rule switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Nothing,
    /// A leg goes out before its outcome is acknowledged.
    LegFirst,
    /// A takeover does not send legs again.
    NoResend,
    /// A takeover counts its legs from one again.
    SentForgotten,
    /// A takeover of the receiver forgets what it has received.
    ReceivedForgotten,
    /// The receiver takes any number above the highest.
    HighestSeen,
    /// A marker covers outcomes whose legs are not acknowledged.
    MarkerFirst,
    /// Decisions depend on who decides.
    Impure,
}

/// A record of `outcomes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Record {
    #[default]
    Claim,
    Outcome {
        command: u8,
        content: u8,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    #[default]
    Absent,
    /// Has appended a claim.
    Claimed {
        epoch: u8,
    },
    /// Has read cold.
    Based {
        epoch: u8,
        watermark: u8,
        position: u8,
    },
    Running,
    Dead,
}

/// No append has failed.
const NEVER: u8 = u8::MAX;

/// What an owner of `p` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    phase: Phase,
    /// Commands it has decided and appended, and the first of them not acknowledged.
    published: u8,
    unacked: u8,
    /// Commands whose legs it has appended, and the first of them not acknowledged.
    sent: u8,
    unsent: u8,
    /// What its leg numbers lack.
    forgotten: u8,
    /// Where its copy of each outcome is, and what it says.
    places: [u8; COMMANDS_MAX],
    contents: [u8; COMMANDS_MAX],
}

const ABSENT: Owner = Owner {
    phase: Phase::Absent,
    published: 0,
    unacked: NEVER,
    sent: 0,
    unsent: NEVER,
    forgotten: 0,
    places: [0; COMMANDS_MAX],
    contents: [0; COMMANDS_MAX],
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    log: [Record; LOG_MAX],
    length: u8,
    /// Records before this one are trimmed.
    low: u8,
    /// The commands that cold covers, and where the last one's outcome is.
    watermark: u8,
    position: u8,
    owners: [Owner; OWNERS_MAX],
    received: u8,
    /// By command, how often its leg was applied, and what it said.
    applied: [u8; COMMANDS_MAX],
    contents: [u8; COMMANDS_MAX],
    /// Appends and acknowledgements that may still be lost.
    losses: u8,
    /// Takeovers of the receiver.
    restarts: u8,
}

#[derive(Clone, Copy, Debug)]
struct Legs {
    broken: Break,
    commands: u8,
    owners: usize,
    losses: u8,
}

impl Legs {
    fn breaking(broken: Break) -> Self {
        Self {
            broken,
            commands: 2,
            owners: 2,
            losses: 1,
        }
    }

    fn takes_over(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        match owner.phase {
            Phase::Absent if at == 0 || state.owners[at - 1].phase != Phase::Absent => {
                let phase = Phase::Claimed {
                    epoch: state.length,
                };
                let mut after = with(state, at, Owner { phase, ..ABSENT });
                after.append(Record::Claim);
                steps.add(("owner", at), "claims", after);
            }
            Phase::Claimed { epoch } => {
                let (watermark, position) = (state.watermark, state.position);
                let phase = Phase::Based {
                    epoch,
                    watermark,
                    position,
                };
                steps.add(
                    ("owner", at),
                    "reads cold",
                    with(state, at, Owner { phase, ..owner }),
                );
            }
            Phase::Based {
                epoch,
                watermark,
                position,
            } => {
                // What the base stands on is not before the claim: read both again.
                if watermark > 0 && position >= epoch {
                    steps.add(
                        ("owner", at),
                        "finds the base too new",
                        with(state, at, ABSENT),
                    );
                    return;
                }
                let owner = self.fold(state, epoch, watermark, position);
                steps.add(("owner", at), "folds outcomes", with(state, at, owner));
            }
            Phase::Absent | Phase::Running | Phase::Dead => {}
        }
    }

    /// An owner that has folded outcomes from `position` up to its claim.
    fn fold(&self, state: &State, epoch: u8, watermark: u8, position: u8) -> Owner {
        let mut owner = Owner {
            phase: Phase::Running,
            published: watermark,
            ..ABSENT
        };
        for at in position.max(state.low)..epoch {
            let Record::Outcome { command, content } = state.log[usize::from(at)] else {
                continue;
            };
            match place(last(owner.published), command.into(), last(command)) {
                Place::Next => {
                    owner.places[usize::from(command)] = at;
                    owner.contents[usize::from(command)] = content;
                    owner.published = command + 1;
                }
                Place::Copy if command + 1 == owner.published => {
                    owner.places[usize::from(command)] = at;
                }
                Place::Copy => {}
                Place::Hole | Place::Fork => break,
            }
        }
        let again = self.broken != Break::NoResend;
        owner.sent = if again { watermark } else { owner.published };
        owner.forgotten = if self.broken == Break::SentForgotten {
            watermark
        } else {
            0
        };
        owner
    }

    fn publishes(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        let command = owner.published;
        if command == self.commands {
            return;
        }
        let content = if self.broken == Break::Impure { at } else { 0 };
        let content = u8::try_from(content).unwrap();
        let mut next = Owner {
            published: command + 1,
            ..owner
        };
        next.contents[usize::from(command)] = content;
        let mut lost = Owner {
            unacked: owner.unacked.min(command),
            ..next
        };
        if self.may_lose(at, state) {
            let mut after = with(state, at, lost);
            after.losses -= 1;
            steps.add(("owner", at), "appends an outcome, which is lost", after);
        }
        next.places[usize::from(command)] = state.length;
        lost.places = next.places;
        let mut after = with(state, at, next);
        after.append(Record::Outcome { command, content });
        steps.add(("owner", at), "appends an outcome", after.clone());
        if self.may_lose(at, state) {
            after.owners[at] = lost;
            after.losses -= 1;
            steps.add(("owner", at), "appends an outcome and is not told", after);
        }
    }

    fn sends(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        let command = owner.sent;
        let first = self.broken == Break::LegFirst;
        let acked = owner.published.min(owner.unacked);
        let ready = if first { owner.published } else { acked };
        if command >= ready {
            return;
        }
        let next = Owner {
            sent: command + 1,
            ..owner
        };
        let lost = Owner {
            unsent: owner.unsent.min(command),
            ..next
        };
        if self.may_lose(at, state) {
            let mut after = with(state, at, lost);
            after.losses -= 1;
            steps.add(("owner", at), "sends a leg, which is lost", after);
        }
        let content = owner.contents[usize::from(command)];
        let mut after = with(state, at, next);
        let number = command + 1 - owner.forgotten.min(command);
        self.receive(&mut after, command, number, content);
        steps.add(("owner", at), "sends a leg", after.clone());
        if self.may_lose(at, state) {
            after.owners[at] = lost;
            after.losses -= 1;
            steps.add(("owner", at), "sends a leg and is not told", after);
        }
    }

    fn receive(&self, state: &mut State, command: u8, number: u8, content: u8) {
        let next = order(state.received.into(), number.into()) == Order::Next;
        let higher = self.broken == Break::HighestSeen && number > state.received;
        if next || higher {
            state.received = number;
            state.applied[usize::from(command)] += 1;
            state.contents[usize::from(command)] = content;
        }
    }

    fn marks(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let owner = state.owners[at];
        let outcomes = owner.published.min(owner.unacked);
        let legs = outcomes.min(owner.sent).min(owner.unsent);
        let first = self.broken == Break::MarkerFirst;
        let covered = if first { outcomes } else { legs };
        if covered > state.watermark {
            let mut after = state.clone();
            after.watermark = covered;
            after.position = owner.places[usize::from(covered) - 1];
            steps.add(("owner", at), "writes a marker", after);
        }
    }

    fn may_lose(&self, at: usize, state: &State) -> bool {
        state.losses > 0 && at + 1 < self.owners
    }
}

impl State {
    fn append(&mut self, record: Record) {
        self.log[usize::from(self.length)] = record;
        self.length += 1;
    }

    /// By command, what the chain of outcomes says.
    fn chain(&self) -> ([u8; COMMANDS_MAX], u8) {
        let (mut contents, mut decided) = ([0; COMMANDS_MAX], 0);
        for record in &self.log[..usize::from(self.length)] {
            if let Record::Outcome { command, content } = *record
                && place(last(decided), command.into(), last(command)) == Place::Next
            {
                contents[usize::from(command)] = content;
                decided = command + 1;
            }
        }
        (contents, decided)
    }
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

impl Model for Legs {
    type State = State;

    fn initial(&self) -> State {
        State {
            log: Default::default(),
            length: 0,
            low: 0,
            watermark: 0,
            position: 0,
            owners: [ABSENT; OWNERS_MAX],
            received: 0,
            applied: [0; COMMANDS_MAX],
            contents: [0; COMMANDS_MAX],
            losses: self.losses,
            restarts: u8::from(self.broken == Break::ReceivedForgotten),
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.owners {
            let owner = state.owners[at];
            if owner.phase == Phase::Running {
                self.publishes(at, state, steps);
                self.sends(at, state, steps);
                self.marks(at, state, steps);
            } else {
                self.takes_over(at, state, steps);
            }
            let lives = !matches!(owner.phase, Phase::Absent | Phase::Dead);
            if lives && at + 1 < self.owners {
                let dead = Owner {
                    phase: Phase::Dead,
                    ..ABSENT
                };
                steps.add(("owner", at), "dies", with(state, at, dead));
            }
        }
        if state.low < state.position {
            let mut after = state.clone();
            after.low = state.position;
            steps.add(("outcomes", 0), "are trimmed to the watermark", after);
        }
        if state.restarts > 0 && state.received > 0 {
            let mut after = state.clone();
            (after.received, after.restarts) = (0, 0);
            steps.add(("receiver", 0), "is taken over without its counters", after);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let (contents, decided) = state.chain();
        let applied = |at: &usize| state.applied[*at] > 0;
        let mut commands = (0..usize::from(self.commands)).filter(applied);
        commands.find_map(|at| {
            let rules = [
                (state.applied[at] > 1, ONCE),
                (at >= usize::from(decided), BACKED),
                (state.contents[at] != contents[at], SAME),
            ];
            let broken = rules.into_iter().find(|(broken, _)| *broken);
            broken.map(|(_, rule)| rule)
        })
    }

    fn done(&self, state: &State) -> bool {
        let commands = usize::from(self.commands);
        state.applied[..commands]
            .iter()
            .all(|applied| *applied == 1)
            && state.chain().1 == self.commands
    }
}

#[test]
fn legs_arrive_once_and_in_order_with_two_zombies() {
    let three = Legs {
        owners: 3,
        ..Legs::breaking(Break::Nothing)
    };
    sound(
        "legs, 2 commands, 3 owners at once, 1 loss, trimming",
        &three,
    );
}

#[test]
fn legs_arrive_once_and_in_order_with_three_losses() {
    let long = Legs {
        commands: 3,
        losses: 3,
        ..Legs::breaking(Break::Nothing)
    };
    sound(
        "legs, 3 commands, 2 owners at once, 3 losses, trimming",
        &long,
    );
}

#[test]
fn a_leg_before_its_outcome_is_acknowledged_shows_a_credit_without_its_debit() {
    breaks("legs, sent first", BACKED, &Legs::breaking(Break::LegFirst));
}

#[test]
fn without_sending_again_a_leg_is_lost() {
    breaks(
        "legs, not sent again",
        STUCK,
        &Legs::breaking(Break::NoResend),
    );
}

#[test]
fn counters_that_are_not_restored_lose_a_leg_or_apply_it_twice() {
    breaks(
        "legs, numbered from one again",
        STUCK,
        &Legs::breaking(Break::SentForgotten),
    );
    let received = Legs::breaking(Break::ReceivedForgotten);
    breaks("legs, received count forgotten", ONCE, &received);
}

#[test]
fn any_number_above_the_highest_loses_a_leg_that_was_overtaken() {
    breaks(
        "legs, highest number seen",
        STUCK,
        &Legs::breaking(Break::HighestSeen),
    );
}

#[test]
fn a_marker_before_its_legs_are_acknowledged_loses_one() {
    breaks(
        "legs, marker first",
        STUCK,
        &Legs::breaking(Break::MarkerFirst),
    );
}

#[test]
fn decisions_that_depend_on_anything_but_the_log_differ() {
    breaks(
        "legs, impure decisions",
        SAME,
        &Legs::breaking(Break::Impure),
    );
}
