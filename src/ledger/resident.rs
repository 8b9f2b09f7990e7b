//! The balances of one partition, in little memory.
//!
//! A million of them are looked up at random, so what a decision reads and changes of a balance is
//! one line of the processor's cache. What it has in common with others ([`Class`]) is kept once;
//! what hardly any balance has, reservations, apart; and names, which only snapshots show, in a
//! list of their own.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::asset::Asset;
use super::balance::{Balance, Limit, State, Status};
use super::chunks::Chunks;
use super::id::{BalanceId, TRANSIT_LEDGER};

/// What many balances have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    /// `organization/ledger`.
    pub(super) ledger: Arc<str>,
    pub(super) asset: Asset,
    pub(super) floor: Limit,
    pub(super) ceiling: Limit,
    pub(super) status: Status,
}

/// A balance without its name.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Resident {
    id: BalanceId,
    posted: i128,
    version: u64,
    /// The last command that changed it.
    offset: u64,
    class: Arc<Class>,
    /// Held and incoming, unless both are zero.
    reserved: Option<Box<(i128, i128)>>,
}

const _: () = assert!(size_of::<Resident>() == 64, "one line of the cache");

impl Resident {
    pub(super) fn class(&self) -> &Class {
        &self.class
    }

    pub(super) fn state(&self) -> State {
        let (held, incoming) = self.reserved.as_deref().copied().unwrap_or_default();
        State {
            posted: self.posted,
            held,
            incoming,
            version: self.version,
        }
    }

    /// Takes the state after command `offset`.
    pub(super) fn set(&mut self, state: State, offset: u64) {
        self.posted = state.posted;
        self.version = state.version;
        self.offset = offset;
        let reserved = (state.held, state.incoming);
        match (&mut self.reserved, reserved) {
            (none, (0, 0)) => *none = None,
            (Some(now), _) => **now = reserved,
            (none, _) => *none = Some(Box::new(reserved)),
        }
    }
}

/// Where a balance is among the others; it stays there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u32);

impl Place {
    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Balances {
    /// By the hash of the id that is there.
    index: HashTable<Place>,
    balances: Chunks<Resident>,
    /// `account/key`, in the same order.
    names: Chunks<Box<str>>,
    /// Every class in use, once.
    classes: HashSet<Arc<Class>, FixedState>,
    /// Which of them are transit balances, so that nobody looks at all for those few.
    transit: Vec<Place>,
}

impl Balances {
    pub(super) fn len(&self) -> usize {
        self.balances.len()
    }

    pub(super) fn find(&self, id: BalanceId) -> Option<Place> {
        let same = |place: &Place| self.at(*place).id == id;
        self.index.find(hash(id), same).copied()
    }

    /// Looks at balances that are about to be read, so that memory is waited for once, and not for
    /// one after the other. There may be any of them, or none.
    pub(super) fn warm(&self, ids: impl Iterator<Item = BalanceId>) {
        black_box(ids.filter(|id| self.find(*id).is_some()).count());
    }

    pub(super) fn get(&self, id: BalanceId) -> Option<&Resident> {
        self.find(id).map(|place| self.at(place))
    }

    pub(super) fn at(&self, place: Place) -> &Resident {
        self.balances.at(place.index())
    }

    pub(super) fn at_mut(&mut self, place: Place) -> &mut Resident {
        self.balances.at_mut(place.index())
    }

    /// Adds a balance that is not there.
    pub(super) fn add(&mut self, id: BalanceId, balance: Balance) -> Place {
        let place = Place(u32::try_from(self.len()).expect("fewer than 2^32 fit the memory"));
        if *balance.ledger == *TRANSIT_LEDGER {
            self.transit.push(place);
        }
        let class = self.class(Class {
            ledger: balance.ledger,
            asset: balance.asset,
            floor: balance.floor,
            ceiling: balance.ceiling,
            status: balance.status,
        });
        let mut resident = Resident {
            id,
            posted: 0,
            version: 0,
            offset: 0,
            class,
            reserved: None,
        };
        resident.set(balance.state, balance.offset);
        self.balances.push(resident);
        self.names.push(balance.name);
        let balances = &self.balances;
        let rehash = |place: &Place| hash(balances.at(place.index()).id);
        self.index.insert_unique(hash(id), place, rehash);
        place
    }

