//! Reversals on the whole road: over HTTP, in a batch, from Kafka, over partitions, after a crash.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::Api;
use super::keys::{ask, keys_file};
use crate::support::kafka::Sent;
use crate::support::{World, account_in, balance_id, until};

/// Reverses; status, and status or slug.
async fn reverse(api: &Api, of: &str, body: Value) -> (u16, String) {
    let path = format!("/v1/transactions/{of}/reverse");
    let answer = api.post(&path, &body).await;
    let view = answer.json();
    match view["status"].as_str() {
        Some(status) if answer.status == 201 => (201, status.to_owned()),
        _ => (answer.status, answer.slug()),
    }
}

fn applied() -> (u16, String) {
    (201, "applied".to_owned())
}

fn refused(slug: &str) -> (u16, String) {
    (422, slug.to_owned())
}

/// Posted, once hot shows it.
async fn has(api: &Api, account: &str, posted: &str) {
    let path = format!("/v1/balances/{}", balance_id(account));
    until(&format!("{account} at {posted}"), async || {
        (api.get(&path).await.json()["posted"] == posted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_transaction_is_reversed_in_parts_and_shows_it() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    for account in ["alice", "bob", "carl"] {
        api.open(account).await;
    }
    api.transfer("fund", "@world", "alice", "100").await;
    api.transfer("order", "alice", "bob", "60").await;
    let part = json!({"reference": "r1", "amount": "20"});
    assert_eq!(reverse(&api, "order", part.clone()).await, applied());
    let again = api.post("/v1/transactions/order/reverse", &part).await;
    assert!(again.status == 201 && again.replayed(), "{again:?}");
    let beyond = json!({"reference": "r2", "amount": "40.01"});
    assert_eq!(
        reverse(&api, "order", beyond).await,
        refused("reverse-exceeds-original")
    );
    api.transfer("spend", "bob", "carl", "30").await;
    let all = |reference: &str| json!({"reference": reference});
    assert_eq!(
        reverse(&api, "order", all("r3")).await,
        refused("insufficient-funds")
    );
    let forced = json!({"reference": "r4", "force": true});
    assert_eq!(reverse(&api, "order", forced).await, applied());
    assert_eq!(
        reverse(&api, "order", all("r5")).await,
        refused("nothing-to-reverse")
    );
    has(&api, "alice", "100.00").await;
    has(&api, "bob", "-30.00").await;
    let view = until("the reversals in cold", async || {
        let view = api.get("/v1/transactions/order").await.json();
        let amount = &view["reversed"][0]["amount"];
        (view["reversed_by"] == json!(["r1", "r4"]) && amount == "60.00").then_some(view)
    })
    .await;
    assert_eq!(view["hold"], Value::Null, "{view}");
    let reversal = api.get("/v1/transactions/r1").await.json();
    assert_eq!(reversal["reverses"], view["transaction_id"], "{reversal}");
    assert_eq!(reversal["type"], "reverse", "{reversal}");
    api.ended().await;
    world.audit();
}

/// Home is killed between two reversals, and the batch names what it reverses.
#[tokio::test]
async fn what_was_reversed_is_known_to_the_next_owner() {
    let world = World::new(2);
    let mut processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    api.open(&near).await;
    api.open(&far).await;
    api.transfer("fund", "@world", &near, "10").await;
    api.transfer("order", &near, &far, "6").await;
    let part = json!({"reference": "r1", "amount": "2"});
    assert_eq!(reverse(&api, "order", part).await, applied());
    processor.kill();
    let _processor = world.start("processor").await;
    let batch = json!([
        {"reference": "r2", "type": "reverse", "reverse": {"reference": "order", "amount": "5"}},
        {"reference": "r3", "type": "reverse", "reverse": {"reference": "order", "amount": "3"}},
        {"reference": "r4", "type": "reverse", "reverse": {"reference": "nothing"}},
        {"reference": "r5", "type": "reverse", "reverse": {"reference": "order", "sum": "3"}},
    ]);
    let answer = api.post("/v1/transactions/batch", &batch).await.json();
    let result = |at: usize| answer["results"][at].clone();
    let slug = |at: usize| result(at)["problem"]["type"].clone();
    assert_eq!(slug(0), "/problems/reverse-exceeds-original", "{answer}");
    assert_eq!(result(1)["transaction"]["status"], "applied", "{answer}");
    assert_eq!(slug(2), "/problems/transaction-not-found", "{answer}");
    assert_eq!(slug(3), "/problems/malformed-request", "{answer}");
    has(&api, &near, "9.00").await;
    has(&api, &far, "1.00").await;
    api.ended().await;
    world.audit();
}

#[tokio::test]
async fn a_transaction_names_its_first_hundred_reversals() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.transfer("order", "@world", "alice", "10").await;
    let item = |at: u32| {
        json!({"reference": format!("r{at:03}"), "type": "reverse",
            "reverse": {"reference": "order", "amount": "0.01"}})
    };
    let batch = Value::Array((0..105).map(item).collect());
    let answer = api.post("/v1/transactions/batch", &batch).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    has(&api, "alice", "8.95").await;
    let names = until("a hundred of them in cold", async || {
        let view = api.get("/v1/transactions/order").await.json();
        let names = view["reversed_by"].as_array()?.clone();
        (view["reversed"][0]["amount"] == "1.05" && names.len() >= 100).then_some(names)
    })
    .await;
    assert_eq!(names.len(), 100, "{names:?}");
    assert!(names.iter().all(|name| *name != "r104"), "{names:?}");
    api.ended().await;
    world.audit();
}

/// A stop that is credited would refuse for good before it has heard of the last one: home does not
/// know yet that it was accepted, and at another stop the money is only reserved.
#[tokio::test]
async fn a_reversal_waits_until_every_stop_has_heard() {
    let world = World::new(3);
    let _processor = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    let (near, beside) = (account_in("near", 0, 3), account_in("beside", 0, 3));
    let (far, away) = (account_in("far", 1, 3), account_in("away", 2, 3));
    for account in [&near, &beside, &far, &away] {
        api.open(account).await;
    }
    api.transfer("fund", "@world", &near, "20").await;
    api.transfer("far", "@world", &far, "5").await;
    api.transfer("once", &near, &far, "1").await;
    let home = [(&near, &far, "6"), (&far, &beside, "1")];
    let between = [(&near, &far, "2"), (&near, &away, "3")];
    for (reference, moves) in [("home", home), ("between", between)] {
        let postings = moves.map(|(source, destination, amount)| {
            json!({"source": source, "destination": destination, "amount": amount,
                "asset": "USD"})
        });
        let order = json!({"reference": reference, "postings": postings});
        let made = api.post("/v1/transactions", &order).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    // Nothing writes to cold yet.
    let back = async |of: &str| reverse(&api, of, json!({"reference": format!("r-{of}")})).await;
    let early = (409, "request-in-flight".to_owned());
    assert_eq!(back("home").await, early);
    assert_eq!(back("between").await, early);
    assert_eq!(back("once").await, applied());
    let _sink = world.start("sink").await;
    for of in ["home", "between"] {
        let late = until("an answer", async || {
            let late = back(of).await;
            (late != early).then_some(late)
        })
        .await;
        assert_eq!(late, applied(), "{of}");
    }
    has(&api, &near, "20.00").await;
    has(&api, &far, "5.00").await;
    has(&api, &beside, "0.00").await;
    has(&api, &away, "0.00").await;
    api.ended().await;
    world.audit();
}

/// A retry has its answer, whether or not what it reverses can still be read.
#[tokio::test]
async fn a_reversal_is_answered_again_after_its_original_left_the_log() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    for reference in ["order", "other"] {
        api.transfer(reference, "@world", "alice", "10").await;
    }
    let part = |reference: &str| json!({"reference": reference, "amount": "1"});
    let path = "/v1/transactions/order/reverse";
    let first = api.post(path, &part("r1")).await;
    assert_eq!((first.status, first.replayed()), (201, false), "{first:?}");
    let beyond = json!({"reference": "r2", "amount": "10"});
    let exceeds = (422, "reverse-exceeds-original".to_owned());
    assert_eq!(reverse(&api, "order", beyond.clone()).await, exceeds);
    world.trim("commands").await;

    let again = api.post(path, &part("r1")).await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");
    assert_eq!(again.header("location"), first.header("location"));
    let id = |view: Value| view["transaction_id"].clone();
    assert_eq!(id(again.json()), id(first.json()));
    assert_eq!(reverse(&api, "order", beyond).await, exceeds);
    let gone = (410, "original-gone".to_owned());
    assert_eq!(reverse(&api, "order", part("r3")).await, gone);
    assert_eq!(reverse(&api, "order", part("other")).await, gone);
    assert_eq!(reverse(&api, "other", part("r1")).await, gone, "of another");

    let item = |reference: &str| {
        json!({"reference": reference, "type": "reverse",
            "reverse": {"reference": "order", "amount": "1"}})
    };
    let alone = api.post("/v1/transactions", &item("r1")).await;
    assert_eq!((alone.status, alone.replayed()), (201, true), "{alone:?}");
    let batch = json!([item("r1"), item("r3")]);
    let answer = api.post("/v1/transactions/batch", &batch).await.json();
    let results = &answer["results"];
    assert_eq!(results[0]["status"], 201, "{answer}");
    assert_eq!(results[0]["replayed"], true, "{answer}");
    assert_eq!(results[1]["status"], 410, "{answer}");
    has(&api, "alice", "19.00").await;
    api.ended().await;
    world.audit();
}

/// What several items read of the log at once goes to the item that asked.
#[tokio::test]
async fn a_batch_reverses_each_its_own() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    let orders = 1..=8;
    for order in orders.clone() {
        let amount = order.to_string();
        api.transfer(&format!("order-{order}"), "@world", "alice", &amount)
            .await;
    }
    let rounds = (1..=2).flat_map(|round| orders.clone().map(move |order| (round, order)));
    let items = rounds.map(|(round, order)| {
        let part = json!({"reference": format!("order-{order}"), "amount": "1"});
        json!({"reference": format!("r{round}-{order}"), "type": "reverse", "reverse": part})
    });
    let batch = Value::Array(items.collect());
    let answer = api.post("/v1/transactions/batch", &batch).await.json();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 16, "{answer}");
    for (at, (item, result)) in std::iter::zip(batch.as_array().unwrap(), results).enumerate() {
        assert_eq!(result["reference"], item["reference"], "{answer}");
        let expected = if at == 8 { 422 } else { 201 };
        assert_eq!(result["status"], expected, "{at}: {answer}");
    }
    // 36 in, 8 back, and 7 once more: the first order had no more.
    has(&api, "alice", "21.00").await;
    api.ended().await;
    world.audit();
}

