//! The intents: what a client may ask of a partition.
//!
//! A [`Command`] has been parsed and bounded at the edge; the ledger only judges it against its
//! state. What the ledger has no opinion on travels in the [`Note`].

use std::sync::Arc;

use super::amount::Amount;
use super::asset::Asset;
use super::balance::{Limit, Status};
use super::id::{BalanceId, TransactionId};
use super::seen::{Fingerprint, SeenKey};

/// The most postings of one transaction.
pub const POSTINGS_MAX: usize = 100;

/// One intent under one reference.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    pub reference: Box<str>,
    /// `organization/ledger`.
    pub ledger: Arc<str>,
    pub seen_key: SeenKey,
    pub fingerprint: Fingerprint,
    pub body: Body,
    /// The stripes among the sides of its postings, each once.
    pub stripes: Vec<Stripe>,
    /// Versions the client saw; each names a balance of this command.
    pub expect: Vec<(BalanceId, u64)>,
    pub note: Note,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    Open(Open),
    Configure(Configure),
    /// One to [`POSTINGS_MAX`] postings; the first source decides.
    Transfer(Vec<Posting>),
    Hold(Hold),
    Post(Post),
    Void(Target),
    /// Releases a hold that is due. Only processors write it; it is no client's reference.
    Expire(Target),
    ClosePeriod(ClosePeriod),
    Reverse(Reverse),
}

/// Reserves what postings move; the first source decides.
#[derive(Debug, PartialEq, Eq)]
pub struct Hold {
    /// One to [`POSTINGS_MAX`].
    pub postings: Vec<Posting>,
    /// From the log time of the command at home on, in seconds; none: never.
    pub expires_in: Option<u32>,
}

/// The longest that a hold may last, in seconds: a year and a day.
pub const EXPIRES_IN_MAX: u32 = 366 * 24 * 60 * 60;

/// A hold, named by those who decide on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub hold: TransactionId,
    /// A balance of the hold's home: its first source.
    pub balance: BalanceId,
}

/// Makes what was reserved final: `amount` of it, or all that is left.
#[derive(Debug, PartialEq, Eq)]
pub struct Post {
    pub target: Target,
    pub amount: Option<(Amount, Asset)>,
}

/// Moves back what a transaction has moved, all of it or a part.
#[derive(Debug, PartialEq, Eq)]
pub struct Reverse {
    /// Its home decides, which alone knows how much of it was reversed before.
    pub transaction: TransactionId,
    /// What it asked for, a transfer or a hold, as it was decided: home knows it by its
    /// fingerprint.
    pub original: Box<Command>,
    /// How much, from the postings in their order; none: all that is left.
    pub amount: Option<(Amount, Asset)>,
    /// Whether a balance may go below its floor for it.
    pub force: bool,
}

/// Closes what takes effect before a time, in every partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosePeriod {
    /// Milliseconds since the epoch; never moves back.
    pub before_ms: i64,
    /// The ledger's [`BalanceId::period`], where the walk begins.
    pub home: BalanceId,
}

/// Opens a balance.
#[derive(Debug, PartialEq, Eq)]
pub struct Open {
    pub balance: BalanceId,
    pub account: Box<str>,
    pub key: Box<str>,
    pub asset: Asset,
    pub floor: Limit,
    pub ceiling: Limit,
}

/// Changes what bounds a balance; what is `None` stays.
#[derive(Debug, PartialEq, Eq)]
pub struct Configure {
    pub balance: BalanceId,
    /// The asset the limits are written in; given whenever a limit is.
    pub asset: Option<Asset>,
    pub floor: Option<Limit>,
    pub ceiling: Option<Limit>,
    pub status: Option<Status>,
}

/// One side of a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    pub id: BalanceId,
    /// Whether this is one of the command's stripes, which is opened on first use.
    pub striped: bool,
}

/// One partition's part of a striped account, `@world` among them: a balance without floor or
/// ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripe {
    pub id: BalanceId,
    /// Begins with `@`.
    pub account: Arc<str>,
    pub key: Arc<str>,
}

