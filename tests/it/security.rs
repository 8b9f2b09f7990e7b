//! What must not come out, and what must not wear a process down.

use serde_json::json;
use steelyard::wire::record::CORRELATION_HEADER;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::kafka::Sent;
use crate::support::node::Node;
use crate::support::{SECRET, World, balance_id, transfer, until};

/// A line that a reader of logs would believe.
const FAKE: &str = "2026-11-21T09:00:00Z ERROR steelyard: all money is gone";

/// Everything is logged that can be.
const VERBOSE: (&str, &str) = ("STEELYARD_LOG", "trace");

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_lines_into_the_log() {
    let world = World::new(1);
    for format in ["text", "json"] {
        let more = [VERBOSE, ("STEELYARD_LOG_FORMAT", format)];
        let node = world.launch("all", &more);
        node.ready().await;
        let poison = format!("x\n{FAKE}\r\n\x1b[2J");
        let mut body = transfer(&format!("note-{format}"), "@world", "alice", "1");
        body["description"] = json!(poison);
        body["metadata"] = json!({"note": poison});
        let _ = node.post("/v1/transactions", &body).await;
        for name in ["reference", "ledger", "type", "description"] {
            let mut bad = transfer("bad", "@world", "alice", "1");
            bad[name] = json!(poison.repeat(3));
            let _ = node.post("/v1/transactions", &bad).await;
        }
        let _ = node.get(&format!("/v1/transactions/{}", "x%0aERROR")).await;
        let key = balance_id("alice").to_string();
        let records = [
            (poison.as_bytes(), poison.as_bytes()),
            (key.as_bytes(), poison.as_bytes()),
            (poison.as_bytes(), b"{}"),
        ];
        for (key, value) in records {
            let sent = Sent {
                partition: Some(0),
                key: Some(key),
                value: Some(value),
                headers: vec![
                    (CORRELATION_HEADER, poison.clone().into_bytes()),
                    ("kafka_replyTopic", poison.clone().into_bytes()),
                    ("traceparent", poison.clone().into_bytes()),
                    (FAKE, poison.clone().into_bytes()),
                ],
            };
            let at = world.send(sent).await;
            world.outcome(at).await;
        }
        let said = node.said();
        assert!(said.contains("dead letters"), "it is logged at all");
        for line in said.lines() {
            assert!(!line.starts_with("2026-11-21T09:00:00Z ERROR"), "{line}");
            assert!(!line.contains('\x1b'), "{line:?}");
        }
    }
    let _node = world.start("all").await;
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_told() {
    const KEY: &str = "a-key-that-nobody-else-has";
    const PASSWORD: &str = "a-password-of-kafka";
    let world = World::new(1);
    let hash = hex::encode(blake3::hash(KEY.as_bytes()).as_bytes());
    let keys = json!({"keys": [{"name": "one", "hash": hash, "scopes": ["*/*"],
        "permission": "write"}]});
    let file = std::env::temp_dir().join(format!("{}.json", world.name));
    std::fs::write(&file, keys.to_string()).expect("a key file");
    let properties = format!("ssl.key.password={PASSWORD}\nsasl.password={PASSWORD}");
    let mut command = world.command();
    command.envs([VERBOSE, ("STEELYARD_KAFKA_PROPERTIES", &properties)]);
    command.env("STEELYARD_API_KEYS_FILE", &file);
    let node = Node::start(command, "all", world.ending.clone());
    node.ready().await;
    let ask = async |key: &str, body: &serde_json::Value| {
        let request = node.client.post(format!("{}/v1/transactions", node.http));
        let answer = request.bearer_auth(key).json(body).send().await;
        let answer = answer.expect("an answer");
        format!(
            "{:?} {}",
            answer.headers().clone(),
            answer.text().await.unwrap_or_default()
        )
    };
    world.ending.moved();
    let mut told = ask(KEY, &transfer("r", "@world", "alice", "1")).await;
    told += &ask(KEY, &json!({"reference": KEY, "nonsense": 1})).await;
    told += &ask("some-other-key", &transfer("r", "@world", "alice", "1")).await;
    for path in ["/metrics", "/ops", "/readyz?verbose", "/livez"] {
        let answer = node.client.get(format!("{}{path}", node.ops)).send().await;
        told += &answer.expect("an answer").text().await.expect("a body");
    }
    for args in [&["config"][..], &["config", "--json"], &["all", "--help"]] {
        let mut command = world.command();
        command
            .env("STEELYARD_KAFKA_PROPERTIES", &properties)
            .args(args);
        let output = command.output().expect("it runs");
        told += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    told += &node.said();
    let database = std::env::var("STEELYARD_DATABASE_URL").expect("a database");
    let (_, password) = database
        .split_once("steelyard:")
        .expect("user and password");
    let password = format!(":{}@", password.split('@').next().expect("a password"));
    for secret in [KEY, "some-other-key", PASSWORD, SECRET, &hash, &password] {
        let place = told.find(secret);
        let around = place.map(|at| &told[at.saturating_sub(80)..at]);
        assert!(around.is_none(), "{secret} is told after {around:?}");
    }
    std::fs::remove_file(&file).ok();
    world.audit();
}

/// How many connections there may be, by default.
const CONNECTIONS: usize = 10_000;
/// How many callers may wait in these tests.
const WAITERS: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_who_say_nothing_cost_little_and_are_sent_away() {
    let world = World::new(1);
    let node = world.launch("ingress", &[]);
    node.ready().await;
    let idle = resident_kb(&node);
    let address = node.http.strip_prefix("http://").expect("an address");
    let open = async || node.metric("steelyard_ingress_connections", "").await;
    let mut quiet = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"GET /livez").await.expect("it is sent");
        quiet.push(stream);
    }
    until("all of them to be accepted", async || {
        (open().await > CONNECTIONS as f64 * 0.9).then_some(())
    })
    .await;
    let each = resident_kb(&node).saturating_sub(idle) / CONNECTIONS as u64;
    assert!(each < 64, "{each} KB for each who says nothing");
    // The head's time-out ends them, and who comes then is served.
    let (status, _) = node.get("/livez").await;
    assert_eq!(status, 200);
    until("the quiet ones to be gone", async || {
        (open().await < CONNECTIONS as f64 * 0.1).then_some(())
    })
    .await;
}