#[tokio::test]
async fn a_hold_is_reversed_as_far_as_it_was_posted() {
    let world = World::new(2);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    api.open(&near).await;
    api.open(&far).await;
    api.transfer("fund", "@world", &near, "10").await;
    let posting = json!({"source": near, "destination": far, "amount": "6", "asset": "USD"});
    let hold = json!({"reference": "hold", "postings": [posting], "hold": {}});
    let made = api.post("/v1/transactions", &hold).await;
    assert_eq!(made.status, 201, "{made:?}");
    let all = |reference: &str| json!({"reference": reference});
    assert_eq!(
        reverse(&api, "hold", all("r1")).await,
        refused("nothing-to-reverse")
    );
    let post = json!({"reference": "p1", "amount": "4"});
    let posted = api.post("/v1/transactions/hold/post", &post).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    has(&api, &far, "4.00").await;
    assert_eq!(reverse(&api, "hold", all("r2")).await, applied());
    has(&api, &near, "10.00").await;
    let rest = api.post("/v1/transactions/hold/post", &all("p2")).await;
    assert_eq!(rest.status, 201, "{rest:?}");
    has(&api, &far, "2.00").await;
    let view = until("the reversal in cold", async || {
        let view = api.get("/v1/transactions/hold").await.json();
        (view["hold"]["state"] == "spent").then_some(view)
    })
    .await;
    let posting = &view["hold"]["postings"][0];
    assert_eq!(posting["posted"], "6.00", "{view}");
    assert_eq!(posting["reversed"], "4.00", "{view}");
    api.ended().await;
    world.audit();
}

