//! One transaction: post it, and read it by its reference.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;

use super::answer::{Form, answer, json};
use super::auth::Caller;
use super::context::Context;
use super::error::{Class, Kind};
use super::header;
use super::lookup::Found;
use super::mode::Mode;
use super::name::Name;
use super::originals::Reads;
use super::prefer::Preference;
use super::problem::Problem;
use super::reversals::Original;
use super::submit::{Manner, Settled};
use crate::ledger::{Command, Rejection};
use crate::wire::http::request::{client_reference, parse, resubmission};
use crate::wire::http::{
    DEFAULT_LEDGER, DryRunView, ProblemBody, TransactionRequest, TransactionView,
};

/// Post a transaction
///
/// Waits for the outcome, by default 5 s. The same reference with the same content is the same
/// transaction: it is applied once, and answered again with `Idempotent-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/transactions", tag = "transactions",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "alias of `reference`; given both, they must agree"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, at most 30; `respond-async` for 202 once the log has it"),
        ("If-Match" = Option<String>, Header, description = "the version of the first source, such as `\"17\"`; another one is 412"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries it"),
    ),
    request_body(content = TransactionRequest),
    responses(
        (status = 200, description = "of a dry run: what would happen to the balances, and to what is held or was moved, as they can be read now. Nothing is written, and no reference is used up or looked up; it may be left out", body = DryRunView),
        (status = 201, description = "applied, and final", body = TransactionView,
         headers(("Location" = String), ("Idempotent-Replayed" = Option<String>), ("Preference-Applied" = Option<String>))),
        (status = 202, description = "on the log, and not decided within the wait: read it at `Location`", body = TransactionView,
         headers(("Location" = String), ("Retry-After" = String))),
        (status = 409, description = "other content under this reference is not decided yet: send this again in a moment", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "the version of `If-Match` did not hold", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "rejected, and final", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn post(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let preference = Preference::of(&headers)?;
    let if_match = header::if_match(&headers)?;
    let bytes = context.json(&headers, body).await?;
    let request: TransactionRequest<'_> = parse(&bytes)?;
    let reference = header::reference(&headers, request.reference.as_deref())?;
    if let Some(reference) = reference {
        client_reference(reference, request.expect_retries)?;
    }
    let reads = Reads::default();
    let before = reference.filter(|_| !mode.dry_run);
    let original = context
        .original_of(&caller, &request, before, &reads)
        .await?;
    let form = Form {
        applied: Class::Created,
        location: None,
        precondition: if_match.is_some(),
        preference,
    };
    let original = match original {
        None => None,
        Some(Original::Known(original)) => Some(original),
        Some(Original::Reversed(before)) => return Ok(context.again(*before, form)),
    };
    let original = original.as_ref();
    let named = mode.named(reference);
    let command = context.decode(|decoder| request.command(named, if_match, original, decoder))?;
    caller.may_write(&command.ledger)?;
    if mode.dry_run {
        let trial = (command, request.expect_retries);
        return context
            .try_alone(&caller, trial, if_match.is_some(), &mode)
            .await;
    }
    let traceparent = header::traceparent(&headers);
    let manner = Manner {
        patience: preference.patience(context.options.wait_default),
        traceparent: &traceparent,
    };
    let (command, settled) = context
        .insist(command, request.expect_retries, manner)
        .await?;
    Ok(answer(&command, settled, form))
}

impl Context {
    /// Submits a command, and again with the current version as long as that is what it was
    /// refused for. The chain of resubmissions follows from the log alone, so a repeat of the
    /// request goes along the same one.
    async fn insist(
        &self,
        mut command: Command,
        retries: u8,
        mut manner: Manner<'_>,
    ) -> Result<(Command, Settled), Problem> {
        let deadline = Instant::now() + manner.patience;
        let original = command.reference.clone();
        for attempt in 1..=retries {
            let settled = self.submit(&command, manner).await?;
            let Some(seen) = mismatch(&settled) else {
                return Ok((command, settled));
            };
            manner.patience = deadline.saturating_duration_since(Instant::now());
            if manner.patience == Duration::ZERO {
                return Ok((command, settled));
            }
            let again = |decoder: &mut _| resubmission(&command, &original, attempt, seen, decoder);
            command = self.decode(again)?;
        }
        let settled = self.submit(&command, manner).await?;
        Ok((command, settled))
    }
}

/// The balance and the version that refused a command.
pub fn mismatch(settled: &Settled) -> Option<(uuid::Uuid, u64)> {
    match settled {
        Settled::Decided(decided) if decided.rejection == Some(Rejection::VersionMismatch) => {
            decided.balance.zip(decided.version)
        }
        Settled::Decided(_) | Settled::Pending => None,
    }
}

/// Which ledger a reference is of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerQuery {
    #[serde(default = "main_ledger")]
    ledger: String,
}

fn main_ledger() -> String {
    DEFAULT_LEDGER.to_owned()
}

/// Read a transaction
///
/// By its reference: what is known of it, from this instance's memory or from cold.
#[utoipa::path(
    get, path = "/v1/transactions/{reference}", tag = "transactions",
    params(
        ("reference" = String, Path, description = "percent-encoded"),
        ("ledger" = Option<String>, Query, description = "`LEDGER` or `ORGANIZATION/LEDGER`, by default `main`"),
    ),
    responses(
        (status = 200, description = "`status` is `pending`, `applied` or `rejected`", body = TransactionView),
        (status = 404, description = "not known, or of a ledger that the API key does not see", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn get(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Name(reference): Name,
    query: Result<Query<LedgerQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed("query", error.body_text()))?;
    let ledger = context.decode(|decoder| decoder.ledger(&query.ledger))?;
    let unknown = || Problem::new(Kind::TransactionNotFound, "the reference is not known here");
    if !caller.reads(&ledger) {
        return Err(unknown());
    }
    match context.look_up(&ledger, &reference).await? {
        Found::Decided(decided) => Ok(json(Class::Ok, decided.json)),
        Found::Nothing => Err(unknown()),
        Found::Pending => {
            let view = TransactionView::pending(&reference, &ledger);
            Ok(json(
                Class::Ok,
                serde_json::to_vec(&view).unwrap_or_default(),
            ))
        }
    }
}
