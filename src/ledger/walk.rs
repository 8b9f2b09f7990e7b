//! The walk: a transaction over several partitions, one stop after the other.
//!
//! Home is the partition of the first source. Then come the other partitions with debits, then
//! those with credits only, each in the order the postings name them. The last stop decides.
//! If a stop refuses, the walk turns back there: each stop undoes its own part and hands the money
//! to the one before it, over the pair of transit balances that it came by. Taking back what one
//! gave always fits, so a walk back cannot be refused.
//!
//! Where the money goes is a function of the command alone, so every stop computes the same walk
//! and a leg carries nothing but the command, its place and the money taken so far. Only a reversal
//! depends on what was reversed before: it passes all stops of the original, and its legs name what
//! home has chosen.

use std::borrow::Cow;
use std::sync::Arc;

use super::amount::Amount;
use super::asset::Asset;
use super::command::{Body, ClosePeriod, Command, Posting, Reverse};
use super::hold::Portion;
use super::id::{BalanceId, TransactionId};
use super::partition::Setting;
use super::rejection::Rejection;
use super::route::{PartitionId, partition_of};
use super::rules::RULES_FIRST;

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
    /// The rules that the receiver has to go by, for home has decided by them: [`RULES_FIRST`]
    /// unless they tell which transit balances the money passes.
    pub rules: u32,
    pub step: Step,
}

/// How a leg's number stands to the last one applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A copy of one that was applied before.
    Known,
    /// The next one.
    Next,
    /// One before it is missing.
    Gap,
}

/// Whether leg `number` comes after `last`.
pub fn order(last: u64, number: u64) -> Order {
    match number.checked_sub(last) {
        None | Some(0) => Order::Known,
        Some(1) => Order::Next,
        Some(_) => Order::Gap,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Do your part and pass on, or decide if you are the last.
    Visit {
        transaction: TransactionId,
        command: Arc<Command>,
        carried: Vec<Carried>,
        /// Of a reversal: what of the original moves back.
        portions: Vec<Portion>,
    },
    /// It was accepted: post the credits you reserved.
    Settle {
        transaction: TransactionId,
        command: Arc<Command>,
        carried: Vec<Carried>,
        /// Of a reversal: what of the original moves back to this stop.
        portions: Vec<Portion>,
    },
    /// It was refused: give back what you took, release what you reserved, and hand the rest to the
    /// stop before you.
    Unwind {
        transaction: TransactionId,
        command: Arc<Command>,
        carried: Vec<Carried>,
        reason: Rejection,
        /// Of a reversal: what of the original was to move back.
        portions: Vec<Portion>,
    },
    /// A repeat of a walked transaction: whoever decided it answers.
    Question {
        transaction: TransactionId,
        command: Arc<Command>,
    },
    /// Home has posted these portions of a hold: debit their sources, and pass the money on.
    Take {
        transaction: TransactionId,
        command: Arc<Command>,
        portions: Vec<Portion>,
    },
    /// Money of a hold that was posted: credit it to the destinations.
    Give {
        transaction: TransactionId,
        command: Arc<Command>,
        carried: Vec<Carried>,
        portions: Vec<Portion>,
    },
    /// Home has given up these portions of a hold: release what is reserved for them.
    Release {
        transaction: TransactionId,
        command: Arc<Command>,
        portions: Vec<Portion>,
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
            Self::Take { .. } => "take",
            Self::Give { .. } => "give",
            Self::Release { .. } => "release",
            Self::Forward { .. } => "forward",
        }
    }

    pub fn command(&self) -> &Arc<Command> {
        match self {
            Self::Visit { command, .. }
            | Self::Settle { command, .. }
            | Self::Unwind { command, .. }
            | Self::Question { command, .. }
            | Self::Take { command, .. }
            | Self::Give { command, .. }
            | Self::Release { command, .. }
            | Self::Forward { command, .. } => command,
        }
    }

    pub fn transaction(&self) -> Option<TransactionId> {
        match self {
            Self::Visit { transaction, .. }
            | Self::Settle { transaction, .. }
            | Self::Unwind { transaction, .. }
            | Self::Question { transaction, .. }
            | Self::Take { transaction, .. }
            | Self::Give { transaction, .. }
            | Self::Release { transaction, .. } => Some(*transaction),
            Self::Forward { .. } => None,
        }
    }

    pub fn carried(&self) -> &[Carried] {
        match self {
            Self::Visit { carried, .. }
            | Self::Settle { carried, .. }
            | Self::Unwind { carried, .. }
            | Self::Give { carried, .. } => carried,
            Self::Question { .. }
            | Self::Take { .. }
            | Self::Release { .. }
            | Self::Forward { .. } => &[],
        }
    }

    /// Why a walk turns back.
    pub fn reason(&self) -> Option<Rejection> {
        match self {
            Self::Unwind { reason, .. } => Some(*reason),
            Self::Visit { .. }
            | Self::Settle { .. }
            | Self::Question { .. }
            | Self::Take { .. }
            | Self::Give { .. }
            | Self::Release { .. }
            | Self::Forward { .. } => None,
        }
    }

    /// Where a forwarded record had arrived.
    pub fn origin_offset(&self) -> Option<u64> {
        match self {
            Self::Forward { origin_offset, .. } => Some(*origin_offset),
            Self::Visit { .. }
            | Self::Settle { .. }
            | Self::Unwind { .. }
            | Self::Question { .. }
            | Self::Take { .. }
            | Self::Give { .. }
            | Self::Release { .. } => None,
        }
    }

    pub fn portions(&self) -> &[Portion] {
        match self {
            Self::Visit { portions, .. }
            | Self::Settle { portions, .. }
            | Self::Unwind { portions, .. }
            | Self::Take { portions, .. }
            | Self::Give { portions, .. }
            | Self::Release { portions, .. } => portions,
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
    /// From the next record on, what is decided follows these rules.
    Rules(u32),
    /// It can never be understood; the caller writes it to the dead letters.
    DeadLetter,
}

impl Record {
    /// The rules that whoever decides this must know.
    pub fn rules(&self) -> u32 {
        match self {
            Self::Rules(rules) => *rules,
            Self::Leg(leg) => leg.rules,
            Self::Command(_) | Self::Genesis(_) | Self::DeadLetter => RULES_FIRST,
        }
    }
}

/// A partition that the walk passes, with what serves as the legs' key: a balance there, or what
/// stands for the ledger's periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub partition: PartitionId,
    pub key: BalanceId,
}

/// A posting, and the partitions of its source and its destination.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    pub posting: &'a Posting,
    pub from: PartitionId,
    pub to: PartitionId,
}

