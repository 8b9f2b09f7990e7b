//! References already decided (L4).
//!
//! Whether a reference still counts is decided at the look-up, by log time against the dedupe
//! horizon, so forgetting old ones ([`SeenMap::forget`]) is housekeeping and never changes an
//! outcome.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::id::TransactionId;
use super::outcome::Decision;

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
#[derive(Clone, Debug, Default)]
pub struct SeenMap {
    entries: HashMap<SeenKey, Seen, FixedState>,
}

impl SeenMap {
    /// What is remembered of `key` at log time `at_ms`, within the horizon.
    pub fn find(&self, key: SeenKey, at_ms: i64, horizon_seconds: u64) -> Option<&Seen> {
        self.entries
            .get(&key)
            .filter(|seen| seen.counts_at(at_ms, horizon_seconds))
    }

    pub fn insert(&mut self, key: SeenKey, seen: Seen) {
        self.entries.insert(key, seen);
    }

    /// Drops what no look-up at or after `at_ms` can find.
    pub fn forget(&mut self, at_ms: i64, horizon_seconds: u64) {
        self.entries
            .retain(|_, seen| seen.counts_at(at_ms, horizon_seconds));
    }

    pub fn reserve(&mut self, additional: usize) {
        self.entries.reserve(additional);
    }

    /// Everything remembered, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (SeenKey, &Seen)> {
        self.entries.iter().map(|(key, seen)| (*key, seen))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
