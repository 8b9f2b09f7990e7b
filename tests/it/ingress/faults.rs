//! What the ingress says when something behind it is away.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use steelyard::hot::key::Keys;

use super::api::Api;
use crate::support::{World, transfer, until};

/// An address where nobody listens.
const NOWHERE: &str = "redis://127.0.0.1:1";

#[tokio::test]
async fn without_redis_it_is_still_applied_once() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &["--redis-url", NOWHERE]).await;
    api.open("alice").await;
    api.open("bob").await;
    assert_eq!(api.transfer("f", "@world", "alice", "10").await.status, 201);
    let first = api.transfer("once", "alice", "bob", "6").await;
    assert_eq!((first.status, first.replayed()), (201, false), "{first:?}");
    let again = api.transfer("once", "alice", "bob", "6").await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");
    assert_eq!(
        again.json()["transaction_id"],
        first.json()["transaction_id"]
    );
    let other = api.transfer("once", "alice", "bob", "7").await;
    assert_eq!(
        (other.status, other.slug().as_str()),
        (422, "reference-reused")
    );
    let poor = api.transfer("poor", "alice", "bob", "6").await;
    assert_eq!(poor.slug(), "insufficient-funds");
    let read = api.get("/v1/transactions/unheard-of").await;
    assert_eq!(
        (read.status, read.slug().as_str()),
        (503, "storage-unavailable")
    );
    let verbose = api.get("/readyz?verbose").await;
    assert_eq!(verbose.status, 200, "{verbose:?}");
    assert!(verbose.text.contains("[-]redis"), "{verbose:?}");
    assert!(api.metric("steelyard_ingress_claims_total", "unknown") >= 1.0);
    api.ended().await;
    world.audit();
}

/// A broker in this process, with nobody who decides.
struct Mock {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    prefix: String,
}

impl Mock {
    fn new() -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        let prefix = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        for topic in ["commands", "replies"] {
            cluster
                .create_topic(&format!("{prefix}.{topic}"), 2, 1)
                .expect("a topic");
        }
        Self { cluster, prefix }
    }

    async fn api(&self, flags: &[&str]) -> Api {
        let redis = std::env::var("STEELYARD_REDIS_URL").expect("a redis");
        let database = std::env::var("STEELYARD_DATABASE_URL").expect("a database");
        let pool = sqlx::PgPool::connect_lazy(&database).expect("a pool");
        let brokers = self.cluster.bootstrap_servers();
        let mut args = vec![
            "--insecure",
            "--kafka-brokers",
            &brokers,
            "--redis-url",
            &redis,
        ];
        args.extend(["--topic-prefix", &self.prefix]);
        args.extend(flags);
        let api = Api::launch(&args, pool, 2, &self.prefix).await;
        api.ready().await;
        api
    }
}

#[tokio::test]
async fn a_claim_of_what_was_not_decided_refuses_nobody_for_good() {
    let world = World::new(1);
    let _node = world.start("all").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    let paid = api.transfer("paid", "@world", "alice", "1").await;
    assert_eq!(paid.status, 201, "{paid:?}");
    let mut redis = world.redis().await;
    // As a note that was lost leaves it: of content that was refused, or never heard of again.
    let mut claim = async |reference: &str| {
        let key = Keys::new(&world.name).claim("default/main", reference);
        let other = format!("p{}", "0".repeat(32));
        let mut set = redis::cmd("SET");
        let set = set.arg(key).arg(other).exec_async(&mut redis).await;
        set.expect("it is set");
    };
    claim("paid").await;
    until("cold to have it", async || {
        let read = api.get("/v1/transactions/paid").await;
        (read.json()["status"] == "applied").then_some(())
    })
    .await;
    let again = api.transfer("paid", "@world", "alice", "1").await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");
    claim("paid").await;
    let other = api.transfer("paid", "@world", "alice", "2").await;
    assert_eq!(other.slug(), "reference-reused", "{other:?}");
    claim("unheard").await;
    let early = api.transfer("unheard", "@world", "alice", "1").await;
    let told = (early.status, early.slug());
    assert_eq!(told, (409, "request-in-flight".to_owned()), "{early:?}");
    assert_eq!(early.header("retry-after"), "1");
    let batch = json!([transfer("unheard", "@world", "alice", "1")]);
    let batch = api.post("/v1/transactions/batch", &batch).await;
    assert_eq!(batch.json()["results"][0]["status"], 409, "{batch:?}");
    api.ended().await;
    world.audit();
}

