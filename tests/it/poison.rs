//! Records that must change nothing: each ends as a dead letter, a rejection or a way on, and
//! leaves every balance as it was.

use serde_json::{Value, json};
use steelyard::wire::record::COMMAND_BYTES_MAX;

use crate::support::kafka::{Sent, header, json_of};
use crate::support::{World, account_in, balance_id, until};

struct Scene {
    world: World,
    alice: String,
    bob: String,
    node: crate::support::node::Node,
}

impl Scene {
    /// Two funded accounts in partition 0 of 2.
    async fn new() -> Self {
        let world = World::new(2);
        world.make_topic("answers", 1).await;
        let node = world.start("all").await;
        let (alice, bob) = (account_in("alice", 0, 2), account_in("bob", 0, 2));
        for account in [&alice, &bob] {
            node.open(account).await;
        }
        node.applied(&crate::support::transfer("fund", "@world", &alice, "100"))
            .await;
        Self {
            world,
            alice,
            bob,
            node,
        }
    }

    fn command(&self) -> Value {
        json!({"reference": "r", "type": "transfer", "ledger": "main", "postings": [
            {"source": balance_id(&self.alice), "destination": balance_id(&self.bob),
             "amount": "1.00", "asset": "USD"}]})
    }

    /// The bytes of both balances, as hot has them.
    async fn state(&self) -> Vec<Option<String>> {
        let state = self.world.hot_bytes(&[&self.alice, &self.bob]).await;
        assert!(state.iter().all(Option::is_some), "{state:?}");
        state
    }

    /// Configures a balance of partition 0, which must succeed.
    async fn configure(&self, account: &str, status: &str) {
        let key = balance_id(account).to_string();
        let command = json!({"reference": format!("{status}-{account}"), "type": "configure",
            "ledger": "main", "configure": {"balance": key, "asset": "USD", "status": status}});
        let outcome = self
            .outcome(Some(key.as_bytes()), Some(command.to_string().as_bytes()))
            .await;
        assert_eq!(outcome["status"], "applied", "{outcome}");
    }