/// The way of one transaction.
#[derive(Debug)]
pub struct Walk<'a> {
    postings: Cow<'a, [Posting]>,
    /// Per posting, the partitions of its source and its destination.
    sides: Vec<(PartitionId, PartitionId)>,
    stops: Vec<Stop>,
}

impl<'a> Walk<'a> {
    /// The walk of a command among `count` partitions: that of its postings, or through them all.
    /// Of a reversal, whose postings depend on more than itself, only the stops.
    pub fn of(command: &'a Command, count: PartitionId) -> Self {
        Self::along(command, &[], count)
    }

    /// As [`Walk::of`]; a reversal moves `portions` of the original back.
    pub fn along(command: &'a Command, portions: &[Portion], count: PartitionId) -> Self {
        match &command.body {
            Body::ClosePeriod(close) => Self::everywhere(close, count),
            Body::Reverse(reverse) => Self::back(reverse, portions, count),
            Body::Transfer(_)
            | Body::Hold(_)
            | Body::Open(_)
            | Body::Configure(_)
            | Body::Post(_)
            | Body::Void(_)
            | Body::Expire(_) => Self::new(command.postings(), count),
        }
    }

    /// The walk of `postings` among `count` partitions.
    pub fn new(postings: &'a [Posting], count: PartitionId) -> Self {
        let sides = sides(postings, count);
        let sources = postings.iter().zip(&sides);
        let sources = sources.map(|(posting, side)| (posting.source.id, side.0));
        let destinations = postings.iter().zip(&sides);
        let destinations = destinations.map(|(posting, side)| (posting.destination.id, side.1));
        Self {
            stops: each_once(sources.chain(destinations)),
            postings: postings.into(),
            sides,
        }
    }

    /// Through every partition.
    fn everywhere(close: &ClosePeriod, count: PartitionId) -> Self {
        let home = partition_of(close.home, count);
        let others = (0..count).filter(|partition| *partition != home);
        let stop = |partition| Stop {
            partition,
            key: close.home,
        };
        Self {
            postings: Cow::default(),
            sides: Vec::new(),
            stops: std::iter::once(home).chain(others).map(stop).collect(),
        }
    }

