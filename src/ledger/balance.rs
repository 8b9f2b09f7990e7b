//! A balance: what it holds, what bounds it, and what "available" means.

use super::amount::within;
use super::asset::Asset;

/// The amounts of a balance, in minor units of its asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The settled sum.
    pub posted: i128,
    /// Reserved debits, never negative.
    pub held: i128,
    /// Reserved credits, never negative.
    pub incoming: i128,
    /// The number of entries so far (L3).
    pub version: u64,
}

/// A floor or a ceiling; absent means unlimited.
pub type Limit = Option<i128>;

/// What a balance may do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    #[default]
    Open = 0,
    DebitsFrozen = 1,
    CreditsFrozen = 2,
    Frozen = 3,
    Closed = 4,
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::DebitsFrozen,
        Self::CreditsFrozen,
        Self::Frozen,
        Self::Closed,
    ];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::DebitsFrozen => "debits-frozen",
            Self::CreditsFrozen => "credits-frozen",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.slug() == slug)
    }

    pub fn debits_frozen(self) -> bool {
        matches!(self, Self::DebitsFrozen | Self::Frozen)
    }

    pub fn credits_frozen(self) -> bool {
        matches!(self, Self::CreditsFrozen | Self::Frozen)
    }
}

/// A balance as a partition keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    pub state: State,
    pub floor: Limit,
    pub ceiling: Limit,
    pub status: Status,
    pub asset: Asset,
    /// The last command that changed it.
    pub offset: u64,
    /// `organization/ledger`.
    pub ledger: std::sync::Arc<str>,
    /// `account/key`.
    pub name: Box<str>,
}

impl Balance {
    /// `account/key`, in no more bytes than that.
    pub fn name(account: &str, key: &str) -> Box<str> {
        [account, "/", key].concat().into_boxed_str()
    }

    pub fn account(&self) -> &str {
        self.name
            .split_once('/')
            .map_or(&self.name, |(account, _)| account)
    }

    pub fn key(&self) -> &str {
        self.name.split_once('/').map_or("", |(_, key)| key)
    }
}

impl State {
    /// `posted − held − floor`: what can still be debited; absent without a floor.
    pub fn available(&self, floor: Limit) -> Option<i128> {
        floor.map(|floor| self.posted.saturating_sub(self.held).saturating_sub(floor))
    }

    /// Whether no debit has gone below `floor` (L2).
    pub fn above(&self, floor: Limit) -> bool {
        self.available(floor).is_none_or(|available| available >= 0)
    }

    /// Whether no credit, posted or reserved, has gone over `ceiling` (L2).
    pub fn below(&self, ceiling: Limit) -> bool {
        ceiling.is_none_or(|ceiling| self.posted.saturating_add(self.incoming) <= ceiling)
    }

    /// Whether every amount prints and no reservation is negative.
    pub fn sound(&self) -> bool {
        within(self.posted)
            && (0..=super::amount::MAX).contains(&self.held)
            && (0..=super::amount::MAX).contains(&self.incoming)
    }
}
