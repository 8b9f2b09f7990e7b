//! What a caller with bad intent tries over HTTP: each attempt is refused, and changes nothing.
//! Slow requests are in `faults`, keys in `keys`, bad values in `bad_input`.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::api::{Answer, Api};
use super::keys::{ask, keys_file};
use crate::support::{World, balance_id, transfer};

/// Members of what the system keeps, which no caller may set.
const OURS: [&str; 14] = [
    "balance",
    "command_offset",
    "entries",
    "epoch",
    "held",
    "id",
    "incoming",
    "legs",
    "offset",
    "partition",
    "posted",
    "retry_of",
    "transaction_id",
    "version",
];

fn with(body: &Value, name: &str) -> Value {
    let mut body = body.clone();
    body[name] = json!("1000000");
    body
}

#[tokio::test]
async fn nothing_can_be_set_that_is_not_the_callers() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    let alice = api.open("alice").await;
    api.open("bob").await;
    let fund = api.transfer("fund", "@world", "alice", "10").await;
    assert_eq!(fund.status, 201, "{fund:?}");
    let before = world.hot_bytes(&["alice", "bob"]).await;

    let path = format!("/v1/balances/{alice}");
    let open = json!({"account": "mallory", "asset": "USD"});
    let configure = json!({"reference": "more", "asset": "USD", "floor": "0"});
    let pay = transfer("pay", "alice", "bob", "1");
    let requests = [
        (Method::POST, "/v1/balances", &open),
        (Method::PATCH, path.as_str(), &configure),
        (Method::POST, "/v1/transactions", &pay),
    ];
    for name in OURS {
        for (method, path, body) in &requests {
            let request = api.request(method.clone(), path).json(&with(body, name));
            let answer = api.send(request).await;
            let told = (answer.status, answer.slug());
            assert_eq!(told, (400, "malformed-request".to_owned()), "{path} {name}");
        }
        let mut posting = pay.clone();
        posting["postings"][0] = with(&pay["postings"][0], name);
        let answer = api.post("/v1/transactions", &posting).await;
        assert_eq!(answer.slug(), "malformed-request", "a posting's {name}");
    }
    let mallory = format!("/v1/balances/{}", balance_id("mallory"));
    assert_eq!(api.get(&mallory).await.slug(), "balance-not-found");
    assert_eq!(world.hot_bytes(&["alice", "bob"]).await, before);
    api.ended().await;
    world.audit();
}

#[tokio::test]
async fn another_tenants_money_cannot_be_found_or_moved() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let _sink = world.start("sink").await;
    let file = keys_file(&world.name);
    let path = file.to_str().expect("a plain path");
    let api = Api::start(&world, &["--api-keys-file", path]).await;
    let post = async |key: &str, path: &str, body: Value| {
        ask(&api, key, Method::POST, path, Some(&body)).await
    };
    for (key, ledger) in [("acme-key", "acme/main"), ("other-key", "other/main")] {
        let open = json!({"ledger": ledger, "account": "alice", "asset": "USD"});
        let opened = post(key, "/v1/balances", open).await;
        assert_eq!(opened.status, 201, "{opened:?}");
        let mut fund = transfer("fund", "@world", "alice", "10");
        fund["ledger"] = json!(ledger);
        let funded = post(key, "/v1/transactions", fund).await;
        assert_eq!(funded.status, 201, "the same reference in another ledger");
    }
    let asset = steelyard::ledger::Asset::parse("USD").unwrap();
    let id = |ledger| steelyard::ledger::BalanceId::of(ledger, "alice", &asset, "default").uuid();
    let (foreign, own) = (id("acme/main"), id("other/main"));

    for (source, destination) in [(foreign, own), (own, foreign)] {
        for ledger in ["other/main", "acme/main"] {
            let steal = json!({"reference": format!("steal-{source}-{ledger}"), "ledger": ledger,
                "postings": [{"source": source, "destination": destination, "amount": "1",
                    "asset": "USD"}]});
            let answer = post("other-key", "/v1/transactions", steal).await;
            assert!([403, 422].contains(&answer.status), "{ledger}: {answer:?}");
        }
    }
    let patch = json!({"reference": "freeze", "ledger": "acme/main", "asset": "USD",
        "status": "frozen"});
    let path = format!("/v1/balances/{foreign}");
    let frozen = ask(&api, "other-key", Method::PATCH, &path, Some(&patch)).await;
    assert!([403, 404].contains(&frozen.status), "{frozen:?}");

    nothing_is_told(&api, foreign).await;
    let read = ask(&api, "acme-key", Method::GET, &path, None).await;
    assert_eq!(read.json()["posted"], "10.00", "{read:?}");
    std::fs::remove_file(&file).ok();
    api.ended().await;
    world.audit();
}

