//! The naive oracle: one map of balances, one map of references. It knows no partitions, no
//! batches, no versions and no order among the refusals of one command.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Expect, Intent, Move, STATUSES, WORLD};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Account {
    pub(super) cents: i64,
    pub(super) floor: Option<i64>,
    pub(super) ceiling: Option<i64>,
    pub(super) status: &'static str,
}

/// Every reason to refuse; none is a yes.
pub(super) type Reasons = BTreeSet<&'static str>;

#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    pub(super) accounts: BTreeMap<(usize, usize), Account>,
}

impl Oracle {
    pub(super) fn decide(&mut self, intent: &Intent) -> Reasons {
        let mut next = self.clone();
        let reasons = match intent {
            Intent::Open {
                who,
                asset,
                floor,
                ceiling,
            } => next.open((*who, *asset), *floor, *ceiling),
            Intent::Set { who, .. } => next.set((*who, 0), intent),
            Intent::Transfer(moves) => next.transfer(moves),
        };
        if reasons.is_empty() {
            *self = next;
        }
        reasons
    }

    fn open(&mut self, id: (usize, usize), floor: Option<i64>, ceiling: Option<i64>) -> Reasons {
        if self.accounts.contains_key(&id) {
            return Reasons::from(["balance-exists"]);
        }
        if floor.is_some_and(|floor| floor > 0) || ceiling.is_some_and(|ceiling| ceiling < 0) {
            return Reasons::from(["limit-not-met"]);
        }
        let account = Account {
            cents: 0,
            floor,
            ceiling,
            status: "open",
        };
        self.accounts.insert(id, account);
        Reasons::new()
    }

    fn set(&mut self, id: (usize, usize), intent: &Intent) -> Reasons {
        let Intent::Set {
            floor,
            ceiling,
            status,
            expect,
            ..
        } = intent
        else {
            unreachable!("only for Set");
        };
        let Some(account) = self.accounts.get_mut(&id) else {
            return Reasons::from(["balance-not-found"]);
        };
        let status = status.map(|status| STATUSES[status]);
        if account.status == "closed" && status.is_none_or(|status| status == "closed") {
            return Reasons::from(["balance-closed"]);
        }
        if *expect == Some(Expect::Stale) {
            return Reasons::from(["version-mismatch"]);
        }
        account.floor = floor.unwrap_or(account.floor);
        account.ceiling = ceiling.unwrap_or(account.ceiling);
        account.status = status.unwrap_or(account.status);
        let low = floor.flatten().is_some_and(|floor| account.cents < floor);
        let high = ceiling
            .flatten()
            .is_some_and(|ceiling| account.cents > ceiling);
        if low || high {
            return Reasons::from(["limit-not-met"]);
        }
        if account.status == "closed" && account.cents != 0 {
            return Reasons::from(["balance-not-empty"]);
        }
        Reasons::new()
    }

    /// All debits, then all credits; a balance that has refused is not asked again.
    fn transfer(&mut self, moves: &[Move]) -> Reasons {
        let mut refused = BTreeMap::new();
        let debits = moves.iter().map(|m| {
            let held_in = if m.crossed { 1 - m.asset } else { m.asset };
            ((m.source, held_in), m, -m.cents)
        });
        let credits = moves.iter().map(|m| ((m.destination, m.asset), m, m.cents));
        for (id, m, cents) in debits.chain(credits) {
            if refused.contains_key(&id) {
                continue;
            }
            let expect = moves.iter().rev().find_map(|other| {
                let names = (other.destination, other.asset) == id;
                other.expect.filter(|_| names)
            });
            if let Some(reason) = self.change(id, m.asset, cents, expect) {
                refused.insert(id, reason);
            }
        }
        refused.into_values().collect()
    }

    fn change(
        &mut self,
        id: (usize, usize),
        asset: usize,
        cents: i64,
        expect: Option<Expect>,
    ) -> Option<&'static str> {
        if id.0 == WORLD {
            self.accounts.entry(id).or_insert(Account {
                cents: 0,
                floor: None,
                ceiling: None,
                status: "open",
            });
        }
        let Some(account) = self.accounts.get_mut(&id) else {
            return Some("balance-not-found");
        };
        let frozen = match (account.status, cents < 0) {
            ("frozen", _) | ("debits-frozen", true) | ("credits-frozen", false) => true,
            (_, _) => false,
        };
        account.cents += cents;
        let low = cents < 0 && account.floor.is_some_and(|floor| account.cents < floor);
        let ceiling = account.ceiling.filter(|_| cents > 0);
        let high = ceiling.is_some_and(|ceiling| account.cents > ceiling);
        let checks = [
            (id.1 != asset, "asset-mismatch"),
            (account.status == "closed", "balance-closed"),
            (frozen, "balance-frozen"),
            (expect == Some(Expect::Stale), "version-mismatch"),
            (low, "insufficient-funds"),
            (high, "ceiling-exceeded"),
        ];
        let refused = checks.into_iter().find(|(refused, _)| *refused);
        refused.map(|(_, reason)| reason)
    }
}
