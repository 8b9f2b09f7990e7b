//! A decision in the making: entries that are not folded yet.
//!
//! The latest entry of a balance in the draft is its state; before that, the partition's. A draft
//! that is dropped has changed nothing, which is all that refusing takes.

use std::sync::Arc;

use super::amount::{Amount, within};
use super::asset::Asset;
use super::balance::{Limit, State, Status};
use super::command::{Command, Party};
use super::id::{BalanceId, TRANSIT_LEDGER, transit_account, transit_key};
use super::outcome::{Detail, Direction, Entry, Terms};
use super::partition::Partition;
use super::rejection::Rejection;
use super::route::PartitionId;
use super::walk::Carried;

/// A refusal and the balance it speaks of.
pub(super) type Refusal = (Rejection, Detail);

pub(super) struct Draft<'a> {
    partition: &'a Partition,
    pub(super) entries: Vec<Entry>,
    /// The ledger whose own transit balances the money passes; none for those of all ledgers.
    via: Option<Arc<str>>,
}

/// A balance as the draft sees it.
struct View<'a> {
    state: State,
    floor: Limit,
    ceiling: Limit,
    status: Status,
    asset: Asset,
    ledger: &'a str,
    /// The version before this draft, which is what `expect` speaks of.
    version_before: u64,
}

impl<'a> Draft<'a> {
    pub(super) fn new(partition: &'a Partition, capacity: usize) -> Self {
        Self {
            partition,
            entries: Vec::with_capacity(capacity),
            via: None,
        }
    }

    /// Money passes the transit balances of that ledger alone, or those of all.
    #[must_use]
    pub(super) fn via(mut self, ledger: Option<Arc<str>>) -> Self {
        self.via = ledger;
        self
    }

    pub(super) fn partition_id(&self) -> PartitionId {
        self.partition.id()
    }

    pub(super) fn partition_count(&self) -> PartitionId {
        self.partition.count
    }

    /// Debits `party` for a posting of `command`, below its floor if that is forced, or reserves
    /// the debit.
    pub(super) fn debit(
        &mut self,
        command: &Command,
        party: Party,
        asset: Asset,
        amount: Amount,
        direction: Direction,
    ) -> Result<(), Refusal> {
        let view = self.admit(command, party, asset)?;
        let refuse = |rejection| Err((rejection, detail(party.id, &view)));
        if view.status.debits_frozen() {
            return refuse(Rejection::BalanceFrozen);
        }
        if !expected(command, party.id, &view) {
            return refuse(Rejection::VersionMismatch);
        }
        let mut after = view.state;
        let minor = amount.minor();
        after.posted = after.posted.saturating_add(direction.posted_change(minor));
        after.held = after.held.saturating_add(direction.held_change(minor));
        if direction != Direction::Force && !after.above(view.floor) {
            return refuse(Rejection::InsufficientFunds);
        }
        if !within(after.posted.saturating_sub(after.held)) || !within(after.held) {
            return refuse(Rejection::AmountOverflow);
        }
        self.push(party.id, direction, amount.minor(), asset, after);
        Ok(())
    }

    /// Credits `party` for a posting of `command`: posted at the last stop, reserved before it.
    pub(super) fn credit(
        &mut self,
        command: &Command,
        party: Party,
        asset: Asset,
        amount: Amount,
        direction: Direction,
    ) -> Result<(), Refusal> {
        let view = self.admit(command, party, asset)?;
        let refuse = |rejection| Err((rejection, detail(party.id, &view)));
        if view.status.credits_frozen() {
            return refuse(Rejection::BalanceFrozen);
        }
        if !expected(command, party.id, &view) {
            return refuse(Rejection::VersionMismatch);
        }
        let mut after = view.state;
        let minor = amount.minor();
        after.posted = after.posted.saturating_add(direction.posted_change(minor));
        after.incoming = after
            .incoming
            .saturating_add(direction.incoming_change(minor));
        if !after.below(view.ceiling) {
            return refuse(Rejection::CeilingExceeded);
        }
        let total = after.posted.saturating_add(after.incoming);
        if !within(total) || !within(after.incoming) {
            return refuse(Rejection::AmountOverflow);
        }
        self.push(party.id, direction, amount.minor(), asset, after);
        Ok(())
    }