/// Of another tenant, what exists and what does not are answered alike.
async fn nothing_is_told(api: &Api, foreign: uuid::Uuid) {
    let nobody = balance_id("nobody-at-all");
    let pairs = [
        ("/v1/balances/ID".to_owned(), foreign, nobody),
        ("/v1/balances/ID/entries".to_owned(), foreign, nobody),
        (
            "/v1/balances/ID?at=2026-01-01T00:00:00Z".to_owned(),
            foreign,
            nobody,
        ),
    ];
    for (path, there, absent) in pairs {
        let get = async |id: uuid::Uuid| {
            let path = path.replace("ID", &id.to_string());
            alike(&ask(api, "other-key", Method::GET, &path, None).await)
        };
        assert_eq!(get(there).await, get(absent).await, "{path}");
    }
    for path in [
        "/v1/transactions/NAME?ledger=acme/main",
        "/v1/balances?ledger=acme/main&account=NAME",
    ] {
        let get = async |name: &str| {
            let path = path.replace("NAME", name);
            alike(&ask(api, "other-key", Method::GET, &path, None).await)
        };
        let there = if path.contains("account") {
            "alice"
        } else {
            "fund"
        };
        assert_eq!(get(there).await, get("nobody").await, "{path}");
    }
}

/// What an answer tells, without what differs from one to the next.
fn alike(answer: &Answer) -> (u16, Value) {
    let mut body = answer.json();
    if let Some(body) = body.as_object_mut() {
        body.remove("instance");
        body.remove("as_of");
    }
    (answer.status, body)
}

/// Writes bytes to the server as they are; everything that it answers.
async fn raw(api: &Api, head: &[u8], body: &str) -> String {
    let address = api.base.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let length = format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let request = [head, length.as_bytes(), body.as_bytes()].concat();
    stream.write_all(&request).await.expect("it is sent");
    let mut answer = Vec::new();
    // A refused head may cost the connection, which is an answer too.
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn no_header_is_injected_into_an_answer() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    let good = transfer("good", "@world", "alice", "1").to_string();
    let post = "POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let lines = [
        "x-request-id: a\r\n b\r\n",
        "x-request-id: a\x0bset-cookie: x=1\r\n",
        "x-request-id: a\rset-cookie: x=1\r\n",
        "x-request-id: a\nset-cookie: x=1\r\n",
        "x-request-id: <script>\r\n",
        "idempotency-key: good\nset-cookie: x=1\r\n",
        "prefer: wait=1\nset-cookie: x=1\r\n",
        "traceparent: 00-\r\n\t-\r\n",
    ];
    for line in lines {
        let answer = raw(&api, format!("{post}{line}").as_bytes(), &good).await;
        let head = answer.split("\r\n\r\n").next().unwrap_or_default();
        assert!(
            !head.to_lowercase().contains("set-cookie"),
            "{line:?}: {answer}"
        );
        assert!(!answer.contains("<script>"), "{line:?}: {answer}");
    }
    let split = "x\r\nset-cookie: x=1";
    let answers = [
        api.transfer(split, "@world", "alice", "1").await,
        api.get("/v1/transactions/x%0d%0aset-cookie:%20x=1").await,
        api.get("/v1/balances?account=x%0d%0aset-cookie:%20x=1")
            .await,
        api.post("/v1/balances", &json!({"account": split, "asset": "USD"}))
            .await,
    ];
    for answer in answers {
        assert!((400..500).contains(&answer.status), "{answer:?}");
        assert!(answer.headers.get("set-cookie").is_none(), "{answer:?}");
    }
    let two = format!("{post}content-length: 1\r\n");
    let smuggled = raw(&api, two.as_bytes(), &good).await;
    assert!(!smuggled.starts_with("HTTP/1.1 2"), "{smuggled}");
    let both = format!("{post}transfer-encoding: chunked\r\n");
    let smuggled = raw(&api, both.as_bytes(), &good).await;
    assert!(!smuggled.starts_with("HTTP/1.1 201"), "{smuggled}");
    api.ended().await;
    world.audit();
}

/// A megabyte of nothing, a thousand times smaller: gzip made with `head -c 1M /dev/zero | gzip`.
fn bomb() -> Vec<u8> {
    let mut block = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    block.extend_from_slice(&[0xed; 1024]);
    block
}

#[tokio::test]
async fn nothing_is_unpacked() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    for path in ["/v1/transactions", "/v1/transactions/batch", "/v1/balances"] {
        for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP"] {
            let request = api.request(Method::POST, path);
            let request = request.header("content-type", "application/json");
            let request = request.header("content-encoding", encoding);
            let answer = api.send(request.body(bomb())).await;
            let told = (answer.status, answer.slug());
            assert_eq!(
                told,
                (415, "unsupported-media-type".to_owned()),
                "{encoding}"
            );
        }
    }
    let good = transfer("plain", "@world", "alice", "1");
    let plain = [("content-encoding", "identity")];
    let answer = api.post_with("/v1/transactions", &plain, &good).await;
    assert_eq!(answer.slug(), "balance-not-found", "it is read: {answer:?}");
    api.ended().await;
    world.audit();
}
