//! One side of a posting: a balance, or a list of shares.
//!
//! A split is resolved to plain postings as the command is read, from the command alone, so what it
//! comes to has the fingerprint of the same postings written out.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{
    BorrowedStrDeserializer, MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer,
};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::ledger::Asset;
use crate::ledger::amount::{Amount, minor_of};
use crate::ledger::command::POSTINGS_MAX;
use crate::ledger::split::{PERCENT_SCALE, Percent, Share, share_out};
use crate::wire::invalid::{Invalid, InvalidKind};
use crate::wire::object::Object;
use crate::wire::scalar::Money;

/// A balance, or how the posting's amount is shared out; `P` is how a balance is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideBody<P> {
    One(P),
    Shares(Vec<ShareBody<P>>),
}

/// One share: exactly one of `amount`, `percent` and `remaining`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareBody<P> {
    pub balance: P,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Of the posting's whole amount: more than 0, at most 100, with up to 8 decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Money>,
    /// Whatever the other shares leave; only ever `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<bool>,
}

impl<P> SideBody<P> {
    /// The same side with its balances named in another way; `field` is its path.
    pub fn try_map<'s, Q, E>(
        &'s self,
        field: &str,
        mut name: impl FnMut(&'s P, &str) -> Result<Q, E>,
    ) -> Result<SideBody<Q>, E> {
        let shares = match self {
            Self::One(balance) => return name(balance, field).map(SideBody::One),
            Self::Shares(shares) => shares.iter().enumerate(),
        };
        let renamed = shares.map(|(at, share)| {
            Ok(ShareBody {
                balance: name(&share.balance, &format!("{field}[{at}].balance"))?,
                amount: share.amount,
                percent: share.percent,
                remaining: share.remaining,
            })
        });
        renamed.collect::<Result<_, _>>().map(SideBody::Shares)
    }
}

impl<P: Clone> SideBody<P> {
    /// Each balance and its minor units of `amount`, in order; who gets nothing is left out.
    pub(super) fn parts(
        &self,
        amount: Amount,
        asset: Asset,
        field: impl Fn() -> String,
    ) -> Result<Vec<(P, i128)>, Invalid> {
        let shares = match self {
            Self::One(balance) => return Ok(vec![(balance.clone(), amount.minor())]),
            Self::Shares(shares) => shares,
        };
        let refuse = |detail: String| Invalid::new(InvalidKind::InvalidSplit, field(), detail);
        if shares.is_empty() || shares.len() > POSTINGS_MAX {
            let count = shares.len();
            return Err(refuse(format!(
                "must have 1 to {POSTINGS_MAX} shares, has {count}"
            )));
        }
        let read = shares.iter().enumerate();
        let read = read.map(|(at, share)| share.read(asset, || format!("{}[{at}]", field())));
        let read: Vec<Share> = read.collect::<Result<_, _>>()?;
        let minor = share_out(amount, &read).map_err(|error| refuse(format!("shares {error}")))?;
        let parts = shares.iter().zip(minor).filter(|(_, minor)| *minor > 0);
        Ok(parts
            .map(|(share, minor)| (share.balance.clone(), minor))
            .collect())
    }
}

impl<P> ShareBody<P> {
    fn read(&self, asset: Asset, field: impl Fn() -> String) -> Result<Share, Invalid> {
        let wrong = |part: &str, kind, error: String| {
            Err(Invalid::new(kind, format!("{}{part}", field()), error))
        };
        match (self.amount, self.percent, self.remaining) {
            (Some(amount), None, None) => match Amount::from_decimal(amount.0, asset.scale()) {
                Ok(amount) => Ok(Share::Fixed(amount)),
                Err(error) => wrong(".amount", InvalidKind::InvalidAmount, error.to_string()),
            },
            (None, Some(percent), None) => match minor_of(percent.0, PERCENT_SCALE) {
                Ok(units) => match Percent::new(units) {
                    Ok(percent) => Ok(Share::Percent(percent)),
                    Err(error) => wrong(".percent", InvalidKind::InvalidSplit, error.to_string()),
                },
                Err(_) => {
                    let detail = format!("has more than {PERCENT_SCALE} decimals or 28 digits");
                    wrong(".percent", InvalidKind::InvalidSplit, detail)
                }
            },
            (None, None, Some(true)) => Ok(Share::Remaining),
            _ => {
                let detail = "must have exactly one of amount, percent and \"remaining\": true";
                wrong("", InvalidKind::InvalidSplit, detail.to_owned())
            }
        }
    }
}

impl<P: Serialize> Serialize for SideBody<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(balance) => balance.serialize(serializer),
            Self::Shares(shares) => shares.serialize(serializer),
        }
    }
}

impl<'de, P: Deserialize<'de>> Deserialize<'de> for SideBody<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SideVisitor(PhantomData))
    }
}

struct SideVisitor<P>(PhantomData<P>);

impl<'de, P: Deserialize<'de>> Visitor<'de> for SideVisitor<P> {
    type Value = SideBody<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a balance or a list of shares")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        P::deserialize(BorrowedStrDeserializer::new(text)).map(SideBody::One)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        P::deserialize(StrDeserializer::new(text)).map(SideBody::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        P::deserialize(MapAccessDeserializer::new(map)).map(SideBody::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let shares = Vec::<Object<ShareBody<P>>>::deserialize(SeqAccessDeserializer::new(seq))?;
        let shares = shares.into_iter().map(|Object(share)| share);
        Ok(SideBody::Shares(shares.collect()))
    }
}
