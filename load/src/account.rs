//! Balances by name, with the id and partition that any producer can compute without asking.

use steelyard::ledger::{Asset, BalanceId, partition_of};
use uuid::Uuid;

/// A balance id as the text that is the key of its commands.
pub type Key = [u8; 36];

/// The asset of everything that is played here.
pub const ASSET: &str = "USD/2";

#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    pub id: Uuid,
    pub key: Key,
    pub partition: u16,
}

/// Where accounts are opened: a ledger of the default organization, on a log of so many partitions.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub name: String,
    pub partitions: u16,
}

impl Ledger {
    pub fn account(&self, name: &str) -> Account {
        let organization = steelyard::wire::command::DEFAULT_ORGANIZATION;
        let ledger = format!("{organization}/{}", self.name);
        let asset = Asset::parse(ASSET).expect("the asset is well formed");
        let id = BalanceId::of(&ledger, name, &asset, steelyard::ledger::id::DEFAULT_KEY);
        self.at(name, id)
    }

    fn at(&self, name: &str, id: BalanceId) -> Account {
        let mut key = [0; 36];
        id.uuid().as_hyphenated().encode_lower(&mut key);
        Account {
            name: name.to_owned(),
            id: id.uuid(),
            key,
            partition: partition_of(id, self.partitions),
        }
    }

    /// The balances that together are the world, one in each partition.
    pub fn worlds(&self) -> Vec<uuid::Uuid> {
        let ledger = format!(
            "{}/{}",
            steelyard::wire::command::DEFAULT_ORGANIZATION,
            self.name
        );
        let asset = Asset::parse(ASSET).expect("the asset is well formed");
        let world = steelyard::ledger::id::WORLD;
        let stripes = steelyard::ledger::stripes::stripes(&ledger, world, &asset, self.partitions);
        stripes.into_iter().map(|stripe| stripe.id.uuid()).collect()
    }

    /// What stands for its periods: the key of the commands that close them.
    pub fn period(&self) -> Account {
        let organization = steelyard::wire::command::DEFAULT_ORGANIZATION;
        let ledger = format!("{organization}/{}", self.name);
        self.at("period", BalanceId::period(&ledger))
    }

    /// Where money enters.
    pub fn world(&self) -> Account {
        self.account(steelyard::ledger::id::WORLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_where_the_ledger_looks_for_it() {
        let ledger = Ledger {
            name: "load-1".to_owned(),
            partitions: 8,
        };
        let world = ledger.world();
        let asset = Asset::parse(ASSET).unwrap();
        assert_eq!(world.id, BalanceId::world("default/load-1", &asset).uuid());
        assert_eq!(world.key, world.id.to_string().as_bytes());
        assert!(world.partition < 8);
    }
}
