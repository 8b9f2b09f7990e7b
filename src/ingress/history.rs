//! Lists: the entries of a balance, and the balances of an account. Both from cold, page by page.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header as names;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::answer::{escaped, insert, json};
use super::auth::Caller;
use super::balance::{cold_view, unknown};
use super::context::Context;
use super::cursor;
use super::error::Class;
use super::lookup::{entry, unavailable};
use super::name::Name;
use super::problem::Problem;
use super::reading::Names;
use crate::cold::read::{self, AsOf, BalanceCursor, BalanceRow, EntryCursor, Order, Page};
use crate::ledger::id::DEFAULT_KEY;
use crate::ledger::stripes::is_striped;
use crate::ledger::{Asset, BalanceId};
use crate::wire::command::account_name;
use crate::wire::http::{BalanceView, DEFAULT_LEDGER, EntryView, PageView, ProblemBody};
use crate::wire::scalar::Time;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntriesQuery {
    cursor: Option<String>,
    limit: Option<u32>,
    order: Option<String>,
    ledger: Option<String>,
    asset: Option<String>,
}

/// List a balance's entries
///
/// Newest first, or `order=oldest`. From cold: `as_of` says up to when every entry is in it.
#[utoipa::path(
    get, path = "/v1/balances/{id}/entries", tag = "balances",
    params(
        ("id" = String, Path, description = "the balance's id; or the name of a striped account, such as `@world`: the entries of all its stripes"),
        ("asset" = Option<String>, Query, description = "of a striped account that is named"),
        ("ledger" = Option<String>, Query, description = "of a striped account that is named, by default `main`"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "by default 100"),
        ("order" = Option<String>, Query, description = "`newest` (default) or `oldest`; the same on every page"),
    ),
    responses(
        (status = 200, description = "a page", body = PageView<EntryView>,
         headers(("Link" = Option<String>, description = "`rel=\"next\"`"))),
        (status = 404, description = "there is no such balance in cold", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn entries(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Name(id): Name,
    query: Result<Query<EntriesQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed("query", error.body_text()))?;
    let names = Names {
        id: &id,
        ledger: query.ledger.as_deref(),
        asset: query.asset.as_deref(),
    };
    let meant = context.meant(names)?;
    let limit = cursor::limit(query.limit)?;
    let (order, word) = match query.order.as_deref() {
        None | Some("newest") => (Order::NewestFirst, "newest"),
        Some("oldest") => (Order::OldestFirst, "oldest"),
        Some(_) => return Err(Problem::malformed("order", "must be newest or oldest")),
    };
    let after = query.cursor.as_deref().map(cursor::entry).transpose()?;
    let cold = |error: sqlx::Error| unavailable(&error);
    let (_, rows, as_of) = context.rows(&meant).await?;
    let first = rows.first().ok_or_else(unknown)?;
    if !caller.reads(&first.ledger) {
        return Err(unknown());
    }
    let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.id).collect();
    let page = Page {
        order,
        after,
        limit: limit + 1,
    };
    let rows = read::entries(&context.pool, &ids, page)
        .await
        .map_err(cold)?;
    let (rows, has_more) = cut(rows, limit);
    let last = rows.last().filter(|_| has_more);
    let next = last.map(|row| {
        cursor::of_entry(EntryCursor {
            at: row.at,
            version: row.version,
            balance: row.balance_id,
        })
    });
    let data: Vec<EntryView<'_>> = rows.into_iter().map(entry).collect();
    let as_of = as_of.map(|as_of| Time(as_of.timestamp_millis()));
    let mut base = format!(
        "/v1/balances/{}/entries?order={word}&limit={limit}",
        escaped(&id)
    );
    for (name, value) in [("ledger", names.ledger), ("asset", names.asset)] {
        if let Some(value) = value {
            base.push_str(&format!("&{name}={}", escaped(value)));
        }
    }
    Ok(page_answer(
        &PageView {
            data,
            has_more,
            next,
            as_of,
        },
        &base,
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancesQuery {
    ledger: Option<String>,
    account: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// List an account's balances
///
/// By asset and key. From cold: every balance says as of when.
#[utoipa::path(
    get, path = "/v1/balances", tag = "balances",
    params(
        ("account" = String, Query),
        ("ledger" = Option<String>, Query, description = "by default `main`"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "by default 100"),
    ),
    responses(
        (status = 200, description = "a page; it is empty for an account that is not in cold, or not seen by the API key", body = PageView<BalanceView>,
         headers(("Link" = Option<String>, description = "`rel=\"next\"`"))),
    ),
)]
pub async fn balances(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    query: Result<Query<BalancesQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::malformed("query", error.body_text()))?;
    let limit = cursor::limit(query.limit)?;
    let ledger = query.ledger.as_deref().unwrap_or(DEFAULT_LEDGER);
    let ledger = context.decode(|decoder| decoder.ledger(ledger))?;
    let account = query.account.as_deref();
    let account = account.ok_or_else(|| Problem::malformed("account", "is missing"))?;
    account_name(account, "account")?;
    let after = query.cursor.as_deref().map(cursor::balance).transpose()?;
    // A striped account has a row for each stripe, which count as one.
    let stripes = if is_striped(account) {
        u32::from(context.partitions)
    } else {
        1
    };
    let wanted = (limit + 1).saturating_mul(stripes);
    let rows = match caller.reads(&ledger) {
        false => Vec::new(),
        true => read::balances(&context.pool, (&ledger, account), after.as_ref(), wanted)
            .await
            .map_err(|error| unavailable(&error))?,
    };
    let rows = if is_striped(account) {
        summed(rows)
    } else {
        rows
    };
    let (rows, has_more) = cut(rows, limit);
    let last = rows
        .last()
        .filter(|_| has_more)
        .map(|(row, _)| BalanceCursor {
            asset: row.asset.clone(),
            // After every key, where there is one row for all of them.
            key: if is_striped(account) {
                "~".to_owned()
            } else {
                row.key.clone()
            },
        });
    let next = last.as_ref().map(cursor::of_balance);
    let as_of = rows
        .iter()
        .map(|(_, as_of)| Time(as_of.at.timestamp_millis()))
        .min();
    let data: Vec<BalanceView<'_>> = rows
        .into_iter()
        .map(|(row, as_of)| cold_view(row, as_of.at))
        .collect();
    let (ledger, account) = (escaped(&ledger), escaped(account));
    let base = format!("/v1/balances?ledger={ledger}&account={account}&limit={limit}");
    Ok(page_answer(
        &PageView {
            data,
            has_more,
            next,
            as_of,
        },
        &base,
    ))
}

/// One row for the stripes of each asset, as of the oldest of them.
fn summed(rows: Vec<(BalanceRow, AsOf)>) -> Vec<(BalanceRow, AsOf)> {
    let mut summed: Vec<(BalanceRow, AsOf)> = Vec::new();
    for (row, as_of) in rows {
        match summed
            .last_mut()
            .filter(|(whole, _)| whole.asset == row.asset)
        {
            Some((whole, oldest)) => {
                whole.posted += row.posted;
                whole.held += row.held;
                whole.incoming += row.incoming;
                whole.version = whole.version.saturating_add(row.version);
                if as_of.at < oldest.at {
                    *oldest = as_of;
                }
            }
            None => {
                let mut whole = row;
                if let Ok(asset) = Asset::parse(&whole.asset) {
                    let id = BalanceId::of(&whole.ledger, &whole.account, &asset, DEFAULT_KEY);
                    whole.id = id.uuid();
                }
                whole.key = DEFAULT_KEY.to_owned();
                summed.push((whole, as_of));
            }
        }
    }
    summed
}

/// One row more than the page holds was asked for, to see whether there is one.
fn cut<T>(mut rows: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}

fn page_answer<T: Serialize>(page: &PageView<T>, base: &str) -> Response {
    let mut response = json(Class::Ok, serde_json::to_vec(page).unwrap_or_default());
    link_next(&mut response, base, page.next.as_deref());
    response
}

/// Where the next page is, if there is one: `base` has a query already.
pub(super) fn link_next(response: &mut Response, base: &str, next: Option<&str>) {
    if let Some(next) = next {
        let link = format!("<{base}&cursor={next}>; rel=\"next\"");
        insert(response.headers_mut(), names::LINK, &link);
    }
}
