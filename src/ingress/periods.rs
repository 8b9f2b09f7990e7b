//! Periods of a ledger: close what takes effect before a time, and read what is closed.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::answer::{Form, escaped, json};
use super::auth::Caller;
use super::context::Context;
use super::error::{Class, Kind};
use super::header;
use super::lookup::unavailable;
use super::mode::Mode;
use super::name::Name;
use super::prefer::Preference;
use super::problem::Problem;
use crate::cold::periods;
use crate::wire::Time;
use crate::wire::http::request::{client_reference, parse};
use crate::wire::http::{ClosePeriodRequest, ClosedPeriodView, ProblemBody, TransactionView};

/// Close a period
///
/// Nothing of the ledger may take effect before a time any more, in every partition once this is
/// answered. It never opens again.
#[utoipa::path(
    put, path = "/v1/ledgers/{ledger}/closed-period", tag = "ledgers",
    params(
        ("ledger" = String, Path, description = "`LEDGER`, or `ORGANIZATION/LEDGER` percent-encoded"),
        ("Idempotency-Key" = Option<String>, Header, description = "alias of `reference`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds or `respond-async`"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries it, and answers 200 with a `DryRun`"),
    ),
    request_body(content = ClosePeriodRequest),
    responses(
        (status = 200, description = "closed", body = TransactionView),
        (status = 202, description = "on the log, and not decided within the wait", body = TransactionView),
        (status = 422, description = "rejected, and final: `effective-in-future` of a period that is not over, `period-closed` if more is closed already", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn close(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Name(ledger): Name,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    header::no_if_match(&headers)?;
    let bytes = context.json(&headers, body).await?;
    let request: ClosePeriodRequest<'_> = parse(&bytes)?;
    let reference = header::reference(&headers, request.reference.as_deref())?;
    if let Some(reference) = reference {
        client_reference(reference, 0)?;
    }
    let command = context.decode(|decoder| request.command(&ledger, reference, decoder))?;
    let location = format!("/v1/ledgers/{}/closed-period", escaped(&command.ledger));
    let form = Form {
        applied: Class::Ok,
        location: Some(&location),
        precondition: false,
        preference: Preference::of(&headers)?,
    };
    context
        .carry_out((&caller, &mode), &headers, command, form)
        .await
}

/// Read what is closed
///
/// From cold: a moment behind.
#[utoipa::path(
    get, path = "/v1/ledgers/{ledger}/closed-period", tag = "ledgers",
    params(("ledger" = String, Path, description = "`LEDGER`, or `ORGANIZATION/LEDGER` percent-encoded")),
    responses(
        (status = 200, description = "what is closed, also if nothing is", body = ClosedPeriodView),
        (status = 403, description = "the API key does not see the ledger", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn get(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Name(ledger): Name,
) -> Result<Response, Problem> {
    let ledger = context.decode(|decoder| decoder.ledger(&ledger))?;
    if !caller.reads(&ledger) {
        return Err(Problem::new(
            Kind::Forbidden,
            "the API key does not see this ledger",
        ));
    }
    let closed = periods::closed(&context.pool, &ledger)
        .await
        .map_err(|error| unavailable(&error))?;
    // Of `None` and a time, the former is the earlier one: closed is what is closed everywhere.
    let everywhere = closed.len() == usize::from(context.partitions);
    let before = closed
        .iter()
        .map(|partition| partition.before)
        .min()
        .flatten();
    let as_of = closed.iter().map(|partition| partition.at).min();
    let view = ClosedPeriodView {
        ledger: &ledger,
        before: before
            .filter(|_| everywhere)
            .map(|at| Time(at.timestamp_millis())),
        source: "cold",
        as_of: as_of.map(|at| Time(at.timestamp_millis())),
    };
    Ok(json(
        Class::Ok,
        serde_json::to_vec(&view).unwrap_or_default(),
    ))
}
