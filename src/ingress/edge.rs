//! What every request passes: its id, who sends it, its problem's body, and the counts.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header as names};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::context::Context;
use super::error::Kind;
use super::header::{REQUEST_ID, request_id};
use super::problem::Problem;

/// The id of a request, in its answer, its problem and the logs.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// Wraps a request.
pub async fn pass(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id: Arc<str> = request_id(request.headers()).into();
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let response = match admit(&context, &mut request) {
        Ok(()) => {
            let span = tracing::debug_span!("request", request.id = &*id);
            next.run(request).instrument(span).await
        }
        Err(problem) => problem.into_response(),
    };
    let response = finish(response, &id);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let status = response.status();
    let metrics = &context.metrics;
    metrics
        .requests
        .with_label_values(&[route, status.as_str()])
        .inc();
    metrics
        .request_seconds
        .with_label_values(&[route])
        .observe(started.elapsed().as_secs_f64());
    response
}

/// Only what is under `/v1/` needs a key and counts against a quota.
fn admit(context: &Context, request: &mut Request) -> Result<(), Problem> {
    if !request.uri().path().starts_with("/v1/") {
        return Ok(());
    }
    let caller = context.keys.caller(request.headers())?;
    context.keys.charge(&caller, 1)?;
    request.extensions_mut().insert(caller);
    Ok(())
}

fn finish(mut response: Response, id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if problem.kind.status().is_server_error() {
            let reason = problem.kind.slug();
            tracing::debug!(request.id = id, reason, "{}", problem.detail);
        }
        let mut rendered = problem.render(id);
        for (name, value) in response.headers() {
            if name != names::CONTENT_TYPE && name != names::CONTENT_LENGTH {
                rendered.headers_mut().insert(name.clone(), value.clone());
            }
        }
        response = rendered;
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

pub async fn no_route() -> Problem {
    Problem::new(
        Kind::RouteNotFound,
        "see /openapi.json for the routes there are",
    )
}

pub async fn no_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "see the header Allow, and /openapi.json",
    )
}

/// The answer to a request whose handler panicked; the panic is in the log.
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(error = text, "a request failed unexpectedly");
    Problem::new(
        Kind::Internal,
        "nothing more is known; the log has the rest",
    )
    .into_response()
}
