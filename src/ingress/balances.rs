//! One balance: open it, and change what bounds it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use uuid::Uuid;

use super::answer::{Form, answer};
use super::auth::Caller;
use super::context::Context;
use super::error::Class;
use super::header;
use super::mode::Mode;
use super::name::Name;
use super::prefer::Preference;
use super::problem::Problem;
use super::submit::Manner;
use crate::ledger::{BalanceId, Command};
use crate::wire::http::request::{client_reference, parse};
use crate::wire::http::{ConfigureRequest, DryRunView, OpenRequest, ProblemBody, TransactionView};
use crate::wire::{Invalid, InvalidKind};

/// Open a balance
///
/// The id follows from ledger, account, asset and key. Without a reference, opening the same
/// balance with the same content again is the same transaction.
#[utoipa::path(
    post, path = "/v1/balances", tag = "balances",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "alias of `reference`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds or `respond-async`"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries it"),
    ),
    request_body(content = OpenRequest),
    responses(
        (status = 200, description = "of a dry run: what would happen", body = DryRunView),
        (status = 201, description = "opened; `balance` is its id", body = TransactionView,
         headers(("Location" = String), ("ETag" = String))),
        (status = 202, description = "on the log, and not decided within the wait", body = TransactionView),
        (status = 422, description = "rejected, and final", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn open(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    header::no_if_match(&headers)?;
    let bytes = context.json(&headers, body).await?;
    let request: OpenRequest<'_> = parse(&bytes)?;
    let reference = header::reference(&headers, request.reference.as_deref())?;
    if let Some(reference) = reference {
        client_reference(reference, 0)?;
    }
    let command = context.decode(|decoder| request.command(reference, decoder))?;
    let location = format!("/v1/balances/{}", command.decider());
    let form = Form {
        applied: Class::Created,
        location: Some(&location),
        precondition: false,
        preference: Preference::of(&headers)?,
    };
    context
        .carry_out((&caller, &mode), &headers, command, form)
        .await
}

/// Configure a balance
///
/// Floor, ceiling, freeze, unfreeze, close. `If-Match` makes it depend on the version.
#[utoipa::path(
    patch, path = "/v1/balances/{id}", tag = "balances",
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "alias of `reference`"),
        ("If-Match" = Option<String>, Header, description = "the balance's version, such as `\"17\"`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds or `respond-async`"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries it, and answers 200 with a `DryRun`"),
    ),
    request_body(content = ConfigureRequest),
    responses(
        (status = 200, description = "changed", body = TransactionView, headers(("ETag" = String))),
        (status = 202, description = "on the log, and not decided within the wait", body = TransactionView),
        (status = 412, description = "the version of `If-Match` did not hold", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "rejected, and final", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn configure(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Name(id): Name,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let balance = balance_id(&id)?;
    let bytes = context.json(&headers, body).await?;
    let request: ConfigureRequest<'_> = parse(&bytes)?;
    let reference = header::reference(&headers, request.reference.as_deref())?;
    if let Some(reference) = reference {
        client_reference(reference, 0)?;
    }
    let if_match = header::if_match(&headers)?;
    let named = mode.named(reference);
    let command =
        context.decode(|decoder| request.command(balance.uuid(), named, if_match, decoder))?;
    let form = Form {
        applied: Class::Ok,
        location: None,
        precondition: if_match.is_some(),
        preference: Preference::of(&headers)?,
    };
    context
        .carry_out((&caller, &mode), &headers, command, form)
        .await
}

/// A balance id of a path.
pub fn balance_id(text: &str) -> Result<BalanceId, Problem> {
    let id = Uuid::parse_str(text).ok().filter(|_| text.len() == 36);
    id.map(BalanceId::new).ok_or_else(|| {
        Invalid::new(
            InvalidKind::InvalidBalance,
            "id",
            "is not a UUID with hyphens",
        )
        .into()
    })
}

impl Context {
    /// Submits a command, and answers in the form of its route; or only tries it.
    pub async fn carry_out(
        &self,
        (caller, mode): (&Caller, &Mode),
        headers: &HeaderMap,
        command: Command,
        form: Form<'_>,
    ) -> Result<Response, Problem> {
        caller.may_write(&command.ledger)?;
        if mode.dry_run {
            return self
                .try_alone(caller, (command, 0), form.precondition, mode)
                .await;
        }
        let traceparent = header::traceparent(headers);
        let patience = form.preference.patience(self.options.wait_default);
        let manner = Manner {
            patience,
            traceparent: &traceparent,
        };
        let settled = self.submit(&command, manner).await?;
        Ok(answer(&command, settled, form))
    }
}
