//! Snapshots gathered between markers: of every balance the newest version (S1).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use foldhash::fast::FixedState;

use crate::ledger::{Balance, BalanceId, Hold, TransactionId};

/// What has versions and snapshots.
pub(super) trait Versioned {
    fn version(&self) -> u64;
}

impl Versioned for Balance {
    fn version(&self) -> u64 {
        self.state.version
    }
}

impl Versioned for Hold {
    fn version(&self) -> u64 {
        self.version
    }
}

/// Of a balance or a hold, the newest version that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot<T> {
    pub(super) state: T,
    /// Which ownership published it.
    pub(super) epoch: u64,
    /// Whether an older version arrived after it: the topic's latest record is not the newest.
    pub(super) overtaken: bool,
}

/// Bounded by what was touched, however many snapshots arrive.
#[derive(Debug)]
pub(super) struct Gathered<K, T> {
    snapshots: HashMap<K, Snapshot<T>, FixedState>,
}

/// What was gathered of one partition.
#[derive(Debug, Default)]
pub(super) struct Pile {
    pub(super) balances: Gathered<BalanceId, Balance>,
    pub(super) holds: Gathered<TransactionId, Hold>,
}

impl Pile {
    /// Adds what arrived after this.
    pub(super) fn append(&mut self, later: Self) {
        self.balances.append(later.balances);
        self.holds.append(later.holds);
    }

    pub(super) fn len(&self) -> usize {
        self.balances.len() + self.holds.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, T> Default for Gathered<K, T> {
    fn default() -> Self {
        Self {
            snapshots: HashMap::default(),
        }
    }
}

impl<K: Copy + Eq + Hash, T: Versioned> Gathered<K, T> {
    pub(super) fn add(&mut self, id: K, snapshot: Snapshot<T>) {
        match self.snapshots.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(snapshot);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                match snapshot.state.version() < known.state.version() {
                    true => known.overtaken = true,
                    false => *known = snapshot,
                }
            }
        }
    }

    fn append(&mut self, later: Self) {
        if self.snapshots.is_empty() {
            *self = later;
            return;
        }
        for (id, snapshot) in later.snapshots {
            self.add(id, snapshot);
        }
    }

    pub(super) fn get(&self, id: K) -> Option<&Snapshot<T>> {
        self.snapshots.get(&id)
    }

    pub(super) fn remove(&mut self, id: K) {
        self.snapshots.remove(&id);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &Snapshot<T>)> {
        self.snapshots.iter().map(|(id, snapshot)| (*id, snapshot))
    }

    pub(super) fn len(&self) -> usize {
        self.snapshots.len()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{Asset, State, Status};

    /// A balance at `version`, changed last by command `offset`.
    pub(in crate::sink) fn balance(version: u64, offset: u64, posted: i128) -> Balance {
        Balance {
            state: State {
                posted,
                version,
                ..State::default()
            },
            floor: None,
            ceiling: None,
            status: Status::Open,
            asset: Asset::parse("USD/2").unwrap(),
            offset,
            ledger: "default/main".into(),
            name: "alice/default".into(),
        }
    }

    pub(in crate::sink) fn id(number: u8) -> BalanceId {
        BalanceId::new(uuid::Uuid::from_u128(number.into()))
    }

    fn snapshot(version: u64) -> Snapshot<Balance> {
        Snapshot {
            state: balance(version, version, 0),
            epoch: 1,
            overtaken: false,
        }
    }

    proptest! {
        /// Any order, duplication and grouping gives the newest version by key, and knows
        /// whether the last record was it.
        #[test]
        fn the_newest_version_wins(
            arrivals in prop::collection::vec((0_u8..5, 1_u64..9, any::<bool>()), 0..60),
        ) {
            let (mut whole, mut gathered) = (Gathered::default(), Gathered::default());
            for (number, version, cut) in &arrivals {
                if *cut {
                    whole.append(std::mem::take(&mut gathered));
                }
                gathered.add(id(*number), snapshot(*version));
            }
            whole.append(gathered);
            for number in 0..5 {
                let versions = arrivals.iter().filter(|(other, ..)| *other == number);
                let versions: Vec<u64> = versions.map(|(_, version, _)| *version).collect();
                let found = whole.iter().find(|(key, _)| *key == id(number));
                prop_assert_eq!(
                    found.map(|(_, found)| (found.state.state.version, found.overtaken)),
                    versions.iter().max().map(|newest| (*newest, versions.last() != Some(newest)))
                );
            }
        }
    }
}
