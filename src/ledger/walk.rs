//! The walk: a transaction over several partitions, one stop after the other.
//!
//! Home is the partition of the first source. Then come the other partitions with debits, then
//! those with credits only, each in the order the postings name them. The last stop decides.
//! If a stop refuses, the walk turns back there: each stop undoes its own part and hands the money
//! to the one before it, over the pair of transit balances that it came by. Taking back what one
//! gave always fits, so a walk back cannot be refused.
//!
//! Where the money goes is a function of the command alone, so every stop computes the same walk
//! and a leg carries nothing but the command, its place and the money taken so far.

use std::sync::Arc;

use super::amount::Amount;
use super::asset::Asset;
use super::command::{Command, Posting};
use super::id::{BalanceId, TransactionId};
use super::partition::Setting;
use super::rejection::Rejection;
use super::route::{PartitionId, partition_of};

/// Money of one asset on the wire, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    pub asset: Asset,
    pub amount: i128,
}

/// The part of a transaction that another partition must do. Legs from one partition to another
/// are numbered 1, 2, 3…; the receiver applies only the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub from: PartitionId,
    pub to: PartitionId,
    pub number: u64,
    /// A balance of `to`: the record's key.
    pub key: BalanceId,
    pub step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Do your part and pass on, or decide if you are the last.
    Visit {
        transaction: TransactionId,
        command: Arc<Command>,
        carried: Vec<Carried>,
    },
    /// It was accepted: post the credits you reserved.
    Settle {
        transaction: TransactionId,
        command: Arc<Command>,
        carried: Vec<Carried>,
    },
    /// It was refused: give back what you took, release what you reserved, and hand the rest to the
    /// stop before you.
    Unwind {
        transaction: TransactionId,
        command: Arc<Command>,
        carried: Vec<Carried>,
        reason: Rejection,
    },
    /// A repeat of a walked transaction: whoever decided it answers.
    Question {
        transaction: TransactionId,
        command: Arc<Command>,
    },
    /// A record that arrived on the wrong partition, whole; its origin is the sender.
    Forward {
        command: Arc<Command>,
        origin_offset: u64,
    },
}

impl Step {
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Visit { .. } => "visit",
            Self::Settle { .. } => "settle",
            Self::Unwind { .. } => "unwind",
            Self::Question { .. } => "question",
            Self::Forward { .. } => "forward",
        }
    }

    pub fn command(&self) -> &Arc<Command> {
        match self {
            Self::Visit { command, .. }
            | Self::Settle { command, .. }
            | Self::Unwind { command, .. }
            | Self::Question { command, .. }
            | Self::Forward { command, .. } => command,
        }
    }

    pub fn transaction(&self) -> Option<TransactionId> {
        match self {
            Self::Visit { transaction, .. }
            | Self::Settle { transaction, .. }
            | Self::Unwind { transaction, .. }
            | Self::Question { transaction, .. } => Some(*transaction),
            Self::Forward { .. } => None,
        }
    }

    pub fn carried(&self) -> &[Carried] {
        match self {
            Self::Visit { carried, .. }
            | Self::Settle { carried, .. }
            | Self::Unwind { carried, .. } => carried,
            Self::Question { .. } | Self::Forward { .. } => &[],
        }
    }
}

/// One record of `commands`, as the recognise phase understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Command(Arc<Command>),
    /// A leg whose MAC was verified.
    Leg(Leg),
    /// The first record of the log.
    Genesis(Setting),
    /// It can never be understood; the caller writes it to the dead letters.
    DeadLetter,
}

/// A partition that the walk passes, with a balance there that serves as the legs' key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub partition: PartitionId,
    pub key: BalanceId,
}

/// The stops of `postings` among `count` partitions, home first.
pub fn stops(postings: &[Posting], count: PartitionId) -> Vec<Stop> {
    let mut stops: Vec<Stop> = Vec::new();
    let sources = postings.iter().map(|posting| posting.source.id);
    let destinations = postings.iter().map(|posting| posting.destination.id);
    for key in sources.chain(destinations) {
        let partition = partition_of(key, count);
        if !stops.iter().any(|stop| stop.partition == partition) {
            stops.push(Stop { partition, key });
        }
    }
    stops
}

/// Whether all of `postings` happens in `home`: the common case, told without allocating.
pub fn is_local(postings: &[Posting], home: PartitionId, count: PartitionId) -> bool {
    postings.iter().all(|posting| {
        partition_of(posting.source.id, count) == home
            && partition_of(posting.destination.id, count) == home
    })
}

/// Adds `amount` of `asset` to what is carried. Exact: a walk carries at most what its postings
/// sum to, and that is bounded at the edge.
pub fn add(carried: &mut Vec<Carried>, asset: Asset, amount: Amount) {
    match carried.iter_mut().find(|money| money.asset == asset) {
        Some(money) => money.amount = money.amount.saturating_add(amount.minor()),
        None => carried.push(Carried {
            asset,
            amount: amount.minor(),
        }),
    }
}

/// Takes `amount` of `asset` out of what is carried.
pub fn take(carried: &mut Vec<Carried>, asset: Asset, amount: Amount) {
    for money in carried.iter_mut().filter(|money| money.asset == asset) {
        money.amount = money.amount.saturating_sub(amount.minor());
    }
    carried.retain(|money| money.amount > 0);
}

/// The stop before `here`, and what it carried here: the debits of all stops up to it.
pub fn before(
    postings: &[Posting],
    stops: &[Stop],
    here: PartitionId,
    count: PartitionId,
) -> Option<(Stop, Vec<Carried>)> {
    let index = stops.iter().position(|stop| stop.partition == here)?;
    let visited = stops.get(..index)?;
    let mut carried = Vec::new();
    for posting in postings {
        let source = partition_of(posting.source.id, count);
        if visited.iter().any(|stop| stop.partition == source) {
            add(&mut carried, posting.asset, posting.amount);
        }
    }
    visited.last().map(|stop| (*stop, carried))
}

/// What `postings` credit in `partition`, by asset.
pub fn credits_at(
    postings: &[Posting],
    partition: PartitionId,
    count: PartitionId,
) -> Vec<Carried> {
    let mut sum = Vec::new();
    for posting in postings {
        if partition_of(posting.destination.id, count) == partition {
            add(&mut sum, posting.asset, posting.amount);
        }
    }
    sum
}