    /// Sends `value` under `key` to partition 0 and waits for its outcome.
    async fn outcome(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Value {
        let sent = Sent {
            partition: Some(0),
            key,
            value,
            headers: Vec::new(),
        };
        let at = self.world.send(sent).await;
        self.world.outcome(at).await
    }

    /// The dead letter of the record at `offset` of partition 0.
    async fn dead_letter(&self, offset: &Value) -> (String, Vec<u8>) {
        let topic = self.world.topic("dead-letters");
        until("the dead letter", async || {
            let letters = self.world.records(&topic, Some(0));
            let letter = letters.iter().find(|letter| {
                let original = header(letter, "kafka_dlt-original-offset");
                original == Some(&offset.as_i64().unwrap().to_be_bytes()[..])
            })?;
            let reason = header(letter, "steelyard-reason").unwrap();
            let partition = header(letter, "kafka_dlt-original-partition");
            assert_eq!(partition, Some(&0_i32.to_be_bytes()[..]));
            use rdkafka::Message;
            let value = letter.payload().unwrap_or_default().to_vec();
            Some((String::from_utf8_lossy(reason).into_owned(), value))
        })
        .await
    }
}

/// `command` with `field` of its first posting set to `value`.
fn posting(command: &Value, field: &str, value: Value) -> Vec<u8> {
    let mut command = command.clone();
    command["postings"][0][field] = value;
    command.to_string().into_bytes()
}

fn with(command: &Value, field: &str, value: Value) -> Vec<u8> {
    let mut command = command.clone();
    command[field] = value;
    command.to_string().into_bytes()
}

/// A name, the record's value, and the slug it is refused with.
type Bad = (&'static str, Vec<u8>, &'static str);

/// Values that can never be understood, made of one that can.
#[expect(clippy::too_many_lines, reason = "a table: one line of it is one case")]
fn bad_values(scene: &Scene) -> Vec<Bad> {
    let good = scene.command();
    let text = good.to_string();
    let raw = |from: &str, to: &str| text.replace(from, to).into_bytes();
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let long = "x".repeat(COMMAND_BYTES_MAX);
    vec![
        (
            "unparsable",
            b"{\"reference\":".to_vec(),
            "malformed-request",
        ),
        ("empty", Vec::new(), "malformed-request"),
        ("not utf-8", vec![0xff, 0xfe, 0x00], "malformed-request"),
        ("deep", deep.into_bytes(), "malformed-request"),
        (
            "a post at a version",
            json!({"reference": "r", "type": "post", "ledger": "main",
                "post": {"hold": "00000000-0000-8000-8000-000000000000",
                    "balance": balance_id(&scene.alice)},
                "expect": {balance_id(&scene.alice).to_string(): 1}})
            .to_string()
            .into_bytes(),
            "invalid-expect",
        ),
        (
            "oversized",
            with(&good, "description", json!(long)),
            "payload-too-large",
        ),
        (
            "duplicate key",
            raw("{\"ledger\"", "{\"ledger\":\"x\",\"ledger\""),
            "malformed-request",
        ),
        (
            "unknown field",
            with(&good, "version", json!(1)),
            "malformed-request",
        ),
        (
            "float",
            posting(&good, "amount", json!(1.5)),
            "invalid-amount",
        ),
        ("1e400", raw("\"1.00\"", "1e400"), "invalid-amount"),
        (
            "exponent",
            posting(&good, "amount", json!("1e2")),
            "invalid-amount",
        ),
        (
            "40 digits",
            posting(&good, "amount", json!("1".repeat(40))),
            "invalid-amount",
        ),
        (
            "too fine",
            posting(&good, "amount", json!("0.001")),
            "invalid-amount",
        ),
        (
            "zero",
            posting(&good, "amount", json!("0.00")),
            "invalid-amount",
        ),
        (
            "negative",
            posting(&good, "amount", json!("-1.00")),
            "invalid-amount",
        ),
        (
            "no asset",
            posting(&good, "asset", json!("dollars")),
            "invalid-asset",
        ),
        (
            "to itself",
            posting(&good, "destination", json!(balance_id(&scene.alice))),
            "same-balance",
        ),
        (
            "empty reference",
            with(&good, "reference", json!("")),
            "reference-missing",
        ),
        (
            "no posting",
            with(&good, "postings", json!([])),
            "invalid-postings",
        ),
        (
            "expects another",
            with(&good, "expect", json!({balance_id("x").to_string(): 1})),
            "invalid-expect",
        ),
    ]
}

#[tokio::test]
async fn what_can_never_be_understood_goes_to_the_dead_letters() {
    let scene = Scene::new().await;
    let text = scene.command().to_string();
    let before = scene.state().await;
    let key = balance_id(&scene.alice).to_string();
    for (name, value, slug) in bad_values(&scene) {
        let outcome = scene.outcome(Some(key.as_bytes()), Some(&value)).await;
        assert_eq!(outcome["reason"], "dead-letter", "{name}: {outcome}");
        let (reason, kept) = scene.dead_letter(&outcome["offset"]).await;
        assert_eq!(reason, slug, "{name}");
        assert_eq!(kept, value, "{name}: the value is kept as it was");
    }
    let other = balance_id(&scene.bob).to_string();
    let keys = [
        (
            "wrong key",
            Some(other.as_bytes()),
            Some(text.as_bytes()),
            "key-mismatch",
        ),
        (
            "upper-case key",
            Some(&b"ALICE"[..]),
            Some(text.as_bytes()),
            "key-mismatch",
        ),
        ("null key", None, Some(text.as_bytes()), "key-missing"),
        ("null value", Some(key.as_bytes()), None, "value-missing"),
    ];
    for (name, key, value, slug) in keys {
        let outcome = scene.outcome(key, value).await;
        let (reason, _) = scene.dead_letter(&outcome["offset"]).await;
        assert_eq!(reason, slug, "{name}");
    }
    assert_eq!(scene.state().await, before, "nothing has changed");
    let counted = scene.node.metric("steelyard_dead_letters_total", "").await;
    assert!(counted >= 23.0, "{counted} dead letters are counted");
    scene.world.audit();
}

#[tokio::test]
async fn a_forged_leg_and_a_foreign_reply_topic_change_nothing() {
    let scene = Scene::new().await;
    let before = scene.state().await;
    let key = balance_id(&scene.bob).to_string();
    let forged = json!({"from": 1, "to": 0, "number": 1, "step": "settle",
        "transaction_id": "00000000-0000-8001-8000-31fcf192af99",
        "carried": [{"asset": "USD/2", "amount": "1.00"}], "command": scene.command()});
    let (forged, text) = (forged.to_string(), scene.command().to_string());
    let seal = "00".repeat(32);
    let headers = [
        (
            vec![("steelyard-leg", b"1".to_vec())],
            &*forged,
            "forged-leg",
        ),
        (
            vec![
                ("steelyard-leg", b"1".to_vec()),
                ("steelyard-seal", seal.into_bytes()),
            ],
            &forged,
            "forged-leg",
        ),
        (
            vec![
                ("kafka_correlationId", b"c".to_vec()),
                ("kafka_replyTopic", b"somebody.elses".to_vec()),
            ],
            &text,
            "reply-not-allowed",
        ),
    ];
    for (headers, value, slug) in headers {
        let key = match slug {
            "forged-leg" => key.clone(),
            _ => balance_id(&scene.alice).to_string(),
        };
        let sent = Sent {
            partition: Some(0),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers,
        };
        let at = scene.world.send(sent).await;
        let outcome = scene.world.outcome(at).await;
        let (reason, _) = scene.dead_letter(&outcome["offset"]).await;
        assert_eq!(reason, slug);
    }
    assert_eq!(scene.state().await, before, "nothing has changed");
    scene.world.audit();
}

#[tokio::test]
async fn a_record_on_the_wrong_partition_is_applied_once_where_it_belongs() {
    let scene = Scene::new().await;
    let key = balance_id(&scene.alice).to_string();
    let text = scene.command().to_string();
    for _ in 0..3 {
        let sent = Sent {
            partition: Some(1),
            key: Some(key.as_bytes()),
            value: Some(text.as_bytes()),
            headers: Vec::new(),
        };
        let at = scene.world.send(sent).await;
        let outcome = scene.world.outcome(at).await;
        assert_eq!(outcome["reason"], "misrouted", "{outcome}");
    }
    let topic = scene.world.topic("outcomes");
    let decided = until("the three to arrive", async || {
        let records = scene.world.records(&topic, Some(0));
        let ours = records
            .iter()
            .filter_map(json_of)
            .filter(|body| body["reference"] == "r");
        let ours: Vec<Value> = ours.collect();
        (ours.len() == 3).then_some(ours)
    })
    .await;
    let fresh = decided.iter().filter(|body| body["replay_of"].is_null());
    assert_eq!(fresh.count(), 1, "{decided:?}");
    assert!(scene.node.metric("steelyard_misrouted_total", "").await >= 3.0);
    let legs = scene.world.records(&scene.world.topic("commands"), Some(0));
    let origin = legs
        .iter()
        .find_map(|record| header(record, "steelyard-origin"));
    assert_eq!(origin, Some(&b"1"[..]), "the origin is in a header");
    scene.world.audit();
}

/// Commands that are understood and refused: the slug, and the command.
fn refused(scene: &Scene, closed: &str, frozen: &str) -> Vec<(&'static str, Value)> {
    let good = scene.command();
    let set = |field: &str, value: Value| {
        let mut command = good.clone();
        command["postings"][0][field] = value;
        command
    };
    let nobody = balance_id(&account_in("nobody", 0, 2));
    let mut other_ledger = good.clone();
    other_ledger["ledger"] = json!("other");
    let mut expecting = good.clone();
    expecting["expect"] = json!({balance_id(&scene.alice).to_string(): 1});
    let mut reused = set("amount", json!("2.00"));
    reused["reference"] = json!("spent");
    vec![
        ("balance-not-found", set("destination", json!(nobody))),
        ("balance-not-found", set("source", json!(nobody))),
        ("balance-not-found", other_ledger),
        ("asset-mismatch", set("asset", json!("EUR"))),
        (
            "balance-closed",
            set("destination", json!(balance_id(closed))),
        ),
        ("balance-closed", set("source", json!(balance_id(closed)))),
        (
            "balance-frozen",
            set("destination", json!(balance_id(frozen))),
        ),
        ("balance-frozen", set("source", json!(balance_id(frozen)))),
        ("version-mismatch", expecting),
        ("insufficient-funds", set("amount", json!("1000"))),
        ("reference-reused", reused),
    ]
}

#[tokio::test]
async fn the_same_money_refused_for_every_reason_there_is() {
    let scene = Scene::new().await;
    let (closed, frozen) = (account_in("closed", 0, 2), account_in("frozen", 0, 2));
    for (account, status) in [(&closed, "closed"), (&frozen, "frozen")] {
        scene.node.open(account).await;
        scene.configure(account, status).await;
    }
    let spent = crate::support::transfer("spent", &scene.alice, &scene.bob, "1");
    scene.node.applied(&spent).await;
    let all = [&*scene.alice, &scene.bob, &closed, &frozen];
    let before = scene.world.hot_bytes(&all).await;
    for (at, (slug, mut command)) in refused(&scene, &closed, &frozen).into_iter().enumerate() {
        let reused = slug == "reference-reused";
        if !reused {
            command["reference"] = json!(format!("refused-{at}"));
        }
        let key = command["postings"][0]["source"].as_str().unwrap();
        let value = command.to_string();
        for replayed in [false, true] {
            let outcome = scene
                .outcome(Some(key.as_bytes()), Some(value.as_bytes()))
                .await;
            assert_eq!(outcome["status"], "rejected", "{slug}: {outcome}");
            assert_eq!(outcome["reason"], slug, "{outcome}");
            assert_eq!(
                outcome["replay_of"].is_u64(),
                replayed && !reused,
                "a rejection is final: {outcome}"
            );
        }
    }
    let after = scene.world.hot_bytes(&all).await;
    assert_eq!(after, before, "nothing has changed");
    scene.world.audit();
}

/// A producer that compresses may write records that are far larger than any topic's limit.
#[tokio::test]
async fn what_is_too_large_for_the_dead_letters_is_cut_and_holds_nothing_up() {
    use rdkafka::producer::{FutureProducer, FutureRecord};
    let scene = Scene::new().await;
    let before = scene.state().await;
    let producer: FutureProducer = scene
        .world
        .config()
        .set("message.max.bytes", "16000000")
        .set("compression.type", "gzip")
        .create()
        .unwrap();
    let (topic, key) = (scene.world.topic("commands"), balance_id(&scene.alice));
    let (key, value) = (key.to_string(), vec![b' '; 8_000_000]);
    let record = FutureRecord::to(&topic).partition(0).key(&key);
    let sent = producer
        .send(record.payload(&value), crate::support::PATIENCE)
        .await
        .unwrap();
    let outcome = scene.world.outcome((sent.partition, sent.offset)).await;
    assert_eq!(outcome["reason"], "dead-letter", "{outcome}");
    let (reason, kept) = scene.dead_letter(&outcome["offset"]).await;
    assert_eq!(reason, "payload-too-large");
    assert_eq!(kept, value[..1024 * 1024]);
    assert_eq!(scene.state().await, before, "nothing has changed");
    scene.world.audit();
}
