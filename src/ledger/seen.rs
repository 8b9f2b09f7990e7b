//! References already decided (L4).
//!
//! Whether a reference still counts is decided at the look-up, by log time against the dedupe
//! horizon, so forgetting old ones ([`SeenMap::forget`]) is housekeeping and never changes an
//! outcome.

use super::frame::{Frame, Range};
use super::id::TransactionId;
use super::outcome::Decision;
use super::pages::Pages;

/// Half of the 256-bit hash of `ledger` and `reference`: what a partition remembers of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeenKey(pub [u8; 16]);

impl SeenKey {
    /// The key under which a stop that is not the home remembers a walked transaction. It differs
    /// from the reference's own key, so a transaction passing through never shadows one that is
    /// at home here.
    #[must_use]
    pub fn at_stop(self, transaction: TransactionId) -> Self {
        Self((u128::from_be_bytes(self.0) ^ transaction.uuid().as_u128()).to_be_bytes())
    }
}

/// Hash of the canonical parsed command without its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    fn short(self) -> u64 {
        let (head, _) = self.0.split_at(8);
        head.iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

/// What is remembered of a reference: enough to answer a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The first 64 bits of the fingerprint.
    pub fingerprint: u64,
    /// The offset that its transaction's id holds: that of the command at home, whichever record
    /// decided it.
    pub offset: u64,
    /// When, in whole seconds of log time.
    pub at_seconds: u32,
    pub decision: Decision,
}

impl Seen {
    pub fn new(
        fingerprint: Fingerprint,
        transaction: TransactionId,
        at_ms: i64,
        decision: Decision,
    ) -> Self {
        let seconds = at_ms.div_euclid(1000).clamp(0, i64::from(u32::MAX));
        let at_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self {
            fingerprint: fingerprint.short(),
            offset: transaction.offset(),
            at_seconds,
            decision,
        }
    }

    pub fn same_content(&self, fingerprint: Fingerprint) -> bool {
        self.fingerprint == fingerprint.short()
    }

    fn counts_at(&self, at_ms: i64, horizon_seconds: u64) -> bool {
        let now = u64::try_from(at_ms.div_euclid(1000)).unwrap_or(0);
        u64::from(self.at_seconds).saturating_add(horizon_seconds) >= now
    }
}

/// The references of one partition.
#[derive(Clone, Debug)]
pub struct SeenMap {
    frame: Frame,
    pages: Pages,
}

impl Default for SeenMap {
    fn default() -> Self {
        let frame = Frame::default();
        let pages = Pages::new(frame.width());
        Self { frame, pages }
    }
}

impl SeenMap {
    /// What is remembered of `key` at log time `at_ms`, within the horizon.
    pub fn find(&self, key: SeenKey, at_ms: i64, horizon_seconds: u64) -> Option<Seen> {
        let seen = self.frame.read(self.pages.find(&key.0)?);
        Some(seen).filter(|seen| seen.counts_at(at_ms, horizon_seconds))
    }

    pub fn insert(&mut self, key: SeenKey, seen: Seen) {
        let fits = self.frame.write(&seen);
        let bytes = fits.unwrap_or_else(|| {
            self.widen(&seen);
            let fits = self.frame.write(&seen);
            fits.expect("the frame was made for it")
        });
        self.pages.insert(&key.0, &bytes);
    }

    /// Finds a frame for everything there is and `seen`.
    fn widen(&mut self, seen: &Seen) {
        let all = self.pages.iter().map(|(_, bytes)| self.frame.read(bytes));
        let range = all.fold(Range::of(seen), |range, seen| range.with(&seen));
        let mut frame = self.frame.around(range);
        let width = frame.width();
        self.pages.rewrite(width, |bytes| {
            let fits = frame.write(&self.frame.read(bytes));
            fits.expect("the frame was made for it")
        });
        self.frame = frame;
    }

    /// Drops what no look-up at or after `at_ms` can find.
    pub fn forget(&mut self, at_ms: i64, horizon_seconds: u64) {
        let frame = &self.frame;
        self.pages
            .retain(|bytes| frame.read(bytes).counts_at(at_ms, horizon_seconds));
    }

    /// Everything remembered, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (SeenKey, Seen)> {
        let all = self.pages.iter();
        all.map(|(key, bytes)| (SeenKey(key), self.frame.read(bytes)))
    }

    pub fn len(&self) -> usize {
        self.pages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pages.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Rejection;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// As bytes of hashes are.
    fn spread(number: u128) -> [u8; 16] {
        let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        number.to_le_bytes()
    }

    /// Offsets and times near each other and as far apart as can be, in any order.
    fn seen() -> impl Strategy<Value = Seen> {
        let offset = prop_oneof![0..50_u64, 900_000_000..900_000_100_u64, 0..(1_u64 << 60)];
        let at_seconds = prop_oneof![0..9_u32, 1_795_000_000..1_795_600_000_u32, any::<u32>()];
        let decision = prop_oneof![
            Just(Decision::Applied),
            Just(Decision::Forwarded),
            prop::sample::select(&crate::ledger::rejection::ALL[..]).prop_map(Decision::Rejected),
        ];
        let parts = (any::<u64>(), offset, at_seconds, decision);
        parts.prop_map(|(fingerprint, offset, at_seconds, decision)| Seen {
            fingerprint,
            offset,
            at_seconds,
            decision,
        })
    }

    proptest! {
        #[test]
        fn nothing_is_lost_in_a_frame(
            marks in prop::collection::vec((0..40_u128, seen()), 1..200),
        ) {
            let (mut kept, mut expected) = (SeenMap::default(), HashMap::new());
            for (key, seen) in marks {
                let key = SeenKey(spread(key));
                kept.insert(key, seen);
                expected.insert(key, seen);
                prop_assert_eq!(kept.find(key, i64::MIN, 0), Some(seen));
            }
            prop_assert_eq!(kept.iter().collect::<HashMap<_, _>>(), expected);
        }
    }

    /// A week of references from the middle of a log is kept in as many bytes as were budgeted.
    #[test]
    fn a_week_takes_seven_bytes_for_offset_time_and_decision() {
        let mut kept = SeenMap::default();
        let mut insert = |number: u64| {
            let seen = Seen {
                fingerprint: number,
                offset: 40_000_000_000 + number * 30,
                at_seconds: 1_795_000_000 + u32::try_from(number * 6).unwrap(),
                decision: Decision::Rejected(Rejection::InsufficientFunds),
            };
            let key = SeenKey(spread(number.into()));
            kept.insert(key, seen);
            assert_eq!(kept.find(key, 0, 0), Some(seen));
            kept.frame.width()
        };
        assert!((0..100_000).all(|number| insert(number) == 8 + 7));
    }
}
