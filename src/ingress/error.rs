//! The one table of HTTP statuses, and of problems (RFC 9457).
//!
//! | status | slugs |
//! |---|---|
//! | 400 | what can never be understood: the slugs of [`InvalidKind`] |
//! | 401, 403 | `unauthenticated`, `forbidden` |
//! | 404, 405 | `route-not-found`, `balance-not-found`, `transaction-not-found`, `method-not-allowed` |
//! | 408, 413, 415 | `request-timeout`, `payload-too-large`, `batch-too-large`, `unsupported-media-type` |
//! | 412, 422 | a business "no": the slugs of [`Rejection`]; 412 if the request had an `If-Match` |
//! | 429, 503 | `rate-limited`; `backpressure`, `outcome-unknown`, `storage-unavailable` |
//!
//! Every body says whether the same request may be sent again. The inside never leaks: an
//! unexpected failure is a bare 500 and one log line.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use crate::ledger::{Rejection, rejection};
use crate::wire::http::ProblemBody;
use crate::wire::{Invalid, InvalidKind};

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Invalid(InvalidKind),
    Rejected(Rejection),
    /// The version of `If-Match` did not hold.
    Precondition,
    RouteNotFound,
    BalanceNotFound,
    TransactionNotFound,
    MethodNotAllowed,
    RequestTimeout,
    BatchTooLarge,
    UnsupportedMediaType,
    Unauthenticated,
    Forbidden,
    RateLimited,
    Backpressure,
    OutcomeUnknown,
    StorageUnavailable,
    Internal,
}

/// The kinds without a table of their own.
const PLAIN: [Kind; 14] = [
    Kind::RouteNotFound,
    Kind::BalanceNotFound,
    Kind::TransactionNotFound,
    Kind::MethodNotAllowed,
    Kind::RequestTimeout,
    Kind::BatchTooLarge,
    Kind::UnsupportedMediaType,
    Kind::Unauthenticated,
    Kind::Forbidden,
    Kind::RateLimited,
    Kind::Backpressure,
    Kind::OutcomeUnknown,
    Kind::StorageUnavailable,
    Kind::Internal,
];

/// A success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Ok,
    Created,
    Accepted,
    NotModified,
    /// Alive but not ready.
    NotReady,
}

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

impl Class {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::Created => StatusCode::CREATED,
            Self::Accepted => StatusCode::ACCEPTED,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Kind {
    /// Every kind there is, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        let invalid = InvalidKind::ALL.into_iter().map(Self::Invalid);
        let rejected = rejection::ALL.into_iter().map(Self::Rejected);
        invalid.chain(rejected).chain(PLAIN)
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid(InvalidKind::PayloadTooLarge) | Self::BatchTooLarge => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Rejected(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::RouteNotFound | Self::BalanceNotFound | Self::TransactionNotFound => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Backpressure | Self::OutcomeUnknown | Self::StorageUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn slug(self) -> &'static str {
        match self {
            Self::Invalid(kind) => kind.slug(),
            Self::Rejected(rejection) => rejection.slug(),
            Self::Precondition => Rejection::VersionMismatch.slug(),
            Self::RouteNotFound => "route-not-found",
            Self::BalanceNotFound => "balance-not-found",
            Self::TransactionNotFound => "transaction-not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::BatchTooLarge => "batch-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate-limited",
            Self::Backpressure => "backpressure",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::StorageUnavailable => "storage-unavailable",
            Self::Internal => "internal",
        }
    }

    /// The same for every occurrence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Invalid(_) => "The request cannot be understood",
            Self::Rejected(Rejection::ReferenceReused) => {
                "The reference was used before, with other content"
            }
            Self::Rejected(_) => "The transaction was refused",
            Self::Precondition => "The balance has another version",
            Self::RouteNotFound => "There is no such route",
            Self::BalanceNotFound => "There is no such balance",
            Self::TransactionNotFound => "There is no such transaction",
            Self::MethodNotAllowed => "The route does not take this method",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::BatchTooLarge => "The batch has too many items",
            Self::UnsupportedMediaType => "The content is of another type",
            Self::Unauthenticated => "An API key is needed",
            Self::Forbidden => "The API key does not allow this",
            Self::RateLimited => "The API key's quota is used up",
            Self::Backpressure => "The service has no room just now",
            Self::OutcomeUnknown => "It is not known whether the transaction was taken in",
            Self::StorageUnavailable => "A store does not answer just now",
            Self::Internal => "Something went wrong here",
        }
    }

    /// Whether to try again, and how.
    pub fn retry(self) -> &'static str {
        match self {
            Self::Rejected(rejection) if rejection.retry_may_succeed() => "new-reference",
            Self::Precondition => "new-reference",
            Self::RequestTimeout
            | Self::RateLimited
            | Self::Backpressure
            | Self::OutcomeUnknown
            | Self::StorageUnavailable
            | Self::Internal => "same-reference",
            Self::Invalid(_)
            | Self::Rejected(_)
            | Self::RouteNotFound
            | Self::BalanceNotFound
            | Self::TransactionNotFound
            | Self::MethodNotAllowed
            | Self::BatchTooLarge
            | Self::UnsupportedMediaType
            | Self::Unauthenticated
            | Self::Forbidden => "never",
        }
    }

    /// Whether the answer says when to try again.
    fn retries_soon(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::Backpressure
                | Self::OutcomeUnknown
                | Self::StorageUnavailable
        )
    }
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
        let detail = match rejection.retry_may_succeed() {
            true => "refused, and final for this reference: a new one may succeed later",
            false => "refused, and final",
        };
        Self::new(
            Kind::Rejected(rejection),
            format!("{}: {detail}", rejection.slug()),
        )
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
    fn a_slug_has_one_meaning() {
        let mut slugs: Vec<_> = Kind::all()
            .map(|kind| (kind.slug(), kind.status()))
            .collect();
        slugs.sort_by_key(|(slug, status)| (*slug, status.as_u16()));
        let count = slugs.len();
        slugs.dedup();
        assert_eq!(slugs.len(), count, "a slug stands twice with one status");
        let twice: Vec<_> = slugs
            .windows(2)
            .filter(|w| w[0].0 == w[1].0)
            .map(|w| w[0].0)
            .collect();
        assert_eq!(
            twice,
            ["balance-not-found"],
            "404 when read, 422 when posted to"
        );
    }

    #[test]
    fn our_own_pressure_says_when_to_come_back() {
        for kind in Kind::all() {
            let soon = matches!(kind.status().as_u16(), 429 | 503);
            assert_eq!(
                Problem::new(kind, "").retry_after_seconds.is_some(),
                soon,
                "{kind:?}"
            );
        }
    }
}
