//! The chain of outcomes: which record of `outcomes` comes next (P4).
//!
//! | the record's command is | it follows | its `prev` | it is |
//! |---|---|---|---|
//! | at or before the last | anything | anything | a copy, by a second owner |
//! | after the last | the last | the last hash | next |
//! | after the last | the last | another hash | diverged |
//! | after the last | a later command | anything | a hole before it: the right owner writes it again |
//! | after the last | an earlier command | anything | diverged |

use crate::ledger::chain;
use crate::wire::{Hex, OutcomeBody, outcome};

/// The end of a partition's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    last: Option<u64>,
    hash: Hex<32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Next,
    Copy,
    Hole,
    /// Two owners decided differently: a broken invariant.
    Diverged,
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Copy => "copy",
            Self::Hole => "hole",
            Self::Diverged => "diverged",
        }
    }
}

impl Chain {
    /// A chain that ends with the command `last`, whose outcome has this hash.
    pub(super) fn new(last: Option<u64>, hash: Option<[u8; 32]>) -> Self {
        Self {
            last,
            hash: hash.map_or(outcome::NO_HASH, Hex),
        }
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        self.hash.0
    }

    pub(super) fn place(&self, outcome: &OutcomeBody<'_>) -> Place {
        self.judge(outcome.offset, outcome.follows, outcome.prev)
    }

    fn judge(&self, offset: u64, follows: Option<u64>, prev: Hex<32>) -> Place {
        match chain::place(self.last, offset, follows) {
            chain::Place::Copy => Place::Copy,
            chain::Place::Hole => Place::Hole,
            chain::Place::Next if prev == self.hash => Place::Next,
            chain::Place::Next | chain::Place::Fork => Place::Diverged,
        }
    }

    /// Takes the next outcome in: its command, and its bytes.
    pub(super) fn extend(&mut self, offset: u64, value: &[u8]) {
        assert!(
            self.last < Some(offset),
            "P1: command {offset} comes after {:?}",
            self.last
        );
        self.last = Some(offset);
        self.hash = outcome::hash(value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: [u8; 32] = [7; 32];

    #[test]
    fn the_truth_table() {
        let at = |last| Chain::new(last, last.map(|_| HASH));
        let (ours, other, none) = (Hex(HASH), Hex([8; 32]), outcome::NO_HASH);
        let table = [
            (at(None), 0, None, none, Place::Next),
            (at(None), 3, None, none, Place::Next),
            (at(None), 0, None, other, Place::Diverged),
            (at(None), 5, Some(4), other, Place::Hole),
            (at(Some(4)), 5, Some(4), ours, Place::Next),
            (at(Some(4)), 9, Some(4), ours, Place::Next),
            (at(Some(4)), 5, Some(4), other, Place::Diverged),
            (at(Some(4)), 4, Some(3), other, Place::Copy),
            (at(Some(4)), 2, None, none, Place::Copy),
            (at(Some(4)), 6, Some(5), ours, Place::Hole),
            (at(Some(4)), 6, Some(3), ours, Place::Diverged),
            (at(Some(4)), 6, None, none, Place::Diverged),
        ];
        for (chain, offset, follows, prev, expected) in table {
            let place = chain.judge(offset, follows, prev);
            assert_eq!(place, expected, "{chain:?} then {offset} after {follows:?}");
        }
    }

    proptest! {
        /// However owners interleave copies of one history, it is read once and in order.
        #[test]
        fn every_interleaving_reads_the_history_once(
            picks in prop::collection::vec((0_usize..30, 1_usize..6), 0..60),
        ) {
            let history = history(30);
            let stretches = picks.iter().map(|(start, length)| (*start, start + length));
            // At the end the right owner writes whatever is missing.
            let all = stretches.chain([(0, history.len())]);
            let (mut chain, mut read) = (Chain::new(None, None), Vec::new());
            for (start, end) in all {
                for (offset, follows, prev, value) in history.iter().take(end).skip(start) {
                    match chain.judge(*offset, *follows, *prev) {
                        Place::Next => {
                            chain.extend(*offset, value);
                            read.push(*offset);
                        }
                        Place::Copy | Place::Hole => {}
                        Place::Diverged => panic!("P4: owners write the same bytes"),
                    }
                }
            }
            let offsets: Vec<u64> = history.iter().map(|(offset, ..)| *offset).collect();
            prop_assert_eq!(read, offsets);
        }
    }

    type Step = (u64, Option<u64>, Hex<32>, Vec<u8>);

    fn history(length: u64) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for at in 0..length {
            let (follows, prev) = match steps.last() {
                None => (None, outcome::NO_HASH),
                Some((offset, _, _, value)) => (Some(*offset), outcome::hash(value)),
            };
            steps.push((at * 3 / 2, follows, prev, at.to_be_bytes().to_vec()));
        }
        steps
    }
}
