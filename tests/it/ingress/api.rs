//! An ingress of this process, and what can be asked of it.

use std::net::SocketAddr;

use clap::Parser;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use steelyard::ingress::{self, IngressMetrics};
use steelyard::{hot, log};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::ending::Ending;
use crate::support::{World, until};

#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    ingress: ingress::Options,
    #[command(flatten)]
    log: log::Options,
    #[command(flatten)]
    hot: hot::Options,
}

/// A running ingress.
pub(super) struct Api {
    pub(super) base: String,
    pub(super) client: Client,
    pub(super) registry: prometheus::Registry,
    pub(super) stop: CancellationToken,
    ending: Ending,
    running: JoinSet<anyhow::Result<()>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        Self {
            status,
            headers,
            text,
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("plain text"))
    }

    /// The slug of a problem; asserts that it is one.
    pub(super) fn slug(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["instance"], self.header("x-request-id"), "{self:?}");
        let kind = problem["type"].as_str().expect("a type");
        kind.strip_prefix("/problems/")
            .expect("a problem's type")
            .to_owned()
    }

    pub(super) fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }
}

impl Api {
    /// Starts an ingress of `world` with more flags, and waits until it is ready.
    pub(super) async fn start(world: &World, flags: &[&str]) -> Self {
        let prefix = &world.name;
        let redis = std::env::var("STEELYARD_REDIS_URL").expect("a redis");
        let own = [
            "--insecure",
            "--kafka-brokers",
            &world.kafka,
            "--topic-prefix",
            prefix,
        ];
        let mut args = own.to_vec();
        if !flags.contains(&"--redis-url") {
            args.extend(["--redis-url", &redis]);
        }
        // A machine that is slow changes no answer.
        for slow in [["--wait-default", "15s"], ["--claim-timeout", "5s"]] {
            if !flags.contains(&slow[0]) {
                args.extend(slow);
            }
        }
        args.extend(flags);
        let pool = world.postgres().await;
        let mut api = Self::launch(&args, pool, world.partitions, prefix).await;
        api.ending = world.ending.clone();
        api.ready().await;
        api
    }

    /// Starts an ingress with all its flags, without waiting.
    pub(super) async fn launch(
        args: &[&str],
        pool: sqlx::PgPool,
        partitions: u16,
        prefix: &str,
    ) -> Self {
        let mut all = vec![
            "ingress",
            "--http-listen",
            "127.0.0.1:0",
            "--redis-prefix",
            prefix,
        ];
        // API keys and letting everybody in exclude each other.
        let keys = args.contains(&"--api-keys-file");
        all.extend(args.iter().filter(|arg| !(keys && **arg == "--insecure")));
        let args = Args::parse_from(all);
        let registry = prometheus::Registry::new();
        let metrics = IngressMetrics::new(&registry).expect("metrics");
        let stop = CancellationToken::new();
        let (bound, address) = oneshot::channel::<SocketAddr>();
        let mut running = JoinSet::new();
        let tell = |address| bound.send(address).expect("it is waited for");
        let Args { ingress, log, hot } = args;
        let run = ingress::run(
            ingress,
            log,
            hot,
            pool,
            partitions,
            metrics,
            stop.clone(),
            tell,
        );
        running.spawn(run);
        let address = match address.await {
            Ok(address) => address,
            Err(_) => panic!("it did not start: {:?}", running.join_next().await),
        };
        let base = format!("http://{address}");
        Self {
            base,
            client: Client::new(),
            registry,
            stop,
            ending: Ending::default(),
            running,
        }
    }

    pub(super) async fn ready(&self) {
        until("the ingress to be ready", async || {
            (self.get("/readyz").await.status == 200).then_some(())
        })
        .await;
    }

    /// Stops it and waits; it must end well.
    pub(super) async fn ended(mut self) {
        self.stop.cancel();
        let result = self
            .running
            .join_next()
            .await
            .expect("it runs")
            .expect("it does not panic");
        result.expect("it ends well");
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        if method != Method::GET {
            self.ending.moved();
        }
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::of(request.send().await.expect("an answer")).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(super) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = self.request(Method::POST, path).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// Posts a raw body as JSON.
    pub(super) async fn raw(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    pub(super) async fn transfer(
        &self,
        reference: &str,
        from: &str,
        to: &str,
        amount: &str,
    ) -> Answer {
        self.post(
            "/v1/transactions",
            &crate::support::transfer(reference, from, to, amount),
        )
        .await
    }

    /// Opens a USD balance, which must succeed; its id.
    pub(super) async fn open(&self, account: &str) -> String {
        let opened = self
            .post("/v1/balances", &json!({"account": account, "asset": "USD"}))
            .await;
        assert_eq!(opened.status, StatusCode::CREATED, "{opened:?}");
        opened.json()["balance"]
            .as_str()
            .expect("its id")
            .to_owned()
    }

    /// Waits until the transaction is final; its view.
    pub(super) async fn decided(&self, reference: &str) -> Value {
        let path = format!("/v1/transactions/{reference}");
        until(&format!("the outcome of {reference}"), async || {
            let answer = self.get(&path).await;
            let view = answer.json();
            (answer.status == 200 && view["status"] != "pending").then_some(view)
        })
        .await
    }

    /// The value of a counter or gauge with one label value, or without labels.
    pub(super) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let fits = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
        };
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        metrics.iter().filter(fits).map(value).sum()
    }
}
