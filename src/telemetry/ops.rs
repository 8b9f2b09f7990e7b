//! The operators' listener, apart from the one for clients.
//!
//! | path | answers |
//! |---|---|
//! | `/metrics` | Prometheus text |
//! | `/livez` | 200 while the process can answer at all |
//! | `/readyz`, `/readyz?verbose`, `/readyz/{check}` | 200 while no check waits or has failed, else 503 with the checks |
//! | `/ops` | everything at once as JSON: build, checks, lag, configuration with secrets masked |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, State as Given};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::{Health, State};

const TEXT: &str = "text/plain; charset=utf-8";

crate::metrics! {
    /// The build.
    pub struct Build {
        /// Always 1; the labels say which build this is.
        pub info: prometheus::IntGaugeVec = "steelyard_build_info", ["version", "commit"];
    }
}

/// Version and commit of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const COMMIT: &str = match option_env!("STEELYARD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Named parts of `/ops`, each written by whoever knows.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    sections: Arc<Mutex<BTreeMap<&'static str, Value>>>,
}

impl Overview {
    pub fn set(&self, section: &'static str, value: Value) {
        let mut sections = self.sections.lock().unwrap_or_else(PoisonError::into_inner);
        sections.insert(section, value);
    }

    fn sections(&self) -> BTreeMap<&'static str, Value> {
        let sections = self.sections.lock().unwrap_or_else(PoisonError::into_inner);
        sections.clone()
    }
}

/// What the listener shows.
#[derive(Clone, Debug, Default)]
pub struct Ops {
    pub registry: Registry,
    pub health: Health,
    pub overview: Overview,
}

/// Serves until stopped.
///
/// # Errors
/// If the listener fails, or the build is registered already.
pub async fn serve(listener: TcpListener, ops: Ops, stop: CancellationToken) -> anyhow::Result<()> {
    let build = Build::new(&ops.registry)?;
    build.info.with_label_values(&[VERSION, COMMIT]).set(1);
    let served = axum::serve(listener, router(ops));
    served
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    Ok(())
}

/// The paths of the listener.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/readyz/{check}", get(one))
        .route("/ops", get(overview))
        .with_state(ops)
}

async fn metrics(Given(ops): Given<Ops>) -> Response {
    match TextEncoder::new().encode_to_string(&ops.registry.gather()) {
        Ok(text) => answer(200, "text/plain; version=0.0.4; charset=utf-8", text),
        Err(error) => answer(500, TEXT, format!("{error}\n")),
    }
}

async fn readyz(Given(ops): Given<Ops>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let checks = ops.health.checks();
    let ready = checks.values().all(State::is_ready);
    let mut text = String::new();
    if query.contains_key("verbose") || !ready {
        let lines = checks.iter().map(|(check, state)| line(check, state));
        text = lines.collect();
    }
    match ready {
        true if text.is_empty() => text.push_str("ok\n"),
        true => text.push_str("readyz check passed\n"),
        false => text.push_str("readyz check failed\n"),
    }
    answer(if ready { 200 } else { 503 }, TEXT, text)
}

async fn one(Given(ops): Given<Ops>, Path(check): Path<String>) -> Response {
    match ops.health.checks().get(&check) {
        None => answer(404, TEXT, format!("there is no check {check}\n")),
        Some(state) if state.is_ready() => answer(200, TEXT, line(&check, state)),
        Some(state) => answer(503, TEXT, line(&check, state)),
    }
}

fn line(check: &str, state: &State) -> String {
    let sign = if state.is_ready() { '+' } else { '-' };
    format!("[{sign}]{check} {state}\n")
}

async fn overview(Given(ops): Given<Ops>) -> Json<Value> {
    let checks = ops.health.checks();
    let checks = checks
        .into_iter()
        .map(|(check, state)| (check, state.to_string()));
    let mut overview = json!({
        "build": { "version": VERSION, "commit": COMMIT },
        "ready": ops.health.is_ready(),
        "checks": checks.collect::<BTreeMap<_, _>>(),
    });
    for (section, value) in ops.overview.sections() {
        overview[section] = value;
    }
    Json(overview)
}

fn answer(status: u16, kind: &str, body: String) -> Response {
    let built = Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(body.into());
    built.expect("a status and one header make a response")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use tower::ServiceExt;

    async fn get(ops: &Ops, path: &str) -> (u16, String) {
        let request = axum::http::Request::get(path).body(String::new()).unwrap();
        let response = router(ops.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_says_what_it_waits_for() {
        let ops = Ops::default();
        assert_eq!(get(&ops, "/readyz").await, (200, "ok\n".to_owned()));
        ops.health.set("redis", State::Ok);
        let passed = "[+]redis ok\nreadyz check passed\n".to_owned();
        assert_eq!(get(&ops, "/readyz?verbose").await, (200, passed));
        ops.health.set("partition-3", State::waiting("postgres"));
        let (status, text) = get(&ops, "/readyz").await;
        assert_eq!(status, 503);
        assert!(text.starts_with("[-]partition-3 waiting: postgres\n[+]redis ok\n"));
        assert_eq!(get(&ops, "/readyz/redis").await.0, 200);
        assert_eq!(get(&ops, "/readyz/partition-3").await.0, 503);
        assert_eq!(get(&ops, "/readyz/other").await.0, 404);
        assert_eq!(get(&ops, "/livez").await.0, 200);
    }

    #[tokio::test]
    async fn ops_and_metrics_show_what_was_set() {
        let ops = Ops::default();
        ops.overview.set("lag", json!([{ "partition": 0 }]));
        let (_, text) = get(&ops, "/ops").await;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["lag"][0]["partition"], 0);
        assert_eq!(value["ready"], true);
        let build = Build::new(&ops.registry).unwrap();
        build.info.with_label_values(&[VERSION, COMMIT]).set(1);
        let (_, text) = get(&ops, "/metrics").await;
        assert!(text.contains("steelyard_build_info{"), "{text}");
    }
}
