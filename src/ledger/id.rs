//! Identifiers: every one of them can be computed from what it names.

use std::fmt;

use uuid::Uuid;

use super::asset::Asset;
use super::route::PartitionId;

/// The UUIDv5 namespace of balance ids: the UUIDv5 of `steelyard.balance` in the DNS namespace.
pub const NAMESPACE: Uuid = Uuid::from_u128(0xd7b1_a9dc_da80_5e7f_bc55_0545_de82_8618);

/// The key of a balance that names none.
pub const DEFAULT_KEY: &str = "default";

/// The unlimited account of every ledger: money enters and leaves through it.
pub const WORLD: &str = "@world";

/// One balance: account × asset × key in one ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BalanceId(Uuid);

impl BalanceId {
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The id of `organization/ledger/account/asset/key`, where `ledger` is
    /// `organization/ledger`: any producer can compute it without asking.
    pub fn of(ledger: &str, account: &str, asset: &Asset, key: &str) -> Self {
        Self(Uuid::new_v5(
            &NAMESPACE,
            format!("{ledger}/{account}/{asset}/{key}").as_bytes(),
        ))
    }

    /// The world balance of a ledger in an asset.
    pub fn world(ledger: &str, asset: &Asset) -> Self {
        Self::of(ledger, WORLD, asset, DEFAULT_KEY)
    }

    /// What stands for the periods of a ledger: no balance has this id, its partition is the first
    /// to close one.
    pub fn period(ledger: &str) -> Self {
        Self(Uuid::new_v5(
            &NAMESPACE,
            format!("{ledger}/@period").as_bytes(),
        ))
    }

    /// The system balance that shows, in partition `at`, what went from one partition to another,
    /// of one `ledger` or of all. The two partitions have one each, so the pair of mirrors shows
    /// the money on the wire.
    pub fn transit(
        (from, to): (PartitionId, PartitionId),
        at: PartitionId,
        ledger: Option<&str>,
        asset: &Asset,
    ) -> Self {
        let account = transit_account(from, to);
        Self::of(TRANSIT_LEDGER, &account, asset, &transit_key(at, ledger))
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }
}

/// The ledger that transit balances stand in; no client ledger can have this name.
pub const TRANSIT_LEDGER: &str = "@system/transit";

/// The account of the transit balances from one partition to another.
pub fn transit_account(from: PartitionId, to: PartitionId) -> String {
    format!("transit:{from}>{to}")
}

/// The key of a transit balance: the partition it is in, and the ledger whose money passes it, if
/// it is not shared by all.
pub fn transit_key(at: PartitionId, ledger: Option<&str>) -> String {
    match ledger {
        None => at.to_string(),
        Some(ledger) => format!("{at}:{ledger}"),
    }
}

/// The ledger that a transit balance of this key is kept for, if it is not shared by all.
pub fn transit_ledger(key: &str) -> Option<&str> {
    key.split_once(':').map(|(_, ledger)| ledger)
}

impl fmt::Display for BalanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BalanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A transaction: a UUIDv8 that holds its home partition and command offset, so that whoever
/// has the id knows where it was decided. 46 bits of the log's generation keep ids of different
/// logs apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(Uuid);

const OFFSET_BITS: u32 = 60;
const LOW_BITS: u32 = 12;
const TAG_BITS: u32 = 46;

impl TransactionId {
    /// # Panics
    /// If the offset needs more than 60 bits.
    pub fn new(home: PartitionId, offset: u64, generation: Uuid) -> Self {
        assert!(offset >> OFFSET_BITS == 0, "an offset has at most 60 bits");
        let tag = u64::try_from(generation.as_u128() & ((1 << TAG_BITS) - 1)).unwrap_or(0);
        let high = u128::from(offset >> LOW_BITS) << 80;
        let low = u128::from(offset & ((1 << LOW_BITS) - 1)) << 64;
        let rest = (u128::from(home) << TAG_BITS) | u128::from(tag);
        let version = 0x8_u128 << 76;
        let variant = 0b10_u128 << 62;
        Self(Uuid::from_u128(high | version | low | variant | rest))
    }

    /// Reads a UUID back, if it has the form of a transaction id.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        let form = uuid.get_version_num() == 8 && uuid.as_u128() >> 62 & 0b11 == 0b10;
        form.then_some(Self(uuid))
    }

    pub fn home(self) -> PartitionId {
        PartitionId::try_from(self.0.as_u128() >> TAG_BITS & 0xffff).unwrap_or_default()
    }

    pub fn offset(self) -> u64 {
        let value = self.0.as_u128();
        let high = u64::try_from(value >> 80).unwrap_or_default();
        let low = u64::try_from(value >> 64 & ((1 << LOW_BITS) - 1)).unwrap_or_default();
        high << LOW_BITS | low
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
