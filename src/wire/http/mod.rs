//! HTTP bodies: what a client may write, and what it reads.
//!
//! A request is a convenient spelling of a [`super::CommandBody`]: the ledger defaults to
//! [`DEFAULT_LEDGER`], the type to a transfer, and a balance may be named by its account. It
//! becomes the same [`crate::ledger::Command`] as a record on `commands`, through the same checks,
//! so the same content has the same fingerprint on both roads.
//!
//! Knows nothing of HTTP statuses or headers.

pub mod balance;
pub mod balance_view;
pub mod hold;
pub mod list;
pub mod party;
pub mod period;
pub mod problem;
pub mod request;
pub mod reversal;
pub mod transaction;
pub mod view;

#[cfg(test)]
mod tests;

pub use balance::{ConfigureRequest, OpenRequest};
pub use balance_view::{BalanceView, EffectiveBalanceView, PastBalanceView};
pub use hold::{BalanceHoldsView, HoldView, KnownHold, OnHoldRequest};
pub use list::{BatchResultView, BatchView, DryRunView, PageView};
pub use party::PartyBody;
pub use period::{ClosePeriodRequest, ClosedPeriodView};
pub use problem::ProblemBody;
pub use reversal::{KnownOriginal, ReversePart, ReverseRequest, SumView};
pub use transaction::TransactionRequest;
pub use view::{EntryView, TransactionView};

/// The ledger of a request that names none, in the default organization.
pub const DEFAULT_LEDGER: &str = "main";

/// Parts a client's reference from the number of a resubmission; no client may write it itself.
pub const RETRY_MARK: char = '#';
