//! Answers: balances as a client reads them.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::wire::balance::BalanceBody;
use crate::wire::scalar::{Money, Str, Time};

/// A balance, and how fresh this view of it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
pub struct BalanceView<'a> {
    pub id: Uuid,
    #[schema(value_type = String)]
    pub ledger: Str<'a>,
    #[schema(value_type = String)]
    pub account: Str<'a>,
    #[schema(value_type = String)]
    pub key: Str<'a>,
    #[schema(value_type = String)]
    pub asset: Str<'a>,
    /// The settled sum.
    #[schema(value_type = String)]
    pub posted: Money,
    /// Reserved debits.
    #[schema(value_type = String)]
    pub held: Money,
    /// Reserved credits.
    #[schema(value_type = String)]
    pub incoming: Money,
    /// `null` is unlimited.
    #[schema(value_type = Option<String>)]
    pub floor: Option<Money>,
    #[schema(value_type = Option<String>)]
    pub ceiling: Option<Money>,
    /// `posted − held − floor`; `null` is unlimited.
    #[schema(value_type = Option<String>)]
    pub available: Option<Money>,
    /// `open`, `debits-frozen`, `credits-frozen`, `frozen` or `closed`.
    #[schema(value_type = String)]
    pub status: Str<'a>,
    /// The number of its entries; also the `ETag`.
    pub version: u64,
    /// `hot` or `cold`; of a balance as it would be, `dry-run`.
    #[schema(value_type = String)]
    pub source: &'static str,
    /// Every change up to this moment is in it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Time>,
}

/// A balance as it stood at a time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PastBalance)]
pub struct PastBalanceView<'a> {
    pub id: Uuid,
    #[schema(value_type = String)]
    pub ledger: Str<'a>,
    #[schema(value_type = String)]
    pub account: Str<'a>,
    #[schema(value_type = String)]
    pub key: Str<'a>,
    #[schema(value_type = String)]
    pub asset: Str<'a>,
    #[schema(value_type = String)]
    pub posted: Money,
    #[schema(value_type = String)]
    pub held: Money,
    #[schema(value_type = String)]
    pub incoming: Money,
    pub version: u64,
    /// The time asked for.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Always `cold`.
    #[schema(value_type = String)]
    pub source: &'static str,
    /// Every change up to this moment is in it; if that is before `at`, later ones may follow.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Time>,
}

/// What a balance had posted by everything that took effect up to a date.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EffectiveBalance)]
pub struct EffectiveBalanceView<'a> {
    pub id: Uuid,
    #[schema(value_type = String)]
    pub ledger: Str<'a>,
    #[schema(value_type = String)]
    pub account: Str<'a>,
    #[schema(value_type = String)]
    pub key: Str<'a>,
    #[schema(value_type = String)]
    pub asset: Str<'a>,
    #[schema(value_type = String)]
    pub posted: Money,
    /// The date asked for.
    #[schema(value_type = String, format = DateTime)]
    pub effective_at: Time,
    /// Always `cold`.
    #[schema(value_type = String)]
    pub source: &'static str,
    /// Every change up to this moment is in it; later ones may be dated back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Time>,
}

impl<'a> BalanceView<'a> {
    /// The view of a snapshot read from `source`.
    pub fn of(balance: BalanceBody<'a>, source: &'static str, as_of: Option<Time>) -> Self {
        let available = balance.floor.and_then(|floor| {
            balance
                .posted
                .0
                .checked_sub(balance.held.0)?
                .checked_sub(floor.0)
                .map(Money)
        });
        Self {
            id: balance.id,
            ledger: balance.ledger,
            account: balance.account,
            key: balance.key,
            asset: balance.asset,
            posted: balance.posted,
            held: balance.held,
            incoming: balance.incoming,
            floor: balance.floor,
            ceiling: balance.ceiling,
            available,
            status: balance.status,
            version: balance.version,
            source,
            as_of,
        }
    }
}