    /// Refuses what does not stand as `command` expects it.
    pub(super) fn expect(&self, command: &Command, id: BalanceId) -> Result<(), Refusal> {
        match self.view(id) {
            Some(view) if expected(command, id, &view) => Ok(()),
            Some(view) => Err((Rejection::VersionMismatch, detail(id, &view))),
            None => {
                let (balance, version) = (id, None);
                Err((Rejection::BalanceNotFound, Detail { balance, version }))
            }
        }
    }

    /// Posts what is reserved on a balance, or gives it up. Never refused.
    pub(super) fn resolve(&mut self, id: BalanceId, amount: Amount, direction: Direction) {
        self.resolve_minor(id, amount.minor(), direction);
    }

    fn resolve_minor(&mut self, id: BalanceId, amount: i128, direction: Direction) {
        let view = self.view(id).expect("what is reserved has its balance");
        let mut after = view.state;
        let asset = view.asset;
        after.posted = after.posted.saturating_add(direction.posted_change(amount));
        after.held = after.held.saturating_add(direction.held_change(amount));
        after.incoming = after
            .incoming
            .saturating_add(direction.incoming_change(amount));
        assert!(
            after.incoming >= 0 && after.held >= 0,
            "L6: less is reserved on {id} than was reserved"
        );
        self.push(id, direction, amount, asset, after);
    }

    /// Reserves room for money that may leave for `to` later.
    pub(super) fn reserve_way(&mut self, to: PartitionId, money: Carried) -> Result<(), Refusal> {
        let here = self.partition.id();
        self.transit(here, to, money, Direction::Reserve)
    }

    /// Money leaves for `to` whose way was reserved, or gives the way up. Never refused.
    pub(super) fn resolve_way(&mut self, to: PartitionId, money: Carried, direction: Direction) {
        let here = self.partition.id();
        let id = BalanceId::transit((here, to), here, self.via.as_deref(), &money.asset);
        self.resolve_minor(id, money.amount, direction);
    }

    /// Gives a debit back, whatever the ceiling and the status now. False if the balance has no
    /// room left in its 28 digits: the money then stays on the wire, where the audit names it.
    pub(super) fn give_back(&mut self, id: BalanceId, amount: Amount) -> bool {
        let view = self.view(id).expect("a debit to give back has its balance");
        let mut after = view.state;
        let asset = view.asset;
        after.posted = after.posted.saturating_add(amount.minor());
        let fits = within(after.posted.saturating_add(after.incoming));
        if fits {
            self.push(id, Direction::Credit, amount.minor(), asset, after);
        }
        fits
    }

    /// Money leaves for `to`: the local transit balance is credited.
    pub(super) fn leave(&mut self, to: PartitionId, money: Carried) -> Result<(), Refusal> {
        let here = self.partition.id();
        self.transit(here, to, money, Direction::Credit)
    }

    /// Money arrives from `from`: the local mirror is debited.
    pub(super) fn arrive(&mut self, from: PartitionId, money: Carried) -> Result<(), Refusal> {
        let here = self.partition.id();
        self.transit(from, here, money, Direction::Debit)
    }

    /// Money that left for `to` comes back: there is no refusing it, it was here before.
    pub(super) fn come_back(&mut self, to: PartitionId, money: Carried) {
        let here = self.partition.id();
        let back = self.transit(here, to, money, Direction::Debit);
        back.expect("what left for a partition stands on its transit balance");
    }

    /// Money that arrived from `from` goes back there.
    pub(super) fn go_back(&mut self, from: PartitionId, money: Carried) {
        let here = self.partition.id();
        let back = self.transit(from, here, money, Direction::Credit);
        back.expect("what arrived from a partition stands on its transit balance");
    }

    fn transit(
        &mut self,
        from: PartitionId,
        to: PartitionId,
        money: Carried,
        direction: Direction,
    ) -> Result<(), Refusal> {
        let here = self.partition.id();
        let via = self.via.as_deref();
        let id = BalanceId::transit((from, to), here, via, &money.asset);
        if self.view(id).is_none() {
            let account = transit_account(from, to).into_boxed_str();
            let key = transit_key(here, via);
            self.open_unlimited(id, TRANSIT_LEDGER.into(), account, key, money.asset);
        }
        let view = self.view(id).expect("opened above");
        let mut after = view.state;
        after.posted = after
            .posted
            .saturating_add(direction.posted_change(money.amount));
        after.incoming = after
            .incoming
            .saturating_add(direction.incoming_change(money.amount));
        if !within(after.posted.saturating_add(after.incoming)) || !within(after.incoming) {
            return Err((Rejection::AmountOverflow, detail(id, &view)));
        }
        self.push(id, direction, money.amount, money.asset, after);
        Ok(())
    }

