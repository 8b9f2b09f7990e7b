//! What was settled → the HTTP answer.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::decided::Decided;
use super::error::{Class, Kind};
use super::header::{IDEMPOTENT_REPLAYED, PREFERENCE_APPLIED};
use super::prefer::Preference;
use super::problem::Problem;
use super::submit::Settled;
use crate::ledger::{Command, Rejection};
use crate::wire::http::TransactionView;

/// Seconds after which a pending transaction is worth a look.
const LOOK_AGAIN_SECONDS: u64 = 1;

/// How one route answers.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// What an applied command is.
    pub applied: Class,
    /// Where the result is, if it is not the transaction.
    pub location: Option<&'a str>,
    /// The request had an `If-Match`.
    pub precondition: bool,
    pub preference: Preference,
}

/// The JSON of a success.
pub fn json(class: Class, body: Vec<u8>) -> Response {
    (
        class.status(),
        [(header::CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

/// Where a transaction can be read.
pub fn location(reference: &str, ledger: &str) -> String {
    format!(
        "/v1/transactions/{}?ledger={}",
        escaped(reference),
        escaped(ledger)
    )
}

/// Percent-encodes all but what is unreserved in a URI.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => escaped.push(char::from(byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The answer to a command.
pub fn answer(command: &Command, settled: Settled, form: Form<'_>) -> Response {
    answer_to(&command.ledger, &command.reference, settled, form)
}

/// As [`answer`], where no more of the command is known than `ledger` and `reference`.
pub fn answer_to(ledger: &str, reference: &str, settled: Settled, form: Form<'_>) -> Response {
    let pending = matches!(settled, Settled::Pending);
    let mut response = match settled {
        Settled::Pending => self::pending(ledger, reference),
        Settled::Decided(decided) => decide(decided, form),
    };
    let headers = response.headers_mut();
    let transaction = || location(reference, ledger);
    if pending || form.location.is_none() {
        insert(headers, header::LOCATION, &transaction());
    } else if let Some(location) = form.location {
        insert(headers, header::LOCATION, location);
    }
    if let Some(applied) = form.preference.applied(pending) {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    response
}

fn pending(ledger: &str, reference: &str) -> Response {
    let view = TransactionView::pending(reference, ledger);
    let body = serde_json::to_vec(&view).unwrap_or_default();
    let mut response = json(Class::Accepted, body);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(LOOK_AGAIN_SECONDS));
    response
}

fn decide(decided: Decided, form: Form<'_>) -> Response {
    let replayed = decided.replayed;
    let mut response = match decided.applied {
        false => refusal(&decided, form.precondition).into_response(),
        true => {
            let version = decided.entry_version.filter(|_| decided.balance.is_some());
            let mut response = json(form.applied, decided.json);
            if let Some(version) = version {
                insert(
                    response.headers_mut(),
                    header::ETAG,
                    &format!("\"{version}\""),
                );
            }
            response
        }
    };
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The problem of a rejection: 412 where the client's own `If-Match` did not hold.
pub fn refusal(decided: &Decided, precondition: bool) -> Problem {
    let mut problem = decided.problem();
    if precondition && decided.rejection == Some(Rejection::VersionMismatch) {
        problem.kind = Kind::Precondition;
    }
    problem
}

/// Sets a header whose value is plain text.
pub fn insert(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_can_hold_every_reference() {
        assert_eq!(
            location("a/b#1 +", "default/main"),
            "/v1/transactions/a%2Fb%231%20%2B?ledger=default%2Fmain"
        );
    }
}
