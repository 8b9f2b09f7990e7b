//! The one decision on a record, and everything it does to a partition.

use std::sync::Arc;

use super::asset::Asset;
use super::balance::{Balance, Limit, State, Status};
use super::command::Command;
use super::hold::Hold;
use super::id::{BalanceId, TransactionId};
use super::rejection::Rejection;
use super::route::PartitionId;
use super::seen::{Fingerprint, Seen, SeenKey};
use super::walk::Leg;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Done, and final.
    Applied,
    /// Reserved, until it is posted, voided or expires.
    Held,
    /// Some or all of a hold was posted.
    Posted,
    /// The rest of a hold was released on request.
    Voided,
    /// The rest of a hold was released by time.
    Expired,
    /// This stop's part is done; a later stop decides.
    Forwarded,
    /// Refused, and final.
    Rejected(Rejection),
    /// A transaction refused at a later stop was taken back here, for that stop's reason.
    Returned(Rejection),
    /// The record had no effect here: see [`Ignored`].
    Ignored(Ignored),
}

/// Why a record had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// A copy of a leg that was applied before.
    KnownLeg,
    /// A leg beyond the next number: an earlier one is missing.
    LegGap,
    /// The first record of the log.
    Genesis,
    /// A record that sets the rules.
    Rules,
    /// It can never be understood, and is in the dead letters.
    DeadLetter,
    /// It belongs to another partition, and was sent there.
    Misrouted,
    /// A question about a reference that is beyond the horizon here.
    Forgotten,
    /// No hold is due: it ended before, or the log's time is not that far.
    NotDue,
}

impl Decision {
    /// The `status` of the wire.
    pub fn status(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Held => "held",
            Self::Posted => "posted",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Forwarded => "forwarded",
            Self::Rejected(_) => "rejected",
            Self::Returned(_) => "returned",
            Self::Ignored(_) => "ignored",
        }
    }

    /// The `reason` of the wire.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Applied
            | Self::Held
            | Self::Posted
            | Self::Voided
            | Self::Expired
            | Self::Forwarded => None,
            Self::Rejected(rejection) | Self::Returned(rejection) => Some(rejection.slug()),
            Self::Ignored(ignored) => Some(ignored.slug()),
        }
    }

    /// Reads `status` and `reason` back.
    pub fn from_wire(status: &str, reason: Option<&str>) -> Option<Self> {
        let rejection = reason.and_then(Rejection::from_slug);
        match status {
            "applied" => Some(Self::Applied),
            "held" => Some(Self::Held),
            "posted" => Some(Self::Posted),
            "voided" => Some(Self::Voided),
            "expired" => Some(Self::Expired),
            "forwarded" => Some(Self::Forwarded),
            "rejected" => rejection.map(Self::Rejected),
            "returned" => rejection.map(Self::Returned),
            "ignored" => reason.and_then(Ignored::from_slug).map(Self::Ignored),
            _ => None,
        }
    }
}

impl Ignored {
    const ALL: [Self; 8] = [
        Self::KnownLeg,
        Self::LegGap,
        Self::Genesis,
        Self::Rules,
        Self::DeadLetter,
        Self::Misrouted,
        Self::Forgotten,
        Self::NotDue,
    ];

    pub fn slug(self) -> &'static str {
        match self {
            Self::KnownLeg => "known-leg",
            Self::LegGap => "leg-gap",
            Self::Genesis => "genesis",
            Self::Rules => "rules",
            Self::DeadLetter => "dead-letter",
            Self::Misrouted => "misrouted",
            Self::Forgotten => "forgotten",
            Self::NotDue => "not-due",
        }
    }

    fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ignored| ignored.slug() == slug)
    }
}

/// What an entry did to its balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Came into being; no amount.
    Open,
    /// Limits or status changed; no amount.
    Configure,
    /// Posted went down.
    Debit,
    /// Posted went up.
    Credit,
    /// Incoming went up: a credit is reserved until the last stop decides.
    Reserve,
    /// A reserved credit was posted.
    Settle,
    /// A reserved credit was given up.
    Release,
    /// Held went up: a debit is reserved.
    Hold,
    /// A reserved debit was posted.
    Post,
    /// A reserved debit was given up.
    Void,
    /// Posted went down, whatever the floor: a reversal that its asker forced.
    Force,
}