/// Sends a transaction on a connection of its own, and does not read the answer yet.
async fn waiting(address: String, n: usize) -> TcpStream {
    let body = transfer(&format!("wait-{n}"), "@world", "alice", "1").to_string();
    let request = format!(
        "POST /v1/transactions HTTP/1.1\r\nhost: x\r\nprefer: wait=30\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    stream
}

/// The status line of the answer.
async fn status(mut stream: TcpStream) -> String {
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.expect("an answer");
    String::from_utf8_lossy(&start).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_may_wait_and_one_more_is_told_so() {
    let world = World::new(1);
    let most = WAITERS.to_string();
    let mut node = world.launch("ingress", &[("STEELYARD_WAITERS_MAX", &most)]);
    node.ready().await;
    let address = node
        .http
        .strip_prefix("http://")
        .expect("an address")
        .to_owned();
    let mut callers = JoinSet::new();
    for n in 0..WAITERS {
        callers.spawn(waiting(address.clone(), n));
    }
    let callers = callers.join_all().await;
    until("all of them to wait", async || {
        let waiters = node.metric("steelyard_ingress_waiters", "").await;
        (waiters == WAITERS as f64).then_some(())
    })
    .await;
    let more = transfer("one-more", "@world", "alice", "1");
    let (one_more, problem) = node.post("/v1/transactions", &more).await;
    assert_eq!(one_more, 503, "{problem}");
    assert_eq!(problem["type"], "/problems/backpressure", "{problem}");

    node.signal("TERM");
    let mut answers = JoinSet::new();
    for caller in callers {
        answers.spawn(status(caller));
    }
    for answer in answers.join_all().await {
        assert_eq!(answer, "HTTP/1.1 202", "let go with an answer");
    }
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.said());
    let _node = world.start("all").await;
    world.audit();
}

/// Memory that the process holds.
fn resident_kb(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()));
    let status = status.expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("its memory")
}
