//! Which handler answers what.

use std::sync::Arc;

use axum::Router;
use axum::http::header as names;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::context::Context;
use super::{
    balance, balances, batch, edge, health, history, holds, openapi, periods, reversals,
    transactions,
};

/// All routes, within what every request passes.
pub fn router(context: Arc<Context>) -> Router {
    let description = openapi::json();
    let describe = move || async move {
        ([(names::CONTENT_TYPE, "application/json")], description).into_response()
    };
    let edge = axum::middleware::from_fn_with_state(context.clone(), edge::pass);
    Router::new()
        .route("/v1/transactions", post(transactions::post))
        .route("/v1/transactions/batch", post(batch::post))
        .route("/v1/transactions/{reference}", get(transactions::get))
        .route("/v1/transactions/{reference}/post", post(holds::post))
        .route("/v1/transactions/{reference}/void", post(holds::void))
        .route(
            "/v1/transactions/{reference}/reverse",
            post(reversals::reverse),
        )
        .route("/v1/balances", post(balances::open).get(history::balances))
        .route(
            "/v1/balances/{id}",
            get(balance::get).patch(balances::configure),
        )
        .route("/v1/balances/{id}/entries", get(history::entries))
        .route("/v1/balances/{id}/holds", get(holds::list))
        .route(
            "/v1/ledgers/{ledger}/closed-period",
            get(periods::get).put(periods::close),
        )
        .route("/openapi.json", get(describe))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(edge::no_route)
        .method_not_allowed_fallback(edge::no_method)
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(edge)
        .with_state(context)
}