impl Direction {
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Configure,
        Self::Debit,
        Self::Credit,
        Self::Reserve,
        Self::Settle,
        Self::Release,
        Self::Hold,
        Self::Post,
        Self::Void,
        Self::Force,
    ];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Configure => "configure",
            Self::Debit => "debit",
            Self::Credit => "credit",
            Self::Reserve => "reserve",
            Self::Settle => "settle",
            Self::Release => "release",
            Self::Hold => "hold",
            Self::Post => "post",
            Self::Void => "void",
            Self::Force => "force",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|direction| direction.slug() == slug)
    }

    /// What `amount` does to `posted`.
    pub fn posted_change(self, amount: i128) -> i128 {
        match self {
            Self::Debit | Self::Post | Self::Force => amount.saturating_neg(),
            Self::Credit | Self::Settle => amount,
            Self::Open
            | Self::Configure
            | Self::Reserve
            | Self::Release
            | Self::Hold
            | Self::Void => 0,
        }
    }

    /// What `amount` does to `held`.
    pub fn held_change(self, amount: i128) -> i128 {
        match self {
            Self::Hold => amount,
            Self::Post | Self::Void => amount.saturating_neg(),
            Self::Open
            | Self::Configure
            | Self::Debit
            | Self::Credit
            | Self::Reserve
            | Self::Settle
            | Self::Release
            | Self::Force => 0,
        }
    }

    /// What `amount` does to `incoming`.
    pub fn incoming_change(self, amount: i128) -> i128 {
        match self {
            Self::Reserve => amount,
            Self::Settle | Self::Release => amount.saturating_neg(),
            Self::Open
            | Self::Configure
            | Self::Debit
            | Self::Credit
            | Self::Hold
            | Self::Post
            | Self::Void
            | Self::Force => 0,
        }
    }
}

/// An immutable change of one balance by one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub balance: BalanceId,
    pub direction: Direction,
    /// Minor units; zero for `Open` and `Configure`.
    pub amount: i128,
    pub asset: Asset,
    /// The balance after this entry; its version is the entry's.
    pub after: State,
    /// For `Open` and `Configure`: what bounds the balance from here on.
    pub terms: Option<Box<Terms>>,
}

/// What bounds a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub ledger: Arc<str>,
    pub account: Box<str>,
    pub key: Box<str>,
    pub floor: Limit,
    pub ceiling: Limit,
    pub status: Status,
}

impl Terms {
    /// A balance that they bound, before its first entry.
    pub fn balance(&self, asset: Asset) -> Balance {
        Balance {
            state: State::default(),
            floor: self.floor,
            ceiling: self.ceiling,
            status: self.status,
            asset,
            offset: 0,
            ledger: self.ledger.clone(),
            name: Balance::name(&self.account, &self.key),
        }
    }
}

/// What is remembered of a reference by this decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub key: SeenKey,
    pub transaction: TransactionId,
    pub fingerprint: Fingerprint,
    pub decision: Decision,
}

impl Mark {
    /// What is remembered from log time `at_ms` on.
    pub fn seen(&self, at_ms: i64) -> Seen {
        Seen::new(self.fingerprint, self.transaction, at_ms, self.decision)
    }
}

/// Everything a decision does to the state: the same for a fresh decision and for one read back
/// from `outcomes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub entries: Vec<Entry>,
    /// A hold as it is afterwards.
    pub hold: Option<Box<(TransactionId, Hold)>>,
    pub mark: Option<Mark>,
    /// The leg that was applied: its origin and number.
    pub received: Option<(PartitionId, u64)>,
    /// Legs that go out: destination and number.
    pub sent: Vec<(PartitionId, u64)>,
    /// A ledger, and the end of its closed period in milliseconds since the epoch.
    pub closed: Option<(Arc<str>, i64)>,
    /// The generation and horizon that the log's first record sets.
    pub setting: Option<super::partition::Setting>,
    /// The rules that are in force from the next record on, if they change.
    pub rules: Option<u32>,
}

/// Which balance a rejection speaks of, and how it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    pub balance: BalanceId,
    /// Absent for a balance that is not there.
    pub version: Option<u64>,
}

/// The one decision on a record of `commands`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub offset: u64,
    /// Log time, milliseconds since the epoch.
    pub at_ms: i64,
    /// The command offset decided before this one.
    pub follows: Option<u64>,
    pub decision: Decision,
    pub transaction: Option<TransactionId>,
    /// What was asked, if the record could be understood.
    pub command: Option<Arc<Command>>,
    /// The command whose decision this repeats.
    pub replay_of: Option<u64>,
    pub detail: Option<Detail>,
    pub effects: Effects,
    /// The contents of `effects.sent`, in the same order.
    pub legs: Vec<Leg>,
}

impl Outcome {
    /// Whether the asker's question is answered here, and not at another stop: a settle repeats
    /// what the last stop has answered, and a hold is answered at home alone.
    pub fn answers(&self) -> bool {
        let settles = |entry: &Entry| entry.direction == Direction::Settle;
        match self.decision {
            Decision::Applied => !self.effects.entries.iter().any(settles),
            // The last stop of a hold tells home; home and a hold of one stop tell nobody.
            Decision::Held => self.effects.sent.is_empty(),
            Decision::Posted | Decision::Voided => self.replay_of.is_some() || self.decides_hold(),
            Decision::Rejected(_) | Decision::Ignored(Ignored::Forgotten) => true,
            Decision::Forwarded
            | Decision::Expired
            | Decision::Returned(_)
            | Decision::Ignored(_) => false,
        }
    }

    /// Whether this is the hold's home, where its rest is counted first.
    fn decides_hold(&self) -> bool {
        let (mark, command) = (self.effects.mark, self.command.as_ref());
        let home = mark
            .zip(command)
            .map(|(mark, command)| mark.key == command.seen_key);
        self.effects.hold.is_some() && home == Some(true)
    }
}
