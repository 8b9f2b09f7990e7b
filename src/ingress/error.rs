//! The one table of HTTP statuses, and of the kinds of problems.
//!
//! | status | slugs |
//! |---|---|
//! | 400 | what can never be understood: the slugs of [`InvalidKind`] |
//! | 401, 403 | `unauthenticated`, `forbidden` |
//! | 404, 405 | `route-not-found`, `balance-not-found`, `transaction-not-found`, `method-not-allowed` |
//! | 408, 409, 410 | `request-timeout`, `request-in-flight`, `original-gone` |
//! | 413, 415 | `payload-too-large`, `batch-too-large`, `unsupported-media-type` |
//! | 412, 422 | a business "no": the slugs of [`Rejection`]; 412 if the request had an `If-Match` |
//! | 429, 503 | `rate-limited`; `backpressure`, `outcome-unknown`, `storage-unavailable` |
//!
//! Every kind says whether the same request may be sent again.

use axum::http::StatusCode;

use crate::ledger::{Rejection, rejection};
use crate::wire::InvalidKind;

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
    /// What the request builds on is not decided yet, or other content under its reference.
    RequestInFlight,
    /// The command of what is to be reversed is not on the log any more.
    OriginalGone,
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
const PLAIN: [Kind; 16] = [
    Kind::RouteNotFound,
    Kind::BalanceNotFound,
    Kind::TransactionNotFound,
    Kind::MethodNotAllowed,
    Kind::RequestTimeout,
    Kind::RequestInFlight,
    Kind::OriginalGone,
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
            Self::RequestInFlight => StatusCode::CONFLICT,
            Self::OriginalGone => StatusCode::GONE,
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
            Self::RequestInFlight => "request-in-flight",
            Self::OriginalGone => "original-gone",
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
            Self::RequestInFlight => "What comes before this is not decided yet",
            Self::OriginalGone => "What is to be reversed is kept no more",
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
            | Self::RequestInFlight
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
            | Self::OriginalGone
            | Self::BatchTooLarge
            | Self::UnsupportedMediaType
            | Self::Unauthenticated
            | Self::Forbidden => "never",
        }
    }

    /// Whether the answer says when to try again.
    pub fn retries_soon(self) -> bool {
        matches!(
            self,
            Self::RequestInFlight
                | Self::RateLimited
                | Self::Backpressure
                | Self::OutcomeUnknown
                | Self::StorageUnavailable
        )
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
}
