//! Which balance a name means.

use std::collections::HashMap;

use uuid::Uuid;

use super::way::partition_of;
use crate::ledger::{BalanceId, PartitionId};

/// One sub-balance of a striped account.
#[derive(Clone, Debug)]
pub(super) struct Stripe {
    pub(super) id: Uuid,
    pub(super) account: String,
    pub(super) key: String,
}

/// A side of a posting as it is named.
enum Named {
    One(Uuid),
    /// An account that has a sub-balance in every partition.
    Striped(String),
}

#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) count: PartitionId,
    /// What was found before: by ledger, account and asset, and by partition.
    found: HashMap<(String, PartitionId), Stripe>,
}

impl Names {
    pub(super) fn new(count: PartitionId) -> Self {
        let found = HashMap::new();
        Self { count, found }
    }

    /// Both sides of a posting, and those of them that are sub-balances.
    ///
    /// A sub-balance is the one in the partition of the other side. If that is striped as well,
    /// both are where the giving account's balance of the key `default` would be.
    pub(super) fn sides(
        &mut self,
        (ledger, asset): (&str, &str),
        (from, to): (&str, &str),
    ) -> Result<([Uuid; 2], Vec<Stripe>), String> {
        let (from, to) = (named(ledger, asset, from)?, named(ledger, asset, to)?);
        let whole = |named: &Named| match named {
            Named::One(id) => *id,
            Named::Striped(account) => balance(ledger, account, asset, "default"),
        };
        let place = match &to {
            Named::One(id) => *id,
            Named::Striped(_) => whole(&from),
        };
        let place = partition_of(BalanceId::new(place), self.count);
        let mut stripes = Vec::new();
        let mut side = |named| match named {
            Named::One(id) => id,
            Named::Striped(account) => {
                let stripe = self.stripe((ledger, asset), account, place);
                stripes.push(stripe.clone());
                stripe.id
            }
        };
        let sides = [side(from), side(to)];
        Ok((sides, stripes))
    }

    /// The first of the keys `default`, `1`, `2`… whose balance is in the partition.
    fn stripe(
        &mut self,
        (ledger, asset): (&str, &str),
        account: String,
        place: PartitionId,
    ) -> Stripe {
        let whole = format!("{ledger}/{account}/{asset}");
        let (known, count) = (self.found.get(&(whole.clone(), place)), self.count);
        if let Some(stripe) = known {
            return stripe.clone();
        }
        let numbers = (1_u64..).map(|number| number.to_string());
        let keys = std::iter::once("default".to_owned()).chain(numbers);
        let mut all = keys.map(|key| (balance(ledger, &account, asset, &key), key));
        let first = all.find(|(id, _)| partition_of(BalanceId::new(*id), count) == place);
        let (id, key) = first.expect("every partition has some");
        let stripe = Stripe { id, account, key };
        self.found.insert((whole, place), stripe.clone());
        stripe
    }
}

/// The id that anybody can compute.
pub(super) fn balance(ledger: &str, account: &str, asset: &str, key: &str) -> Uuid {
    of(&format!("{ledger}/{account}/{asset}/{key}"))
}

/// What shows the money on one way between two partitions.
pub(super) struct Purse {
    pub(super) id: Uuid,
    pub(super) account: String,
    pub(super) key: String,
}

/// The ledger of all purses.
pub(super) const PURSES: &str = "@system/transit";

/// The purse in partition `here` of the way `from` one partition `to` another: of one ledger, or
/// of all.
pub(super) fn purse(
    (from, to): (PartitionId, PartitionId),
    here: PartitionId,
    ledger: Option<&str>,
    asset: &str,
) -> Purse {
    let account = format!("transit:{from}>{to}");
    let key = match ledger {
        Some(ledger) => format!("{here}:{ledger}"),
        None => here.to_string(),
    };
    let id = balance(PURSES, &account, asset, &key);
    Purse { id, account, key }
}

pub(super) fn of(path: &str) -> Uuid {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"steelyard.balance");
    Uuid::new_v5(&namespace, path.as_bytes())
}

/// The world's own balance, named by its id, is the world.
fn named(ledger: &str, asset: &str, name: &str) -> Result<Named, String> {
    if name.starts_with('@') {
        return Ok(Named::Striped(name.to_owned()));
    }
    let id = Uuid::parse_str(name).map_err(|_| format!("{name} names no balance"))?;
    match id == balance(ledger, "@world", asset, "default") {
        true => Ok(Named::Striped("@world".to_owned())),
        false => Ok(Named::One(id)),
    }
}