/// A producer says what it reverses in its own words, and gets the outcome on the log.
#[tokio::test]
async fn a_producer_reverses_what_it_sent() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "10").await;
    let key = balance_id("alice");
    let original = pay("6");
    send(&world, key, &original).await;
    has(&api, "bob", "6.00").await;
    let id = |view: Value| view["transaction_id"].as_str().map(str::to_owned);
    let id = until("the order", async || {
        id(api.get("/v1/transactions/order").await.json())
    })
    .await;
    let back = |reference: &str, original: &Value| {
        json!({"reference": reference, "type": "reverse", "ledger": "main",
            "reverse": {"transaction": id, "original": original}})
    };
    send(&world, key, &back("r1", &pay("7"))).await;
    send(&world, key, &back("r2", &original)).await;
    has(&api, "alice", "10.00").await;
    let said = until("the refusal", async || {
        let view = api.get("/v1/transactions/r1").await.json();
        (view["status"] == "rejected").then_some(view)
    })
    .await;
    assert_eq!(said["reason"], "original-mismatch", "{said}");
    // What HTTP reads back of the log is the same transaction.
    let twice = json!({"reference": "r3"});
    assert_eq!(
        reverse(&api, "order", twice).await,
        refused("nothing-to-reverse")
    );
    api.ended().await;
    world.audit();
}

