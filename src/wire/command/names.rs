//! How a command names a balance: by its id, or a striped account by its name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::check::account_name;
use crate::ledger::command::{Party, Stripe};
use crate::ledger::id::{DEFAULT_KEY, WORLD};
use crate::ledger::stripes::{is_striped, stripes};
use crate::ledger::{Asset, BalanceId, PartitionId, partition_of};
use crate::wire::invalid::{Invalid, InvalidKind};
use crate::wire::scalar::Str;

/// A balance id, or the name of a striped account such as `"@world"` or `"@fees"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameBody<'a> {
    Id(Uuid),
    Striped(Str<'a>),
}

impl Serialize for NameBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Id(id) => id.serialize(serializer),
            Self::Striped(account) => account.serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for NameBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = NameBody<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a balance id, or the name of a striped account such as \"@world\"")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        match is_striped(text) {
            true => Ok(NameBody::Striped(text.into())),
            false => Uuid::parse_str(text).map(NameBody::Id).map_err(E::custom),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match is_striped(text) {
            true => Ok(NameBody::Striped(Str(text.to_owned().into()))),
            false => Uuid::parse_str(text).map(NameBody::Id).map_err(E::custom),
        }
    }
}

/// Accounts remembered before the memory starts anew.
const REMEMBERED_MAX: usize = 4096;

/// A balance as it was named: which stripe of a striped account it is, the other side says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// Of a striped account, the balance of its key `default`.
    pub(super) id: BalanceId,
    family: Option<usize>,
}

impl Named {
    /// A balance by its id.
    pub(super) fn plain(id: BalanceId) -> Self {
        Self { id, family: None }
    }
}

/// A striped account.
#[derive(Debug)]
struct Family {
    ledger: Arc<str>,
    account: Box<str>,
    asset: Asset,
    /// The balance of its key `default`.
    whole: BalanceId,
    /// By partition; empty until one is needed.
    stripes: Vec<Stripe>,
}

/// Finds what names mean, and remembers the striped accounts it has met.
#[derive(Debug)]
pub(super) struct Names {
    count: PartitionId,
    families: Vec<Family>,
    by_ledger: HashMap<(Arc<str>, Asset), Vec<usize>>,
}

impl Names {
    /// Of a log of `count` partitions.
    pub(super) fn new(count: PartitionId) -> Self {
        Self {
            count,
            families: Vec::new(),
            by_ledger: HashMap::new(),
        }
    }

    /// Starts anew if too much is remembered; never while a [`Named`] is in use.
    pub(super) fn bound(&mut self) {
        if self.families.len() > REMEMBERED_MAX {
            self.families.clear();
            self.by_ledger.clear();
        }
    }

    /// The world of a ledger in an asset.
    pub(super) fn world(&mut self, ledger: &Arc<str>, asset: Asset) -> Named {
        self.striped(ledger, asset, WORLD)
    }

    /// What `name` means in `ledger` and `asset`; `field` is its path.
    pub(super) fn find(
        &mut self,
        name: &NameBody<'_>,
        (ledger, asset): (&Arc<str>, Asset),
        field: &str,
    ) -> Result<Named, Invalid> {
        let account = match name {
            NameBody::Striped(account) => account,
            NameBody::Id(id) => {
                let (plain, world) = (Named::plain(BalanceId::new(*id)), self.world(ledger, asset));
                return Ok(if plain.id == world.id { world } else { plain });
            }
        };
        account_name(account, field)?;
        if account.len() < 2 {
            let detail = "must name a striped account, such as @world";
            return Err(Invalid::new(InvalidKind::InvalidBalance, field, detail));
        }
        Ok(self.striped(ledger, asset, account))
    }

    fn striped(&mut self, ledger: &Arc<str>, asset: Asset, account: &str) -> Named {
        let known = self.by_ledger.entry((ledger.clone(), asset)).or_default();
        let same = |at: &&usize| {
            self.families
                .get(**at)
                .is_some_and(|f| &*f.account == account)
        };
        let at = match known.iter().find(same) {
            Some(at) => *at,
            None => {
                let at = self.families.len();
                known.push(at);
                self.families.push(Family {
                    ledger: ledger.clone(),
                    account: account.into(),
                    asset,
                    whole: BalanceId::of(ledger, account, &asset, DEFAULT_KEY),
                    stripes: Vec::new(),
                });
                at
            }
        };
        let id = self.families[at].whole;
        let family = Some(at);
        Named { id, family }
    }

    /// The two sides of a posting. A stripe is the one that is where the other side is; of two
    /// striped accounts, where the source's balance of the key `default` would be.
    pub(super) fn sides(
        &mut self,
        (source, destination): (Named, Named),
        used: &mut Vec<Stripe>,
    ) -> (Party, Party) {
        let place = match destination.family {
            Some(_) => source.id,
            None => destination.id,
        };
        let place = partition_of(place, self.count);
        let source = self.party(source, place, used);
        (source, self.party(destination, place, used))
    }

    fn party(&mut self, named: Named, place: PartitionId, used: &mut Vec<Stripe>) -> Party {
        let family = named.family.and_then(|at| self.families.get_mut(at));
        let Some(family) = family else {
            return Party {
                id: named.id,
                striped: false,
            };
        };
        if family.stripes.is_empty() {
            let Family {
                ledger,
                account,
                asset,
                ..
            } = family;
            family.stripes = stripes(ledger, account, asset, self.count);
        }
        let stripe = family.stripes.get(usize::from(place));
        let stripe = stripe.expect("a striped account has a stripe in every partition");
        if !used.iter().any(|known| known.id == stripe.id) {
            used.push(stripe.clone());
        }
        Party {
            id: stripe.id,
            striped: true,
        }
    }
}
