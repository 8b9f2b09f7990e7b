//! Holds: post and void one by its reference, and list those of a balance.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::answer::{Form, json};
use super::auth::Caller;
use super::balance::{cold_view, unknown};
use super::balances::balance_id;
use super::context::Context;
use super::cursor;
use super::error::{Class, Kind as ProblemKind};
use super::header;
use super::history::link_next;
use super::lookup::{Found, hold_view, unavailable};
use super::mode::Mode;
use super::name::Name;
use super::prefer::Preference;
use super::problem::Problem;
use crate::cold::holds;
use crate::wire::command::Kind;
use crate::wire::http::request::{client_reference, parse};
use crate::wire::http::{
    BalanceHoldsView, DryRunView, KnownHold, OnHoldRequest, ProblemBody, TransactionView,
};

/// Post a hold
///
/// Makes what is reserved final: `amount` of it, as often as something is left, or all that is
/// left. A transaction of its own, with a reference of its own.
#[utoipa::path(
    post, path = "/v1/transactions/{reference}/post", tag = "transactions",
    params(
        ("reference" = String, Path, description = "of the hold, percent-encoded"),
        ("Idempotency-Key" = Option<String>, Header, description = "alias of the body's `reference`"),
        ("Prefer" = Option<String>, Header, description = "as for a transaction"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries it"),
    ),
    request_body(content = OnHoldRequest),
    responses(
        (status = 200, description = "of a dry run: what would happen", body = DryRunView),
        (status = 201, description = "posted, and final", body = TransactionView),
        (status = 202, description = "on the log, and not decided within the wait", body = TransactionView),
        (status = 404, description = "no hold of this reference is known", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the hold is not decided yet: send this again in a moment", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "rejected: more than what is left, expired, voided or spent", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn post(
    state: State<Arc<Context>>,
    caller: Extension<Arc<Caller>>,
    name: Name,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    on_hold(Kind::Post, state, (caller, mode), name, headers, body).await
}

/// Void a hold
///
/// Releases all that is left of it. A transaction of its own, with a reference of its own.
#[utoipa::path(
    post, path = "/v1/transactions/{reference}/void", tag = "transactions",
    params(
        ("reference" = String, Path, description = "of the hold, percent-encoded"),
        ("Idempotency-Key" = Option<String>, Header, description = "alias of the body's `reference`"),
        ("Prefer" = Option<String>, Header, description = "as for a transaction"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries it"),
    ),
    request_body(content = OnHoldRequest),
    responses(
        (status = 200, description = "of a dry run: what would happen", body = DryRunView),
        (status = 201, description = "voided, and final", body = TransactionView),
        (status = 202, description = "on the log, and not decided within the wait", body = TransactionView),
        (status = 404, description = "no hold of this reference is known", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the hold is not decided yet: send this again in a moment", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "rejected: expired, voided or spent before", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn void(
    state: State<Arc<Context>>,
    caller: Extension<Arc<Caller>>,
    name: Name,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    on_hold(Kind::Void, state, (caller, mode), name, headers, body).await
}

async fn on_hold(
    kind: Kind,
    State(context): State<Arc<Context>>,
    (Extension(caller), mode): (Extension<Arc<Caller>>, Mode),
    Name(of): Name,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    header::no_if_match(&headers)?;
    let bytes = context.json(&headers, body).await?;
    let request: OnHoldRequest<'_> = parse(&bytes)?;
    let reference = header::reference(&headers, request.reference.as_deref())?;
    if let Some(reference) = reference {
        client_reference(reference, 0)?;
    }
    let ledger = context.decode(|decoder| decoder.ledger(&request.ledger))?;
    caller.may_write(&ledger)?;
    let hold = context.known_hold(&ledger, &of).await?;
    let named = mode.named(reference);
    let command = context.decode(|decoder| request.command(kind, &hold, named, decoder))?;
    let form = Form {
        applied: Class::Created,
        location: None,
        precondition: false,
        preference: Preference::of(&headers)?,
    };
    context
        .carry_out((&caller, &mode), &headers, command, form)
        .await
}

impl Context {
    async fn known_hold(&self, ledger: &str, reference: &str) -> Result<KnownHold, Problem> {
        let unknown = || {
            let detail = "no hold of this reference is known here";
            Problem::new(ProblemKind::TransactionNotFound, detail)
        };
        match self.find_soon(ledger, reference).await? {
            Found::Nothing => Err(unknown()),
            Found::Pending => {
                let detail = "the hold is not decided yet; send this again in a moment";
                Err(Problem::new(ProblemKind::RequestInFlight, detail))
            }
            Found::Decided(decided) => {
                let view: Option<TransactionView<'_>> = serde_json::from_slice(&decided.json).ok();
                let hold = view.and_then(|view| KnownHold::of(&view, self.partitions));
                hold.ok_or_else(unknown)
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldsQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

/// List a balance's open holds
///
/// The balance and the holds that reserve something on it, all as of one moment of cold, which
/// `balance.as_of` names.
#[utoipa::path(
    get, path = "/v1/balances/{id}/holds", tag = "balances",
    params(
        ("id" = uuid::Uuid, Path),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "by default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, description = "the balance and its open holds", body = BalanceHoldsView),
        (status = 404, description = "there is no such balance in cold", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn list(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Name(id): Name,
    query: Result<Query<HoldsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let id = balance_id(&id)?;
    let Query(query) = query.map_err(|error| Problem::malformed("query", error.body_text()))?;
    let limit = cursor::limit(query.limit)?;
    let after = query.cursor.as_deref().map(cursor::hold).transpose()?;
    let more = limit.saturating_add(1);
    let found = holds::of_balance(&context.pool, id.uuid(), after, more).await;
    let (balance, as_of, mut rows) = found
        .map_err(|error| unavailable(&error))?
        .filter(|(balance, ..)| caller.reads(&balance.ledger))
        .ok_or_else(unknown)?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| has_more);
    let next = last.map(|row| cursor::of_hold(row.id));
    let view = BalanceHoldsView {
        balance: cold_view(balance, as_of.at),
        holds: rows.into_iter().filter_map(hold_view).collect(),
        has_more,
        next,
    };
    let mut response = json(Class::Ok, serde_json::to_vec(&view).unwrap_or_default());
    let base = format!("/v1/balances/{}/holds?limit={limit}", id.uuid());
    link_next(&mut response, &base, view.next.as_deref());
    Ok(response)
}
