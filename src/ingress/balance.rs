//! One balance: read it from hot, else from cold, and as it stood at a time.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header as names};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::answer::{insert, json};
use super::auth::Caller;
use super::context::Context;
use super::error::{Class, Kind};
use super::header;
use super::lookup::{money, unavailable};
use super::name::Name;
use super::problem::Problem;
use super::reading::{Meant, Names, body};
use crate::cold::{periods, read};
use crate::ledger::id::DEFAULT_KEY;
use crate::ledger::{Asset, BalanceId};
use crate::wire::http::{BalanceView, EffectiveBalanceView, PastBalanceView, ProblemBody};
use crate::wire::scalar::{Money, Str, Time};

/// At what time a balance is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtQuery {
    at: Option<String>,
    effective_at: Option<String>,
    ledger: Option<String>,
    asset: Option<String>,
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
        ("id" = String, Path, description = "the balance's id; or the name of a striped account, such as `@world`, whose stripes are summed"),
        ("asset" = Option<String>, Query, description = "of a striped account that is named"),
        ("ledger" = Option<String>, Query, description = "of a striped account that is named, by default `main`"),
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
    Name(id): Name,
    query: Result<Query<AtQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed("query", error.body_text()))?;
    let meant = context.meant(Names {
        id: &id,
        ledger: query.ledger.as_deref(),
        asset: query.asset.as_deref(),
    })?;
    match (query.at.as_deref(), query.effective_at.as_deref()) {
        (None, None) => {}
        (Some(at), None) => {
            let view = context.past(&meant, moment(at, "at")?).await?;
            return told(view.filter(|view| caller.reads(&view.ledger)));
        }
        (None, Some(date)) => {
            let view = context
                .effective(&meant, moment(date, "effective_at")?)
                .await?;
            return told(view.filter(|view| caller.reads(&view.ledger)));
        }
        (Some(_), Some(_)) => {
            let detail = "and at exclude each other";
            return Err(Problem::malformed("effective_at", detail));
        }
    }
    let reading = context.read_meant(meant).await?.ok_or_else(unknown)?;
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

    /// The rows in cold of what is meant, and as of when the entries of all of them are.
    pub async fn rows(
        &self,
        meant: &Meant,
    ) -> Result<(BalanceId, Vec<read::BalanceRow>, Option<DateTime<Utc>>), Problem> {
        let cold = |error: sqlx::Error| unavailable(&error);
        let find = async |meant: &Meant| {
            let ids: Vec<Uuid> = meant.parts.iter().map(|id| id.uuid()).collect();
            read::balances_by_id(&self.pool, &ids).await.map_err(cold)
        };
        let mut rows = find(meant).await?;
        let mut id = meant.id;
        if let Some(row) = rows.first()
            && let Ok(asset) = Asset::parse(&row.asset)
        {
            let whole = self.whole(meant.clone(), &row.ledger, (&row.account, &row.key), &asset);
            id = whole.id;
            if whole.parts.len() > meant.parts.len() {
                rows = find(&whole).await?;
            }
        }
        // The journal's positions are read first: the entries are at least as new.
        let mut as_of = None;
        for row in &rows {
            let journaled = read::journaled(&self.pool, row.partition).await;
            let at = journaled.map_err(cold)?.map(|as_of| as_of.at);
            as_of = match as_of {
                None => at,
                Some(known) => at.map(|at| at.min(known)),
            };
        }
        Ok((id, rows, as_of))
    }

    /// A balance at log time `at`, from its entries in cold.
    async fn past(
        &self,
        meant: &Meant,
        at: DateTime<Utc>,
    ) -> Result<Option<PastBalanceView<'static>>, Problem> {
        let (id, rows, as_of) = self.rows(meant).await?;
        let mut sum: Option<PastBalanceView<'static>> = None;
        for row in rows {
            let entry = read::balance_at(&self.pool, row.id, at).await;
            let Some(entry) = entry.map_err(|error| unavailable(&error))? else {
                continue;
            };
            let Some(sum) = &mut sum else {
                sum = Some(PastBalanceView {
                    id: id.uuid(),
                    ledger: Str(row.ledger.into()),
                    account: Str(row.account.into()),
                    key: Str(key_of(row.id, id, row.key).into()),
                    posted: money(entry.posted, &row.asset),
                    held: money(entry.held, &row.asset),
                    incoming: money(entry.incoming, &row.asset),
                    asset: Str(row.asset.into()),
                    version: entry.version,
                    at: Time(at.timestamp_millis()),
                    source: "cold",
                    as_of: as_of.map(|as_of| Time(as_of.timestamp_millis())),
                });
                continue;
            };
            sum.posted = added(sum.posted, entry.posted)?;
            sum.held = added(sum.held, entry.held)?;
            sum.incoming = added(sum.incoming, entry.incoming)?;
            sum.version = sum.version.saturating_add(entry.version);
        }
        Ok(sum)
    }

    /// What a balance had posted by `date`, from its entries in cold.
    async fn effective(
        &self,
        meant: &Meant,
        date: DateTime<Utc>,
    ) -> Result<Option<EffectiveBalanceView<'static>>, Problem> {
        let (id, rows, as_of) = self.rows(meant).await?;
        let mut sum: Option<EffectiveBalanceView<'static>> = None;
        for row in rows {
            let posted = periods::posted_by(&self.pool, row.id, date).await;
            let posted = posted.map_err(|error| unavailable(&error))?;
            let Some(sum) = &mut sum else {
                sum = Some(EffectiveBalanceView {
                    id: id.uuid(),
                    ledger: Str(row.ledger.into()),
                    account: Str(row.account.into()),
                    key: Str(key_of(row.id, id, row.key).into()),
                    posted: money(posted, &row.asset),
                    asset: Str(row.asset.into()),
                    effective_at: Time(date.timestamp_millis()),
                    source: "cold",
                    as_of: as_of.map(|as_of| Time(as_of.timestamp_millis())),
                });
                continue;
            };
            sum.posted = added(sum.posted, posted)?;
        }
        Ok(sum)
    }
}

/// The key that an answer about `id` has: of a sum of stripes that of the whole.
fn key_of(row: Uuid, id: BalanceId, key: String) -> String {
    match row == id.uuid() {
        true => key,
        false => DEFAULT_KEY.to_owned(),
    }
}

fn added(sum: Money, part: Decimal) -> Result<Money, Problem> {
    let large = || Problem::new(Kind::Internal, "the sum needs more than 28 digits");
    sum.0.checked_add(part).map(Money).ok_or_else(large)
}
