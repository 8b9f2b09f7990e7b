//! What has a snapshot of its own.

use super::record::{hold_key, snapshot_key};
use crate::ledger::{BalanceId, TransactionId};

/// A balance, or a hold as one partition keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Balance(BalanceId),
    Hold(TransactionId),
}

impl Subject {
    /// The key of its record on `snapshots`.
    pub fn key(self) -> String {
        match self {
            Self::Balance(id) => snapshot_key(id),
            Self::Hold(id) => hold_key(id),
        }
    }
}
