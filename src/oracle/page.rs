//! One decision on the balances: changed at once, and put back if it comes to nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::names::{self, PURSES};
use crate::ledger::{
    Asset, Balance, BalanceId, Carried, Command, Detail, Direction, Entry, PartitionId, Rejection,
    State, Status, Terms, command::Party,
};

/// The most that 28 digits say.
const MOST: i128 = 10_i128.pow(28) - 1;

/// A "no", and the balance that says it.
pub(super) type Refusal = (Rejection, Detail);

pub(super) struct Page<'a> {
    balances: &'a mut HashMap<BalanceId, Balance>,
    offset: u64,
    /// Whose money on the wire this is: of one ledger, or of all together.
    purse: Option<Arc<str>>,
    pub(super) entries: Vec<Entry>,
    /// Every balance that was changed, as it was.
    before: HashMap<BalanceId, Option<Balance>>,
}

impl<'a> Page<'a> {
    pub(super) fn new(balances: &'a mut HashMap<BalanceId, Balance>, offset: u64) -> Self {
        Self {
            balances,
            offset,
            purse: None,
            entries: Vec::new(),
            before: HashMap::new(),
        }
    }

    /// A page on which the money on the wire is that of `purse`.
    pub(super) fn of(
        balances: &'a mut HashMap<BalanceId, Balance>,
        offset: u64,
        purse: &Option<Arc<str>>,
    ) -> Self {
        let purse = purse.clone();
        Self {
            purse,
            ..Self::new(balances, offset)
        }
    }

    /// As if nothing had been.
    pub(super) fn put_back(self) {
        for (id, balance) in self.before {
            match balance {
                Some(balance) => self.balances.insert(id, balance),
                None => self.balances.remove(&id),
            };
        }
    }

    pub(super) fn find(&self, id: BalanceId) -> Option<&Balance> {
        self.balances.get(&id)
    }

    /// The refusal of `id`, as it stood before this decision.
    pub(super) fn refusal(&self, rejection: Rejection, id: BalanceId) -> Refusal {
        let stood = match self.before.get(&id) {
            Some(before) => before.as_ref(),
            None => self.balances.get(&id),
        };
        let opened_here = self.balances.contains_key(&id).then_some(0);
        let version = stood.map(|balance| balance.state.version).or(opened_here);
        let balance = id;
        (rejection, Detail { balance, version })
    }

    /// Opens a balance, at version 1.
    pub(super) fn open(&mut self, id: BalanceId, asset: Asset, terms: Terms) {
        let balance = Balance {
            state: State::default(),
            floor: terms.floor,
            ceiling: terms.ceiling,
            status: terms.status,
            asset,
            offset: self.offset,
            ledger: terms.ledger.clone(),
            name: format!("{}/{}", terms.account, terms.key).into(),
        };
        self.before.entry(id).or_insert(None);
        self.balances.insert(id, balance);
        self.write(id, Direction::Open, 0, Some(terms));
    }

    /// Gives a balance other terms.
    pub(super) fn configure(&mut self, id: BalanceId, terms: Terms) {
        self.keep(id);
        let balance = self.balances.get_mut(&id).expect("it was found before");
        (balance.floor, balance.ceiling) = (terms.floor, terms.ceiling);
        balance.status = terms.status;
        self.write(id, Direction::Configure, 0, Some(terms));
    }

    /// A side of a posting, with everything that may be said against it.
    pub(super) fn post(
        &mut self,
        command: &Command,
        party: Party,
        direction: Direction,
        asset: Asset,
        amount: i128,
    ) -> Result<(), Refusal> {
        let id = party.id;
        let named = command.stripes.iter().find(|stripe| stripe.id == id);
        if let Some(stripe) = named.filter(|_| party.striped && self.find(id).is_none()) {
            let (account, key) = (stripe.account.clone(), stripe.key.to_string());
            self.open(id, asset, unlimited(command.ledger.clone(), &account, key));
        }
        let Some(balance) = self.find(id).filter(|found| found.ledger == command.ledger) else {
            let (balance, version) = (id, None);
            return Err((Rejection::BalanceNotFound, Detail { balance, version }));
        };
        let (before, was) = (
            balance.clone(),
            self.refusal(Rejection::BalanceNotFound, id).1,
        );
        let expected = command.expect.iter().find(|(named, _)| *named == id);
        let after = changed(before.state, direction, amount);
        let debit = matches!(
            direction,
            Direction::Debit | Direction::Hold | Direction::Force
        );
        let frozen = match before.status {
            Status::DebitsFrozen => debit,
            Status::CreditsFrozen => !debit,
            Status::Frozen => true,
            Status::Open | Status::Closed => false,
        };
        let free = after.posted - after.held;
        let full = after.posted + after.incoming;
        let large = match debit {
            true => free.abs() > MOST || after.held > MOST,
            false => full.abs() > MOST || after.incoming > MOST,
        };
        let objections = [
            (before.asset != asset, Rejection::AssetMismatch),
            (before.status == Status::Closed, Rejection::BalanceClosed),
            (frozen, Rejection::BalanceFrozen),
            (
                expected.is_some_and(|(_, version)| was.version != Some(*version)),
                Rejection::VersionMismatch,
            ),
            (
                debit
                    && direction != Direction::Force
                    && before.floor.is_some_and(|floor| free < floor),
                Rejection::InsufficientFunds,
            ),
            (
                !debit && before.ceiling.is_some_and(|ceiling| full > ceiling),
                Rejection::CeilingExceeded,
            ),
            (large, Rejection::AmountOverflow),
        ];
        match objections.into_iter().find(|(holds, _)| *holds) {
            Some((_, rejection)) => Err((rejection, was)),
            None => {
                self.change(id, direction, amount);
                Ok(())
            }
        }
    }