    /// Changes what bounds a balance.
    pub(super) fn bound(&mut self, place: Place, floor: Limit, ceiling: Limit, status: Status) {
        let before = self.at(place).class.clone();
        let after = self.class(Class {
            floor,
            ceiling,
            status,
            ..(*before).clone()
        });
        self.at_mut(place).class = after;
        // Here, and in `classes`.
        if Arc::strong_count(&before) == 2 {
            self.classes.remove(&before);
        }
    }

    fn class(&mut self, class: Class) -> Arc<Class> {
        if let Some(known) = self.classes.get(&class) {
            return known.clone();
        }
        let class = Arc::new(class);
        self.classes.insert(class.clone());
        class
    }

    /// A balance as everybody else knows it.
    pub(super) fn whole(&self, place: Place) -> Balance {
        let resident = self.at(place);
        whole(resident, self.names.at(place.index()))
    }

    /// All of them, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BalanceId, Balance)> {
        let all = self.balances.iter().zip(self.names.iter());
        all.map(|(resident, name)| (resident.id, whole(resident, name)))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = BalanceId> {
        self.balances.iter().map(|resident| resident.id)
    }

    /// The transit balances, in the order in which they came.
    pub(super) fn transit(&self) -> impl Iterator<Item = BalanceId> {
        self.transit.iter().map(|place| self.at(*place).id)
    }
}

fn hash(id: BalanceId) -> u64 {
    FixedState::default().hash_one(id)
}

fn whole(resident: &Resident, name: &str) -> Balance {
    let class = resident.class();
    Balance {
        state: resident.state(),
        floor: class.floor,
        ceiling: class.ceiling,
        status: class.status,
        asset: class.asset,
        offset: resident.offset,
        ledger: class.ledger.clone(),
        name: name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(number: u64) -> (BalanceId, Balance) {
        let id = BalanceId::new(uuid::Uuid::from_u64_pair(number, number));
        let balance = Balance {
            state: State {
                version: number,
                ..State::default()
            },
            floor: Some(0),
            ceiling: None,
            status: Status::Open,
            asset: Asset::parse("USD").unwrap(),
            offset: number,
            ledger: "main".into(),
            name: Balance::name(&format!("account-{number}"), "default"),
        };
        (id, balance)
    }

    #[test]
    fn every_balance_is_found_as_it_was_added() {
        let mut balances = Balances::default();
        for (id, balance) in (0..5000).map(balance) {
            assert!(balances.find(id).is_none());
            balances.add(id, balance);
        }
        for (id, balance) in (0..5000).map(balance) {
            assert_eq!(
                balances.find(id).map(|at| balances.whole(at)),
                Some(balance)
            );
        }
        assert!(balances.iter().eq((0..5000).map(balance)));
        assert_eq!(balances.classes.len(), 1);
    }

    #[test]
    fn transit_balances_are_known_apart() {
        let mut balances = Balances::default();
        for number in 0..10 {
            let (id, mut balance) = balance(number);
            if number % 4 == 1 {
                balance.ledger = TRANSIT_LEDGER.into();
            }
            balances.add(id, balance);
        }
        let transit: Vec<BalanceId> = [1, 5, 9].map(|number| balance(number).0).into();
        assert_eq!(balances.transit().collect::<Vec<_>>(), transit);
    }

    #[test]
    fn a_class_is_kept_as_long_as_a_balance_is_in_it() {
        let mut balances = Balances::default();
        let places: Vec<Place> = (0..100)
            .map(balance)
            .map(|(id, balance)| balances.add(id, balance))
            .collect();
        for (place, floor) in places.iter().zip(1..) {
            balances.bound(*place, Some(-floor), None, Status::Open);
        }
        assert_eq!(balances.classes.len(), 100, "each has a floor of its own");
        for place in &places {
            balances.bound(*place, Some(0), None, Status::Open);
            balances.bound(*place, Some(0), None, Status::Open);
        }
        assert_eq!(balances.classes.len(), 1);
        let all = balances.iter().map(|(_, balance)| balance.floor);
        assert!(all.eq((0..100).map(|_| Some(0))));
    }

    #[test]
    fn reservations_take_memory_while_there_are_any() {
        let mut balances = Balances::default();
        let (id, balance) = balance(1);
        let place = balances.add(id, balance);
        for (held, incoming) in [(0, 0), (3, 0), (3, 4), (0, 4), (0, 0)] {
            let state = State {
                held,
                incoming,
                ..balances.at(place).state()
            };
            balances.at_mut(place).set(state, 9);
            assert_eq!(balances.whole(place).state, state);
            assert_eq!(
                balances.at(place).reserved.is_some(),
                (held, incoming) != (0, 0)
            );
        }
    }
}
