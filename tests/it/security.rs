//! What must not come out: lines in logs that somebody else wrote, and secrets.

use serde_json::json;
use steelyard::wire::record::CORRELATION_HEADER;

use crate::support::kafka::Sent;
use crate::support::node::Node;
use crate::support::{SECRET, World, balance_id, transfer};

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
