//! One side of a posting as a client names it.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ledger::id::DEFAULT_KEY;
use crate::ledger::stripes::is_striped;
use crate::ledger::{Asset, BalanceId};
use crate::wire::command::{NameBody, account_name};
use crate::wire::scalar::Str;
use crate::wire::{Invalid, InvalidKind};

/// A balance id, the bare name of an account such as `"alice"` or of a striped one such as
/// `"@world"`, or
/// `{"account": …, "key": …}`. A text of the form of a UUID is always a balance id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartyBody<'a> {
    Id(Uuid),
    Account(Str<'a>),
    AccountKey {
        account: Str<'a>,
        key: Option<Str<'a>>,
    },
}

/// The documented form of [`PartyBody`].
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Party)]
#[serde(untagged)]
pub enum PartySchema {
    /// A balance id, or the name of an account: a text of the form of a UUID is a balance id.
    #[schema(examples("alice"))]
    Text(String),
    /// An account, and the key of one of its balances.
    Parts {
        account: String,
        key: Option<String>,
    },
}

/// The documented form of one side of a posting.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Side)]
#[serde(untagged)]
pub enum SideSchema {
    One(PartySchema),
    /// 1 to 100 shares that come to the amount of the posting. Percentages are rounded down to what
    /// the asset can express; what that cuts off goes to the share with `remaining`, or else a
    /// smallest unit each to the percentages that lost something, in order.
    Shares(Vec<ShareSchema>),
}

/// One share: exactly one of `amount`, `percent` and `remaining`.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Share)]
pub struct ShareSchema {
    pub balance: PartySchema,
    #[schema(example = "0.30")]
    pub amount: Option<String>,
    /// Of the posting's amount: more than 0, at most 100, with up to 8 decimals.
    #[schema(example = "2.9")]
    pub percent: Option<String>,
    /// `true`: whatever the other shares leave.
    pub remaining: Option<bool>,
}

impl PartyBody<'_> {
    /// The balance this names in `ledger` (`organization/ledger`) and `asset`; `field` is its path
    /// in the request.
    pub fn resolve(
        &self,
        ledger: &str,
        asset: &Asset,
        field: &str,
    ) -> Result<NameBody<'_>, Invalid> {
        let (account, key) = match self {
            Self::Id(id) => return Ok(NameBody::Id(*id)),
            Self::Account(account) => (&**account, DEFAULT_KEY),
            Self::AccountKey { account, key } => {
                (&**account, key.as_deref().unwrap_or(DEFAULT_KEY))
            }
        };
        account_name(account, field)?;
        account_name(key, field)?;
        match (is_striped(account), key) {
            (false, key) => {
                let id = BalanceId::of(ledger, account, asset, key);
                Ok(NameBody::Id(id.uuid()))
            }
            (true, DEFAULT_KEY) => Ok(NameBody::Striped(account.into())),
            (true, _) => {
                let detail = "names a stripe of a striped account; leave the key out";
                Err(Invalid::new(InvalidKind::ReservedAccount, field, detail))
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PartyBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartyVisitor)
    }
}

struct PartyVisitor;

fn hyphenated(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::parse_str(text).ok())
        .flatten()
}

impl<'de> Visitor<'de> for PartyVisitor {
    type Value = PartyBody<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a balance id, an account's name or {\"account\", \"key\"}")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(hyphenated(text).map_or_else(|| PartyBody::Account(text.into()), PartyBody::Id))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let account = || PartyBody::Account(Str(text.to_owned().into()));
        Ok(hyphenated(text).map_or_else(account, PartyBody::Id))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut account, mut key) = (None, None);
        while let Some(name) = map.next_key::<Str<'de>>()? {
            let (slot, name) = match &*name {
                "account" => (&mut account, "account"),
                "key" => (&mut key, "key"),
                other => return Err(de::Error::unknown_field(other, &["account", "key"])),
            };
            if slot.replace(map.next_value::<Str<'de>>()?).is_some() {
                return Err(de::Error::duplicate_field(name));
            }
        }
        let account = account.ok_or_else(|| de::Error::missing_field("account"))?;
        Ok(PartyBody::AccountKey { account, key })
    }
}
