//! One balance: read it from hot, else from cold, and as it stood at a time.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header as names};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::answer::{insert, json};
use super::auth::Caller;
use super::balances::balance_id;
use super::context::Context;
use super::error::{Class, Kind};
use super::header;
use super::lookup::{money, unavailable};
use super::problem::Problem;
use super::reading::body;
use crate::cold::{periods, read};
use crate::ledger::BalanceId;
use crate::wire::http::{BalanceView, EffectiveBalanceView, PastBalanceView, ProblemBody};
use crate::wire::scalar::{Str, Time};

/// At what time a balance is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtQuery {
    at: Option<String>,
    effective_at: Option<String>,
}

/// A moment that a query names.
fn moment(text: &str, field: &str) -> Result<DateTime<Utc>, Problem> {
    let read = DateTime::parse_from_rfc3339(text);
    let read = read.map_err(|_| Problem::malformed(field, "is not an RFC 3339 time"))?;
    Ok(read.with_timezone(&Utc))
}

/// Read a balance
///
/// From hot, else from cold; `source` says which, and `as_of` up to when every change is in it.
#[utoipa::path(
    get, path = "/v1/balances/{id}", tag = "balances",
    params(
        ("id" = Uuid, Path),
        ("at" = Option<String>, Query, description = "RFC 3339 time: the balance as it stood then (`PastBalance`)"),
        ("effective_at" = Option<String>, Query, description = "RFC 3339 time: what was posted by everything that took effect up to then (`EffectiveBalance`)"),
        ("If-None-Match" = Option<String>, Header, description = "a version that is known already"),
    ),
    responses(
        (status = 200, description = "the balance", body = BalanceView, headers(("ETag" = String))),
        (status = 304, description = "it has that version still"),
        (status = 404, description = "there is none, or its ledger is one that the API key does not see", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn get(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Path(id): Path<String>,
    query: Result<Query<AtQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = balance_id(&id)?;
    let Query(query) = query.map_err(|error| Problem::malformed("query", error.body_text()))?;
    match (query.at.as_deref(), query.effective_at.as_deref()) {
        (None, None) => {}
        (Some(at), None) => {
            let view = context.past(id, moment(at, "at")?).await?;
            return told(view.filter(|view| caller.reads(&view.ledger)));
        }
        (None, Some(date)) => {
            let view = context.effective(id, moment(date, "effective_at")?).await?;
            return told(view.filter(|view| caller.reads(&view.ledger)));
        }
        (Some(_), Some(_)) => {
            let detail = "and at exclude each other";
            return Err(Problem::malformed("effective_at", detail));
        }
    }
    let reading = context.read_balance(id).await?.ok_or_else(unknown)?;
    context.found(&caller, &headers, &reading.view())
}

fn told(view: Option<impl Serialize>) -> Result<Response, Problem> {
    let view = view.ok_or_else(unknown)?;
    let body = serde_json::to_vec(&view).unwrap_or_default();
    Ok(json(Class::Ok, body))
}

pub fn unknown() -> Problem {
    Problem::new(Kind::BalanceNotFound, "there is no balance of this id here")
}

/// A row of cold as a client reads it.
pub fn cold_view(row: read::BalanceRow, as_of: DateTime<Utc>) -> BalanceView<'static> {
    BalanceView::of(body(row), "cold", Some(Time(as_of.timestamp_millis())))
}

impl Context {
    fn found(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        view: &BalanceView<'_>,
    ) -> Result<Response, Problem> {
        if !caller.reads(&view.ledger) {
            return Err(unknown());
        }
        self.metrics
            .balance_reads
            .with_label_values(&[view.source])
            .inc();
        let mut response = match header::none_match(headers, view.version) {
            true => Class::NotModified.status().into_response(),
            false => json(Class::Ok, serde_json::to_vec(view).unwrap_or_default()),
        };
        insert(
            response.headers_mut(),
            names::ETAG,
            &format!("\"{}\"", view.version),
        );
        Ok(response)
    }

    /// A balance at log time `at`, from its entries in cold.
    async fn past(
        &self,
        id: BalanceId,
        at: DateTime<Utc>,
    ) -> Result<Option<PastBalanceView<'static>>, Problem> {
        let cold = |error: sqlx::Error| unavailable(&error);
        let Some((row, _)) = read::balance(&self.pool, id.uuid()).await.map_err(cold)? else {
            return Ok(None);
        };
        // The journal's position is read first: the entries are at least as new.
        let as_of = read::journaled(&self.pool, row.partition)
            .await
            .map_err(cold)?;
        let Some(entry) = read::balance_at(&self.pool, id.uuid(), at)
            .await
            .map_err(cold)?
        else {
            return Ok(None);
        };
        Ok(Some(PastBalanceView {
            id: row.id,
            ledger: Str(row.ledger.into()),
            account: Str(row.account.into()),
            key: Str(row.key.into()),
            posted: money(entry.posted, &row.asset),
            held: money(entry.held, &row.asset),
            incoming: money(entry.incoming, &row.asset),
            asset: Str(row.asset.into()),
            version: entry.version,
            at: Time(at.timestamp_millis()),
            source: "cold",
            as_of: as_of.map(|as_of| Time(as_of.at.timestamp_millis())),
        }))
    }

    /// What a balance had posted by `date`, from its entries in cold.
    async fn effective(
        &self,
        id: BalanceId,
        date: DateTime<Utc>,
    ) -> Result<Option<EffectiveBalanceView<'static>>, Problem> {
        let cold = |error: sqlx::Error| unavailable(&error);
        let Some((row, _)) = read::balance(&self.pool, id.uuid()).await.map_err(cold)? else {
            return Ok(None);
        };
        // The journal's position is read first: the entries are at least as new.
        let as_of = read::journaled(&self.pool, row.partition)
            .await
            .map_err(cold)?;
        let posted = periods::posted_by(&self.pool, id.uuid(), date)
            .await
            .map_err(cold)?;
        Ok(Some(EffectiveBalanceView {
            id: row.id,
            ledger: Str(row.ledger.into()),
            account: Str(row.account.into()),
            key: Str(row.key.into()),
            posted: money(posted, &row.asset),
            asset: Str(row.asset.into()),
            effective_at: Time(date.timestamp_millis()),
            source: "cold",
            as_of: as_of.map(|as_of| Time(as_of.at.timestamp_millis())),
        }))
    }
}