fn pay(amount: &str) -> Value {
    let (alice, bob) = (balance_id("alice"), balance_id("bob"));
    json!({
        "reference": "order", "type": "transfer", "ledger": "main",
        "postings": [{"source": alice, "destination": bob, "amount": amount, "asset": "USD"}],
    })
}

async fn send(world: &World, key: Uuid, json: &Value) {
    let key = key.to_string();
    let value = json.to_string();
    let sent = Sent {
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        ..Sent::default()
    };
    world.send(sent).await;
}

#[tokio::test]
async fn forcing_needs_a_key_that_may() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let file = keys_file(&world.name);
    let api = Api::start(&world, &["--api-keys-file", file.to_str().unwrap()]).await;
    let post = async |key: &str, path: &str, body: Value| {
        let answer = ask(&api, key, Method::POST, path, Some(&body)).await;
        let slug = match answer.status {
            201 => "applied".to_owned(),
            _ => answer.slug(),
        };
        (answer.status, slug)
    };
    for account in ["alice", "bob"] {
        let open = json!({"ledger": "acme/main", "account": account, "asset": "USD"});
        assert_eq!(post("acme-key", "/v1/balances", open).await, applied());
    }
    for (reference, source, destination) in [("in", "@world", "alice"), ("out", "alice", "bob")] {
        let posting =
            json!({"source": source, "destination": destination, "amount": "5", "asset": "USD"});
        let body = json!({"reference": reference, "ledger": "acme/main", "postings": [posting]});
        let made = post("acme-key", "/v1/transactions", body).await;
        assert_eq!(made, applied(), "{reference}");
    }
    let path = "/v1/transactions/in/reverse";
    let forced = json!({"reference": "f", "ledger": "acme/main", "force": true});
    let forbidden = (403, "forbidden".to_owned());
    assert_eq!(post("acme-key", path, forced.clone()).await, forbidden);
    let hidden = post("other-key", path, forced.clone()).await;
    assert_eq!(hidden, forbidden, "a ledger of others");
    let plain = json!({"reference": "p", "ledger": "acme/main"});
    let gone = post("acme-key", path, plain).await;
    assert_eq!(gone, refused("insufficient-funds"));
    assert_eq!(post("chief-key", path, forced).await, applied());
    api.ended().await;
    world.audit();
}