    /// Whether a balance that is not changed stands as its asker saw it.
    pub(super) fn expect(&self, id: BalanceId, version: u64) -> Result<(), Refusal> {
        match self.find(id).map(|balance| balance.state.version) {
            Some(stands) if stands == version => Ok(()),
            Some(_) => Err(self.refusal(Rejection::VersionMismatch, id)),
            None => Err(self.refusal(Rejection::BalanceNotFound, id)),
        }
    }

    /// Changes a balance whatever its limits are.
    pub(super) fn change(&mut self, id: BalanceId, direction: Direction, amount: i128) {
        self.keep(id);
        let balance = self.balances.get_mut(&id).expect("it was changed before");
        balance.state = changed(balance.state, direction, amount);
        let State { held, incoming, .. } = balance.state;
        assert!(held >= 0, "{id} holds less than nothing");
        assert!(incoming >= 0, "{id} has less than nothing coming");
        self.write(id, direction, amount, None);
    }

    /// Gives a debit back, if 28 digits have room for it.
    pub(super) fn give_back(&mut self, id: BalanceId, amount: i128) -> bool {
        let state = self.find(id).expect("it was debited").state;
        let fits = (state.posted + amount + state.incoming).abs() <= MOST;
        if fits {
            self.change(id, Direction::Credit, amount);
        }
        fits
    }

    /// Notes, in partition `here`, that money of the purse on the way `from` one partition `to`
    /// another became more (a credit) or less (a debit), or what is reserved of that way.
    pub(super) fn transit(
        &mut self,
        here: PartitionId,
        (from, to): (PartitionId, PartitionId),
        direction: Direction,
        money: Carried,
    ) -> Result<(), Refusal> {
        let asset = money.asset.to_string();
        let purse = names::purse((from, to), here, self.purse.as_deref(), &asset);
        let id = BalanceId::new(purse.id);
        if self.find(id).is_none() {
            let terms = unlimited(PURSES.into(), &purse.account, purse.key);
            self.open(id, money.asset, terms);
        }
        let state = self.find(id).expect("opened above").state;
        let after = changed(state, direction, money.amount);
        if (after.posted + after.incoming).abs() > MOST || after.incoming > MOST {
            return Err(self.refusal(Rejection::AmountOverflow, id));
        }
        self.change(id, direction, money.amount);
        Ok(())
    }

    fn keep(&mut self, id: BalanceId) {
        let now = self.balances.get(&id).cloned();
        self.before.entry(id).or_insert(now);
    }

    fn write(&mut self, id: BalanceId, direction: Direction, amount: i128, terms: Option<Terms>) {
        let balance = self.balances.get_mut(&id).expect("it was changed before");
        balance.state.version += 1;
        balance.offset = self.offset;
        self.entries.push(Entry {
            balance: id,
            direction,
            amount,
            asset: balance.asset,
            after: balance.state,
            terms: terms.map(Box::new),
        });
    }
}

fn changed(mut state: State, direction: Direction, amount: i128) -> State {
    match direction {
        Direction::Open | Direction::Configure => {}
        Direction::Debit | Direction::Force => state.posted -= amount,
        Direction::Credit => state.posted += amount,
        Direction::Reserve => state.incoming += amount,
        Direction::Release => state.incoming -= amount,
        Direction::Settle => {
            state.incoming -= amount;
            state.posted += amount;
        }
        Direction::Hold => state.held += amount,
        Direction::Void => state.held -= amount,
        Direction::Post => {
            state.held -= amount;
            state.posted -= amount;
        }
    }
    state
}

fn unlimited(ledger: Arc<str>, account: &str, key: String) -> Terms {
    Terms {
        ledger,
        account: account.into(),
        key: key.into(),
        floor: None,
        ceiling: None,
        status: Status::Open,
    }
}
