//! What everybody may do next: owners decide, send and publish, a sink reads, and things go wrong.

use steelyard::ledger::walk::{Order, order};

use super::{ABSENT, Alone, Beside, Break, Compaction, Item, Owner, Phase, State, sum, with};
use crate::explore::Steps;
use crate::snapshots::{Flush, NEVER, Values, newest_of};

impl Alone {
    pub(super) fn publishes(&self, at: usize, state: &State, steps: &mut Steps<State>) {
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

    pub(super) fn sends(&self, at: usize, state: &State, steps: &mut Steps<State>) {
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

    pub(super) fn flushes(&self, at: usize, state: &State, steps: &mut Steps<State>) {
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

    pub(super) fn sinks(&self, state: &State, steps: &mut Steps<State>) {
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

    pub(super) fn faults(&self, state: &State, steps: &mut Steps<State>) {
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
