//! What clients were told: the record that the checker holds against the log.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use steelyard::ledger::Fingerprint;
use uuid::Uuid;

/// What became of a reference, as somebody was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Applied,
    Held,
    Posted,
    Voided,
    /// Of a hold that was made: its time was over before all of it was posted.
    Expired,
    Rejected(String),
    /// Nothing that is ever final.
    Strange(String),
}

impl Verdict {
    /// What a `status` and a `reason` of the wire say.
    pub fn of(status: &str, reason: Option<&str>) -> Self {
        match status {
            "applied" => Self::Applied,
            "held" => Self::Held,
            "posted" => Self::Posted,
            "voided" => Self::Voided,
            "expired" => Self::Expired,
            "rejected" => Self::Rejected(reason.unwrap_or("unnamed").to_owned()),
            other => Self::Strange(other.to_owned()),
        }
    }
}

/// A final answer about a reference, to a command of this content.
#[derive(Clone, Debug)]
pub struct Final {
    pub reference: String,
    pub fingerprint: Fingerprint,
    pub verdict: Verdict,
    pub transaction: Option<Uuid>,
    /// Who told it, such as `http`, `get` or `reply`.
    pub road: &'static str,
}

/// A record that the broker acknowledged.
#[derive(Clone, Debug)]
pub struct Place {
    pub partition: u16,
    pub offset: u64,
    /// Its value, byte for byte.
    pub value: Vec<u8>,
}

/// Posted, held and incoming, as they are printed.
pub type Amounts = [String; 3];

/// A version of a balance that somebody was shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub balance: Uuid,
    pub version: u64,
    pub amounts: Amounts,
    /// `hot`, `cold`, or `answer` for an entry of an answer.
    pub source: String,
    /// Up to when every change was said to be in it; milliseconds since the epoch.
    pub as_of_ms: Option<i64>,
    pub began_ms: i64,
    pub ended_ms: i64,
    /// The node that showed it.
    pub node: String,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let as_of_ms = self.as_of_ms.unwrap_or_default();
        write!(
            f,
            "balance {} version {} ({:?}) from {} of {}, as of {as_of_ms}, asked at {}, told at {}",
            self.balance,
            self.version,
            self.amounts,
            self.source,
            self.node,
            self.began_ms,
            self.ended_ms
        )
    }
}

#[derive(Clone, Debug, Default)]
pub struct Told {
    pub finals: Vec<Final>,
    /// References with a 2xx, and whose content was accepted.
    pub accepted: Vec<(String, Fingerprint)>,
    pub places: Vec<Place>,
    pub shown: Vec<Shown>,
    /// References that a client gave up on at the end: it never got a final answer.
    pub unanswered: Vec<String>,
    /// Balances that were said not to exist after somebody had seen them.
    pub denied: Vec<String>,
    /// Balances that were shown with open holds which are not what is held on them.
    pub unexplained: Vec<String>,
    /// Holds that a client was told of, and that were then said not to be decided yet.
    pub premature: Vec<String>,
    /// How often clients had to send again.
    pub retries: u64,
}

/// The record while it is being written.
#[derive(Debug, Default)]
pub struct Book {
    told: Mutex<Told>,
    versions: Mutex<HashMap<Uuid, u64>>,
}

impl Book {
    pub fn write(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn show(&self, shown: Shown) {
        let mut versions = self.versions();
        let known = versions.entry(shown.balance).or_default();
        *known = shown.version.max(*known);
        drop(versions);
        self.write().shown.push(shown);
    }

    /// The highest version of a balance that anybody was shown.
    pub fn version(&self, balance: Uuid) -> Option<u64> {
        self.versions().get(&balance).copied()
    }

    pub fn take(&self) -> Told {
        std::mem::take(&mut *self.write())
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<Uuid, u64>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
