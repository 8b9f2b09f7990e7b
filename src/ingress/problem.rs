//! Problems (RFC 9457): why a request has no 2xx, and the answer that says so.
//!
//! The inside never leaks: an unexpected failure is a bare 500 and one log line.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use super::error::Kind;
use crate::ledger::Rejection;
use crate::wire::http::ProblemBody;
use crate::wire::{Invalid, InvalidKind};

/// Why a request has no 2xx.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: Kind,
    pub field: String,
    pub detail: String,
    pub retry_after_seconds: Option<u64>,
    /// The JSON of the transaction, if it was decided.
    pub transaction: Option<Box<RawValue>>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            field: String::new(),
            detail: detail.into(),
            retry_after_seconds: kind.retries_soon().then_some(1),
            transaction: None,
        }
    }

    /// A header or parameter that cannot be understood.
    pub fn malformed(field: &str, detail: impl Into<String>) -> Self {
        Invalid::new(InvalidKind::MalformedRequest, field, detail).into()
    }

    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    #[must_use]
    pub fn with_transaction(mut self, transaction: Option<Box<RawValue>>) -> Self {
        self.transaction = transaction;
        self
    }

    /// The body, for the request of id `instance`.
    pub fn body<'a>(&'a self, instance: &'a str) -> ProblemBody<'a> {
        ProblemBody {
            kind: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: match self.field.is_empty() {
                true => self.detail.clone(),
                false => format!("{} {}", self.field, self.detail),
            },
            instance,
            field: &self.field,
            retry: self.kind.retry(),
            transaction: self.transaction.as_deref(),
        }
    }

    /// The whole answer, for the request of id `instance`.
    pub fn render(&self, instance: &str) -> Response {
        let body = serde_json::to_vec(&self.body(instance)).unwrap_or_default();
        let content = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.kind.status(), content, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let mut problem = Self::new(Kind::Invalid(invalid.kind), invalid.detail);
        problem.field = invalid.field;
        problem
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self::new(Kind::Rejected(rejection), sentence(rejection))
    }
}

fn sentence(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::ReferenceReused => "the reference stands for other content already",
        Rejection::EffectiveInFuture => {
            "it would take effect in the future, or that is not over yet"
        }
        Rejection::PeriodClosed => "the period that it would take effect in, or close, is closed",
        Rejection::OriginalNotFound => "the transaction to reverse is not known, or no more",
        Rejection::OriginalMismatch => "the transaction to reverse asked for something else",
        Rejection::NotReversible => "the transaction to reverse was refused",
        Rejection::OriginalUndecided => {
            "the transaction to reverse is not decided at its last stop"
        }
        Rejection::NothingToReverse => "nothing of it was posted that is not reversed already",
        Rejection::ReverseExceedsOriginal => "the amount is more than what is left to reverse",
        Rejection::BalanceExists => "the balance was opened before",
        Rejection::BalanceNotFound => "the balance was never opened in this ledger",
        Rejection::SystemBalance => "the balance is the system's own",
        Rejection::AssetMismatch => "the balance is in another asset",
        Rejection::BalanceClosed => "the balance is closed",
        Rejection::BalanceFrozen => "the balance is frozen in this direction",
        Rejection::VersionMismatch => "the balance has another version than was expected",
        Rejection::InsufficientFunds => "the debit would take available below zero",
        Rejection::CeilingExceeded => "the credit would take the balance over its ceiling",
        Rejection::AmountOverflow => "the balance would need more than 28 digits",
        Rejection::LimitNotMet => "the new floor or ceiling is not met by what the balance holds",
        Rejection::BalanceNotEmpty => "the balance is not at zero, or has reservations",
        Rejection::HoldNotFound => "no hold of this id is known at this balance's home",
        Rejection::HoldPending => "the hold is still on its way through its partitions",
        Rejection::HoldExpired => "the hold's time is over",
        Rejection::HoldVoided => "the hold's rest was released before",
        Rejection::HoldSpent => "all of the hold was posted before",
        Rejection::AmountAmbiguous => {
            "it is in several assets; leave the amount out for all of them"
        }
        Rejection::PostExceedsHold => "the amount is more than what is left of the hold",
    }
}

/// Leaves the body to the edge, which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_says_when_to_come_back() {
        for kind in Kind::all() {
            let soon = matches!(kind.status().as_u16(), 409 | 429 | 503);
            assert_eq!(
                Problem::new(kind, "").retry_after_seconds.is_some(),
                soon,
                "{kind:?}"
            );
        }
    }
}
