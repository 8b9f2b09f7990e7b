//! A final answer: the JSON that a client reads, and what the ingress must know of it.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::problem::Problem;
use super::waiters::Reply;
use crate::ledger::{PartitionId, Rejection};
use crate::wire::http::TransactionView;
use crate::wire::http::view::REJECTED;
use crate::wire::{Invalid, InvalidKind, OutcomeBody};

/// A decided transaction.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The transaction view.
    pub json: Vec<u8>,
    pub applied: bool,
    pub rejection: Option<Rejection>,
    /// The balance that was opened or configured, or that a rejection speaks of.
    pub balance: Option<Uuid>,
    /// Its version then.
    pub version: Option<u64>,
    pub partition: Option<PartitionId>,
    pub offset: Option<u64>,
    /// The version after the first entry.
    pub entry_version: Option<u64>,
    /// An earlier decision, and not this request's own doing.
    pub replayed: bool,
    /// Only that it was decided is known here, and not what it did.
    pub short: bool,
    /// Some entries stand elsewhere.
    pub partial: bool,
}

/// The reply to a command that could never be understood.
#[derive(Debug, Deserialize)]
struct DeadLetterBody {
    status: String,
    reason: String,
    #[serde(default)]
    detail: String,
}

impl Decided {
    /// Reads a reply. Nothing, if it decides nothing for the asker; an error, if the command is in
    /// the dead letters.
    pub fn of_reply(reply: &Reply, partitions: PartitionId) -> Result<Option<Self>, Invalid> {
        let outcome = match OutcomeBody::parse(&reply.value) {
            Ok(outcome) => outcome,
            Err(broken) => return Err(dead_letter(&reply.value).unwrap_or(broken)),
        };
        let short = outcome.replay_of.is_some();
        let Some(view) = TransactionView::of_outcome(outcome, partitions) else {
            return Ok(None);
        };
        Ok(Self::of_view(&view).map(|decided| Self {
            replayed: reply.replayed || short,
            short,
            ..decided
        }))
    }

    /// Reads what a claim holds. Nothing, if it cannot be read any more.
    pub fn of_claim(json: Vec<u8>) -> Option<Self> {
        let view: TransactionView<'_> = serde_json::from_slice(&json).ok()?;
        let decided = Self::known(&view);
        Some(Self {
            json,
            replayed: true,
            ..decided
        })
    }

    /// Takes a view.
    pub fn of_view(view: &TransactionView<'_>) -> Option<Self> {
        let json = serde_json::to_vec(view).ok()?;
        Some(Self {
            json,
            ..Self::known(view)
        })
    }

    fn known(view: &TransactionView<'_>) -> Self {
        Self {
            json: Vec::new(),
            applied: &*view.status != REJECTED,
            rejection: view.reason.as_deref().and_then(Rejection::from_slug),
            balance: view.balance,
            version: view.version,
            partition: view.partition,
            offset: view.offset,
            entry_version: view.entries.first().map(|entry| entry.version),
            replayed: false,
            short: false,
            partial: view.partial,
        }
    }

    /// Whether the refusal is of the reference, which belongs to other content.
    pub fn reused(&self) -> bool {
        self.rejection == Some(Rejection::ReferenceReused)
    }

    /// The transaction as a member of a problem.
    pub fn raw(&self) -> Option<Box<RawValue>> {
        let json = String::from_utf8(self.json.clone()).ok()?;
        RawValue::from_string(json).ok()
    }

    /// The problem of a rejection.
    pub fn problem(&self) -> Problem {
        let Some(rejection) = self.rejection else {
            let detail = "the outcome has a reason that is unknown here";
            return Problem::new(super::error::Kind::Internal, detail).with_transaction(self.raw());
        };
        let mut problem = Problem::from(rejection);
        if let Some(balance) = self.balance {
            let version = self.version.map(|version| format!(" at version {version}"));
            let version = version.unwrap_or_default();
            problem.detail = format!("{} (balance {balance}{version})", problem.detail);
        }
        problem.with_transaction(self.raw())
    }
}

fn dead_letter(value: &[u8]) -> Option<Invalid> {
    let letter: DeadLetterBody = serde_json::from_slice(value).ok()?;
    let known = InvalidKind::ALL
        .into_iter()
        .find(|kind| kind.slug() == letter.reason);
    let kind = known.unwrap_or(InvalidKind::MalformedRequest);
    (letter.status == "dead-letter").then(|| Invalid::new(kind, "", letter.detail))
}
