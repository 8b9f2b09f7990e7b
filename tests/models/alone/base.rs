//! Takeovers: what a new owner makes of the log, and what it starts with.

use steelyard::ledger::chain::{Place, joins, place};

use super::{ABSENT, Alone, Base, Beside, Break, Owner, Phase, Refused, State, sum, with};
use crate::explore::Steps;
use crate::snapshots::{AGAIN, BALANCES, NEVER, Values, last, newest_of};

impl Alone {
    pub(super) fn takes_over(&self, at: usize, state: &State, steps: &mut Steps<State>) {
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
}
