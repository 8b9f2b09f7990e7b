//! The rules of money, as pure functions over one partition's state.
//!
//! [`Partition::apply`] decides one record of the `commands` log and folds the decision into the
//! state: the same records give the same outcomes, whoever computes them. That is what makes a
//! second owner of a partition harmless.
//!
//! | rule | says |
//! |---|---|
//! | **L1** zero-sum | per asset, `posted` sums to zero in every partition at every offset; money on the wire stands on `transit` balances |
//! | **L2** floor and ceiling | no debit takes available below the floor, no credit takes a balance over its ceiling; holds count |
//! | **L3** contiguous | a balance's version is the number of its entries |
//! | **L4** once | a reference has one outcome within the dedupe horizon; a rejection is an outcome too |
//! | **L5** log time | time is the record's timestamp, never a clock |
//! | **L6** whole | a transaction over any number of balances and partitions is applied whole or not at all |
//! | **L7** reserved | what is held on the balances of a partition is what its open holds have left there |
//! | **L8** no more than the original | what is reversed of a posting is never more than was posted of it |
//!
//! Deciding ([`decide`]) only reads; folding ([`fold`]) is the one place that writes, and a
//! takeover rebuilds its state with the very same fold. The rules are asserted there, in release
//! builds too: a broken one stops the partition before anything of it is visible.
//!
//! Knows nothing of I/O, clocks, randomness, serialization, logging or configuration.
#![deny(clippy::arithmetic_side_effects)]

pub mod amount;
pub mod asset;
pub mod balance;
pub mod chain;
mod chunks;
pub mod command;
pub mod decide;
mod draft;
pub mod fold;
mod frame;
pub mod hold;
pub mod holds;
pub mod id;
pub mod outcome;
mod pages;
pub mod partition;
pub mod period;
mod pool;
pub mod rehearsal;
pub mod rejection;
mod reserve;
mod resident;
mod reverse;
pub mod route;
pub mod rules;
pub mod seen;
mod shelf;
pub mod split;
pub mod stripes;
mod terms;
mod visit;
pub mod walk;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "overflow fails a test")]
mod properties;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "overflow fails a test")]
mod tests;

pub use amount::{Amount, AmountError};
pub use asset::Asset;
pub use balance::{Balance, Limit, State, Status};
pub use command::{
    Body, ClosePeriod, Command, Configure, Note, Open, Post, Posting, ReplyTo, Reverse, Stripe,
    Target,
};
pub use hold::{Hold, HoldSums, Part, Portion, Stage};
pub use holds::Holds;
pub use id::{BalanceId, TransactionId};
pub use outcome::{Decision, Detail, Direction, Effects, Entry, Mark, Outcome, Terms};
pub use partition::{Cut, Partition, Setting};
pub use rejection::Rejection;
pub use route::{PartitionId, partition_of};
pub use rules::{RULES_FIRST, RULES_KNOWN, Raise, Rules};
pub use seen::{Fingerprint, Seen, SeenKey, SeenMap};
pub use walk::{Carried, Leg, Record, Step};