#[tokio::test]
async fn nothing_is_a_2xx_before_kafka_has_it() {
    let mock = Mock::new();
    let api = mock
        .api(&["--publish-timeout", "5s", "--wait-default", "300ms"])
        .await;
    let sent = api.transfer("f-1", "@world", "alice", "1").await;
    assert_eq!(
        sent.status, 202,
        "acknowledged, and nobody decides: {sent:?}"
    );
    mock.cluster.broker_down(1).expect("down");
    for prefer in ["wait=1", "respond-async"] {
        let body = transfer("f-2", "@world", "alice", "1");
        let lost = api
            .post_with("/v1/transactions", &[("Prefer", prefer)], &body)
            .await;
        assert_eq!(
            (lost.status, lost.slug().as_str()),
            (503, "outcome-unknown"),
            "{prefer}"
        );
        assert_eq!(lost.header("retry-after"), "1");
        assert_eq!(lost.json()["retry"], "same-reference");
    }
    let other = api.transfer("f-2", "@world", "alice", "2").await;
    assert_eq!(other.slug(), "request-in-flight", "the claim is kept");
    assert_eq!(other.status, 409, "and nobody knows what it became");
    let batch = json!([transfer("f-3", "@world", "alice", "1")]);
    let batch = api.post("/v1/transactions/batch", &batch).await;
    assert_eq!(batch.json()["results"][0]["status"], 503, "{batch:?}");
    assert_eq!(api.get("/readyz").await.status, 503);
    assert_eq!(api.get("/livez").await.status, 200);
    mock.cluster.broker_up(1).expect("up");
    let sent = until("the broker's return", async || {
        let sent = api.transfer("f-2", "@world", "alice", "1").await;
        (sent.status != 503).then_some(sent)
    })
    .await;
    assert_eq!(sent.status, 202, "{sent:?}");
    api.ended().await;
}

#[tokio::test]
async fn waiting_callers_are_bounded_and_let_go_at_the_end() {
    let mock = Mock::new();
    let flags = [
        "--waiters-max",
        "1",
        "--wait-default",
        "20s",
        "--batch-items-max",
        "3",
    ];
    let api = mock.api(&flags).await;
    let body = transfer("w-1", "@world", "alice", "1");
    let waiting = api
        .request(Method::POST, "/v1/transactions")
        .json(&body)
        .send();
    let waiting = tokio::task::JoinSet::from_iter([waiting]);
    until("the first caller to wait", async || {
        (api.metric("steelyard_ingress_waiters", "") > 0.0).then_some(())
    })
    .await;
    let refused = api.transfer("w-2", "@world", "alice", "1").await;
    assert_eq!(
        (refused.status, refused.slug().as_str()),
        (503, "backpressure")
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("waiting callers")
    );
    let batch: Vec<_> = (0..4)
        .map(|n| transfer(&format!("w-{n}"), "@world", "a", "1"))
        .collect();
    let batch = api.post("/v1/transactions/batch", &json!(batch)).await;
    assert_eq!(
        (batch.status, batch.slug().as_str()),
        (413, "batch-too-large")
    );
    let started = std::time::Instant::now();
    api.ended().await;
    let answers = waiting.join_all().await;
    let answer = answers.into_iter().next().unwrap().unwrap();
    assert_eq!(answer.status(), 202, "let go with an answer");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "did not wait the wait out"
    );
}

#[tokio::test]
async fn slow_requests_do_not_hold_a_place() {
    let mock = Mock::new();
    let api = mock
        .api(&["--body-timeout", "300ms", "--head-timeout", "300ms"])
        .await;
    let address = api.base.strip_prefix("http://").unwrap().to_owned();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = "POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = slow.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("/problems/request-timeout"), "{answer}");
    let mut idle = TcpStream::connect(&address).await.unwrap();
    idle.write_all(b"GET /livez HT").await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(
        !String::from_utf8_lossy(&rest).contains("200 OK"),
        "cut off"
    );
    api.ended().await;
}

#[tokio::test]
async fn a_stopping_instance_says_so_before_it_closes() {
    let mock = Mock::new();
    let api = mock.api(&["--drain-wait", "10s"]).await;
    api.stop.cancel();
    let ready = api.get("/readyz?verbose").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("[-]not-stopping"), "{ready:?}");
    let sent = api.transfer("late", "@world", "alice", "1").await;
    assert_eq!(sent.status, 202, "taken in, and not waited for: {sent:?}");
    let address = api.base.strip_prefix("http://").unwrap().to_owned();
    api.ended().await;
    assert!(TcpStream::connect(&address).await.is_err(), "closed");
}