    /// Home of the original first, whether or not anything moves there; then as ever, with its
    /// destinations as sources.
    fn back(reverse: &Reverse, portions: &[Portion], count: PartitionId) -> Self {
        let original = reverse.original.postings();
        let home = std::iter::once(reverse.original.decider());
        let sources = original.iter().map(|posting| posting.destination.id);
        let destinations = original.iter().map(|posting| posting.source.id);
        let keys = home.chain(sources).chain(destinations);
        let postings: Vec<Posting> = portions.iter().map(Portion::back).collect();
        Self {
            stops: each_once(keys.map(|key| (key, partition_of(key, count)))),
            sides: sides(&postings, count),
            postings: postings.into(),
        }
    }

    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// The stops, home first.
    pub fn stops(&self) -> &[Stop] {
        &self.stops
    }

    /// The place of a partition among the stops.
    pub fn index_of(&self, partition: PartitionId) -> Option<usize> {
        let mut stops = self.stops.iter();
        stops.position(|stop| stop.partition == partition)
    }

    pub fn stop_before(&self, index: usize) -> Option<Stop> {
        let before = index.checked_sub(1)?;
        self.stops.get(before).copied()
    }

    pub fn stop_after(&self, index: usize) -> Option<Stop> {
        let after = index.checked_add(1)?;
        self.stops.get(after).copied()
    }

    /// Every posting, and the partitions between which it moves money.
    pub fn ways(&self) -> impl Iterator<Item = Way<'_>> {
        let postings = self.postings.iter().zip(&self.sides);
        postings.map(|(posting, (from, to))| Way {
            posting,
            from: *from,
            to: *to,
        })
    }

    /// What the postings move from `partition` to each other partition.
    pub fn ways_from(&self, partition: PartitionId) -> Vec<(PartitionId, Carried)> {
        let mut sums = Vec::new();
        for stop in self.stops.iter().filter(|stop| stop.partition != partition) {
            let between = |way: &Way<'_>| way.from == partition && way.to == stop.partition;
            let postings = self.ways().filter(between).map(|way| way.posting);
            sums.extend(
                sum(postings)
                    .into_iter()
                    .map(|money| (stop.partition, money)),
            );
        }
        sums
    }

    /// The postings whose source is in `partition`.
    pub fn debits_at(&self, partition: PartitionId) -> impl Iterator<Item = &Posting> {
        let postings = self.postings.iter().zip(&self.sides);
        postings.filter_map(move |(posting, side)| (side.0 == partition).then_some(posting))
    }

    /// The postings whose destination is in `partition`.
    pub fn credits_at(&self, partition: PartitionId) -> impl Iterator<Item = &Posting> {
        let postings = self.postings.iter().zip(&self.sides);
        postings.filter_map(move |(posting, side)| (side.1 == partition).then_some(posting))
    }

    /// What the walk carries from stop `index` on: the debits of all stops so far.
    pub fn carried_from(&self, index: usize) -> Vec<Carried> {
        let visited = self.stops.iter().take(index.saturating_add(1));
        sum(visited.flat_map(|stop| self.debits_at(stop.partition)))
    }
}

/// Per posting, the partitions of its source and its destination.
fn sides(postings: &[Posting], count: PartitionId) -> Vec<(PartitionId, PartitionId)> {
    let side = |posting: &Posting| {
        let source = partition_of(posting.source.id, count);
        (source, partition_of(posting.destination.id, count))
    };
    postings.iter().map(side).collect()
}

/// The partitions in the order they are named, with the first key there.
fn each_once(places: impl Iterator<Item = (BalanceId, PartitionId)>) -> Vec<Stop> {
    let mut stops: Vec<Stop> = Vec::new();
    for (key, partition) in places {
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

/// The amounts of `postings` by asset. Saturates far beyond the most that a balance holds, and no
/// transit balance takes more than that.
pub fn sum<'a>(postings: impl Iterator<Item = &'a Posting>) -> Vec<Carried> {
    total(postings.map(|posting| (posting.asset, posting.amount)))
}

/// Amounts by asset, as in [`sum`].
pub fn total(amounts: impl Iterator<Item = (Asset, Amount)>) -> Vec<Carried> {
    let mut sum: Vec<Carried> = Vec::new();
    for (asset, amount) in amounts {
        let amount = amount.minor();
        match sum.iter_mut().find(|money| money.asset == asset) {
            Some(money) => money.amount = money.amount.saturating_add(amount),
            None => sum.push(Carried { asset, amount }),
        }
    }
    sum
}

/// Takes `amount` of `asset` out of what is carried.
pub fn take(carried: &mut Vec<Carried>, asset: Asset, amount: Amount) {
    for money in carried.iter_mut().filter(|money| money.asset == asset) {
        money.amount = money.amount.saturating_sub(amount.minor());
    }
    carried.retain(|money| money.amount > 0);
}
