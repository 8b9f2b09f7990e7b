//! Replies to Kafka requesters: the outcome, the first one again, or why there is none.

use rdkafka::message::OwnedMessage;
use serde_json::{Value, json};
use steelyard::log::topics::SCHEMAS;

use crate::support::kafka::{Sent, header, json_of};
use crate::support::{World, account_in, balance_id, until};

/// Asks, with a correlation of its own, and waits for the reply.
async fn ask(world: &World, account: &str, value: &[u8], correlation: &[u8]) -> OwnedMessage {
    let answers = world.topic("answers");
    let key = balance_id(account).to_string();
    let sent = Sent {
        key: Some(key.as_bytes()),
        value: Some(value),
        headers: vec![
            ("kafka_correlationId", correlation.to_vec()),
            ("kafka_replyTopic", answers.clone().into_bytes()),
        ],
        ..Sent::default()
    };
    world.send(sent).await;
    until("the reply", async || {
        let replies = world.records(&answers, None);
        let ours = |reply: &OwnedMessage| header(reply, "kafka_correlationId") == Some(correlation);
        replies.into_iter().find(ours)
    })
    .await
}

fn open(account: &str) -> Vec<u8> {
    let open = json!({"reference": format!("open-{account}"), "type": "open", "ledger": "main",
        "open": {"account": account, "asset": "USD"}});
    open.to_string().into_bytes()
}

fn pay(reference: &str, source: &str, destination: &str) -> Vec<u8> {
    let pay = json!({"reference": reference, "type": "transfer", "ledger": "main",
        "description": "rent", "metadata": {"month": "11"}, "postings": [
            {"source": balance_id(source), "destination": balance_id(destination),
             "amount": "1.00", "asset": "USD"}]});
    pay.to_string().into_bytes()
}

/// A reply's body, which is as the schema of its kind says.
fn body(reply: &OwnedMessage) -> Value {
    let body = json_of(reply).expect("a reply is JSON");
    let kind = match body["status"] == "dead-letter" {
        true => "dead-letter",
        false => "outcome",
    };
    let (_, schema) = SCHEMAS.iter().find(|(name, _)| *name == kind).unwrap();
    let schema = serde_json::from_str(schema).unwrap();
    let result = jsonschema::validate(&schema, &body);
    result.unwrap_or_else(|error| panic!("{error}: {body}"));
    body
}

/// Cold keeps no order among the entries of a transaction.
fn entries(body: &Value) -> Vec<String> {
    let entries = body["entries"].as_array().expect("entries");
    let mut texts: Vec<String> = entries.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

const REPLAYED: &str = "steelyard-replayed";

#[tokio::test]
async fn a_repeat_gets_the_first_answer_also_after_a_restart() {
    let world = World::new(2);
    world.make_topic("answers", 1).await;
    let _sink = world.start("sink").await;
    let mut processor = world.start("processor").await;
    let (home, near) = (account_in("home", 0, 2), account_in("near", 0, 2));
    let far = account_in("far", 1, 2);
    for account in [&home, &near, &far] {
        ask(&world, account, &open(account), account.as_bytes()).await;
    }
    let fund = body(&ask(&world, "@world", &pay("fund", "@world", &home), b"fund").await);
    assert_eq!(fund["status"], "applied", "{fund}");

    let once = pay("once", &home, &near);
    let first = ask(&world, &home, &once, b"1").await;
    assert_eq!(header(&first, REPLAYED), None);
    let again = ask(&world, &home, &once, b"2").await;
    assert_eq!(header(&again, REPLAYED), Some(&b"true"[..]));
    assert_eq!(
        body(&again),
        body(&first),
        "the first answer, word for word"
    );
    let walked = ask(&world, &far, &pay("walk", &far, &home), b"3").await;
    let poor = body(&walked);
    assert_eq!(poor["reason"], "insufficient-funds", "{poor}");

    world.audit();
    assert!(processor.stop().await.success());
    let _processor = world.start("processor").await;
    let later = ask(&world, &home, &once, b"4").await;
    assert_eq!(header(&later, REPLAYED), Some(&b"true"[..]));
    let (first, later) = (body(&first), body(&later));
    for member in [
        "status",
        "reference",
        "transaction_id",
        "type",
        "ledger",
        "description",
        "metadata",
        "fingerprint",
    ] {
        assert_eq!(later[member], first[member], "{member} of {later}");
    }
    assert_eq!(entries(&later), entries(&first), "{later}");
    assert_eq!(later["replay_of"], first["offset"], "{later}");
    let refused = body(&ask(&world, &far, &pay("walk", &far, &home), b"5").await);
    assert_eq!(refused["reason"], "insufficient-funds", "{refused}");
    assert_eq!(refused["refused"], poor["refused"], "{refused}");
    world.audit();
}

#[tokio::test]
async fn what_cannot_be_understood_is_answered_with_its_reason() {
    let world = World::new(1);
    world.make_topic("answers", 1).await;
    let _node = world.start("processor").await;
    let letter = ask(&world, "alice", b"{\"reference\":", b"broken").await;
    let letter = body(&letter);
    assert_eq!(letter["status"], "dead-letter", "{letter}");
    assert_eq!(letter["reason"], "malformed-request", "{letter}");
    assert!(letter["detail"].is_string(), "{letter}");
    let mut other: Value = serde_json::from_slice(&open("bob")).unwrap();
    other["open"]["asset"] = json!("dollars");
    let letter = ask(&world, "bob", other.to_string().as_bytes(), b"asset").await;
    let letter = body(&letter);
    assert_eq!(letter["reason"], "invalid-asset", "{letter}");
    assert_eq!(letter["field"], "open.asset", "{letter}");
    world.audit();
}