/// Moves `amount` from `source` to `destination`; they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub source: Party,
    pub destination: Party,
    pub amount: Amount,
    pub asset: Asset,
}

/// What rides along without being judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Milliseconds since the epoch.
    pub effective_at: Option<i64>,
    pub description: Option<Box<str>>,
    /// Canonical JSON of an object of strings.
    pub metadata: Option<Box<str>>,
    pub reply: Option<ReplyTo>,
    /// W3C `traceparent`.
    pub trace: Option<Box<str>>,
}

/// Where the asker wants the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub topic: Box<str>,
    /// The partition, or the reply topic's own partitioner.
    pub partition: Option<i32>,
    /// Echoed untouched.
    pub correlation: Box<[u8]>,
}

impl Command {
    /// The balance whose partition decides, and whose id is the record's key.
    ///
    /// # Panics
    /// If a transfer has no posting, which the edge never lets through.
    pub fn decider(&self) -> BalanceId {
        match &self.body {
            Body::Open(open) => open.balance,
            Body::Configure(configure) => configure.balance,
            Body::ClosePeriod(close) => close.home,
            Body::Reverse(reverse) => reverse.original.decider(),
            Body::Transfer(postings) | Body::Hold(Hold { postings, .. }) => {
                postings
                    .first()
                    .expect("a transfer has at least one posting")
                    .source
                    .id
            }
            Body::Post(Post { target, .. }) | Body::Void(target) | Body::Expire(target) => {
                target.balance
            }
        }
    }

    /// The stripe that is named by `id`.
    pub fn stripe(&self, id: BalanceId) -> Option<&Stripe> {
        self.stripes.iter().find(|stripe| stripe.id == id)
    }

    /// The `type` of the wire.
    pub fn kind(&self) -> &'static str {
        match self.body {
            Body::Open(_) => "open",
            Body::Configure(_) => "configure",
            Body::ClosePeriod(_) => "close-period",
            Body::Reverse(_) => "reverse",
            Body::Transfer(_) | Body::Hold(_) => "transfer",
            Body::Post(_) => "post",
            Body::Void(_) => "void",
            Body::Expire(_) => "expire",
        }
    }

    /// What it asks to move; what a reversal moves depends on what was reversed before.
    pub fn postings(&self) -> &[Posting] {
        match &self.body {
            Body::Transfer(postings) | Body::Hold(Hold { postings, .. }) => postings,
            Body::Open(_)
            | Body::Configure(_)
            | Body::ClosePeriod(_)
            | Body::Reverse(_)
            | Body::Post(_)
            | Body::Void(_)
            | Body::Expire(_) => &[],
        }
    }

    /// What is to be held, if that is what this is.
    pub fn hold(&self) -> Option<&Hold> {
        match &self.body {
            Body::Hold(hold) => Some(hold),
            Body::Open(_)
            | Body::Configure(_)
            | Body::ClosePeriod(_)
            | Body::Reverse(_)
            | Body::Transfer(_)
            | Body::Post(_)
            | Body::Void(_)
            | Body::Expire(_) => None,
        }
    }

    /// The hold that this decides on, if it does.
    pub fn target(&self) -> Option<Target> {
        match &self.body {
            Body::Post(Post { target, .. }) | Body::Void(target) | Body::Expire(target) => {
                Some(*target)
            }
            Body::Open(_)
            | Body::Configure(_)
            | Body::ClosePeriod(_)
            | Body::Reverse(_)
            | Body::Transfer(_)
            | Body::Hold(_) => None,
        }
    }

    /// What is to be moved back, if that is what this asks.
    pub fn reverse(&self) -> Option<&Reverse> {
        match &self.body {
            Body::Reverse(reverse) => Some(reverse),
            Body::Open(_)
            | Body::Configure(_)
            | Body::ClosePeriod(_)
            | Body::Transfer(_)
            | Body::Hold(_)
            | Body::Post(_)
            | Body::Void(_)
            | Body::Expire(_) => None,
        }
    }
}