    /// The balance of a posting, if it may be used by it at all; a stripe is opened.
    fn admit(
        &mut self,
        command: &Command,
        party: Party,
        asset: Asset,
    ) -> Result<View<'_>, Refusal> {
        if party.striped
            && self.view(party.id).is_none()
            && let Some(stripe) = command.stripe(party.id)
        {
            let (account, key) = (Box::from(&*stripe.account), stripe.key.to_string());
            self.open_unlimited(party.id, command.ledger.clone(), account, key, asset);
        }
        let Some(view) = self.view(party.id) else {
            let nowhere = Detail {
                balance: party.id,
                version: None,
            };
            return Err((Rejection::BalanceNotFound, nowhere));
        };
        if *view.ledger != *command.ledger {
            let nowhere = Detail {
                balance: party.id,
                version: None,
            };
            return Err((Rejection::BalanceNotFound, nowhere));
        }
        if view.asset != asset {
            return Err((Rejection::AssetMismatch, detail(party.id, &view)));
        }
        if view.status == Status::Closed {
            return Err((Rejection::BalanceClosed, detail(party.id, &view)));
        }
        Ok(view)
    }

    fn open_unlimited(
        &mut self,
        id: BalanceId,
        ledger: Arc<str>,
        account: Box<str>,
        key: String,
        asset: Asset,
    ) {
        let key = key.into_boxed_str();
        let terms = Terms {
            ledger,
            account,
            key,
            floor: None,
            ceiling: None,
            status: Status::Open,
        };
        self.open(id, asset, terms);
    }

    /// Opens a balance at version 1.
    pub(super) fn open(&mut self, id: BalanceId, asset: Asset, terms: Terms) {
        let after = State {
            version: 1,
            ..State::default()
        };
        let terms = Some(Box::new(terms));
        let direction = Direction::Open;
        self.entries.push(Entry {
            balance: id,
            direction,
            amount: 0,
            asset,
            after,
            terms,
        });
    }

    fn push(
        &mut self,
        balance: BalanceId,
        direction: Direction,
        amount: i128,
        asset: Asset,
        mut after: State,
    ) {
        after.version = after.version.checked_add(1).expect("versions fit 64 bits");
        self.entries.push(Entry {
            balance,
            direction,
            amount,
            asset,
            after,
            terms: None,
        });
    }

    fn view(&self, id: BalanceId) -> Option<View<'_>> {
        let latest = self.entries.iter().rev().find(|entry| entry.balance == id);
        match (self.partition.balances.get(id), latest) {
            (Some(balance), latest) => {
                let (now, class) = (balance.state(), balance.class());
                Some(View {
                    state: latest.map_or(now, |entry| entry.after),
                    floor: class.floor,
                    ceiling: class.ceiling,
                    status: class.status,
                    asset: class.asset,
                    ledger: &class.ledger,
                    version_before: now.version,
                })
            }
            (None, Some(latest)) => {
                let mut entries = self.entries.iter();
                let opening = entries.find(|entry| entry.balance == id && entry.terms.is_some())?;
                let terms = opening.terms.as_deref()?;
                Some(View {
                    state: latest.after,
                    floor: terms.floor,
                    ceiling: terms.ceiling,
                    status: terms.status,
                    asset: opening.asset,
                    ledger: &terms.ledger,
                    version_before: 0,
                })
            }
            (None, None) => None,
        }
    }
}

fn expected(command: &Command, id: BalanceId, view: &View<'_>) -> bool {
    let named = command.expect.iter().find(|(balance, _)| *balance == id);
    named.is_none_or(|(_, version)| *version == view.version_before)
}

fn detail(balance: BalanceId, view: &View<'_>) -> Detail {
    Detail {
        balance,
        version: Some(view.version_before),
    }
}
