//! The chain of outcomes: which one comes next.
//!
//! Two owners may write at once, and a lost append leaves a hole that its successor fills. Every
//! reader of `outcomes` sees the same history, because it takes only what follows.

use std::collections::BTreeMap;

/// How an outcome stands to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It continues the chain.
    Next,
    /// Its command was decided before: a copy, by a second owner.
    Copy,
    /// It follows a later command: what is between was lost, or comes again behind it.
    Hole,
    /// It follows an earlier command, as if the last one had never been decided.
    Fork,
}

/// The place of the outcome of command `offset` in a chain that ends with command `last`; it names
/// `follows` as the command decided before it.
pub fn place(last: Option<u64>, offset: u64, follows: Option<u64>) -> Place {
    if last.is_some_and(|last| offset <= last) {
        Place::Copy
    } else if follows > last {
        Place::Hole
    } else if follows < last {
        Place::Fork
    } else {
        Place::Next
    }
}

/// Whether nothing is missing between a state of `version` and entries that begin with the one
/// that made version `first`.
pub fn joins(version: Option<u64>, first: u64) -> bool {
    version.unwrap_or_default() >= first.saturating_sub(1)
}

/// Which commands have been decided, as stretches without a gap: by the first command that could
/// be in it, the last one that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretches(BTreeMap<u64, u64>);

impl Stretches {
    /// Adds the decision on `offset`, which `follows` the one on another command; whether it was
    /// not there.
    pub fn add(&mut self, follows: Option<u64>, offset: u64) -> bool {
        let mut first = follows.map_or(0, |follows| follows.saturating_add(1));
        if let Some((start, last)) = self.0.range(..=offset).next_back() {
            if *last >= offset {
                return false;
            }
            if last.saturating_add(1) == first {
                first = *start;
            }
        }
        let after = self.0.remove(&offset.saturating_add(1));
        self.0.insert(first, after.unwrap_or(offset));
        true
    }

    /// The one stretch, if there are no more: its first command and its last.
    pub fn only(&self) -> Option<(u64, u64)> {
        match self.0.len() {
            1 => self
                .0
                .first_key_value()
                .map(|(first, last)| (*first, *last)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_grow_together_in_any_order() {
        let records = [(None, 0), (Some(0), 2), (Some(2), 3), (Some(3), 7)];
        for (order, at_once) in [
            ([0, 1, 2, 3], [true, true, true]),
            ([3, 1, 2, 0], [true, false, true]),
            ([2, 0, 3, 1], [true, false, false]),
            ([1, 2, 3, 0], [true, true, true]),
        ] {
            let mut decided = Stretches::default();
            for (count, at) in order.into_iter().enumerate() {
                let (follows, offset): (Option<u64>, u64) = records[at];
                assert!(decided.add(follows, offset), "{order:?}");
                assert!(!decided.add(follows, offset), "a copy, {order:?}");
                let one = at_once.get(count).is_none_or(|one| *one);
                assert_eq!(decided.only().is_some(), one, "{order:?}, {count}");
            }
            assert_eq!(decided.only(), Some((0, 7)));
        }
    }
}
