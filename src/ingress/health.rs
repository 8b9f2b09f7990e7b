//! Alive and ready are different questions.
//!
//! Ready means that a command would get its outcome: the log answers, replies are read, and the
//! instance is not stopping. Hot and cold are told, and do not count.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::context::Context;
use super::error::Class;

const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The process runs
#[utoipa::path(get, path = "/livez", tag = "health",
    responses((status = 200, description = "alive", body = String)))]
pub async fn live() -> Response {
    text(Class::Ok, "ok\n".to_owned())
}

/// Commands can be taken
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "says what was looked at")),
    responses(
        (status = 200, description = "ready", body = String),
        (status = 503, description = "not ready", body = String),
    ))]
pub async fn ready(State(context): State<Arc<Context>>, RawQuery(query): RawQuery) -> Response {
    let verbose = query
        .as_deref()
        .is_some_and(|query| query.split('&').any(is_verbose));
    let stopping = context.stop.is_cancelled();
    let replies = context.assigned.partition().is_some();
    let log = log_answers(&context).await;
    let good = !stopping && replies && log;
    let class = if good { Class::Ok } else { Class::NotReady };
    if !verbose {
        return text(class, if good { "ok\n" } else { "not ready\n" }.to_owned());
    }
    let (redis, postgres) = tokio::join!(context.hot.ping(), cold_answers(&context));
    let checks = [
        ("kafka", log, true),
        ("replies", replies, true),
        ("not-stopping", !stopping, true),
        ("redis", redis, false),
        ("postgres", postgres, false),
    ];
    let mut lines = String::new();
    for (name, passed, needed) in checks {
        let sign = if passed { '+' } else { '-' };
        let verdict = match (passed, needed) {
            (true, _) => "ok",
            (false, true) => "failed",
            (false, false) => "failed, and not needed to be ready",
        };
        let _ = writeln!(lines, "[{sign}]{name} {verdict}");
    }
    let _ = writeln!(lines, "{}", if good { "ready" } else { "not ready" });
    text(class, lines)
}

fn is_verbose(parameter: &str) -> bool {
    parameter.split('=').next() == Some("verbose")
}

fn text(class: Class, body: String) -> Response {
    (
        class.status(),
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        body,
    )
        .into_response()
}

async fn log_answers(context: &Arc<Context>) -> bool {
    let context = context.clone();
    let ask = tokio::task::spawn_blocking(move || {
        let topic = &context.publisher.topics().commands;
        context.publisher.partitions_of(topic, CHECK_TIMEOUT)
    });
    matches!(ask.await, Ok(Ok(count)) if count > 0)
}

async fn cold_answers(context: &Context) -> bool {
    matches!(
        tokio::time::timeout(CHECK_TIMEOUT, context.pool.acquire()).await,
        Ok(Ok(_))
    )
}
