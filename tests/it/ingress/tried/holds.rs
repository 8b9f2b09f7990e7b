//! Posts, voids and reversals of holds.

use serde_json::{Value, json};

use super::{Stage, result};
use crate::support::{account_in, balance_id, until};

#[tokio::test]
async fn a_post_and_a_void_are_what_they_were_said_to_be() {
    let stage = Stage::new(1).await;
    for account in ["alice", "bob", "carl"] {
        stage.api.open(account).await;
    }
    stage.api.transfer("fund", "@world", "alice", "100").await;
    let moves = [("alice", "bob", "60"), ("alice", "carl", "10")];
    stage.hold("h", &moves, json!({"expires_in": "1d"})).await;
    let accounts = ["alice", "bob", "carl"];
    let table = [
        ("h/post", json!({"amount": "25.5"}), "posted"),
        ("h/post", json!({"amount": "44.51"}), "post-exceeds-hold"),
        (
            "h/post",
            json!({"amount": "1", "asset": "EUR"}),
            "asset-mismatch",
        ),
        ("h/post", json!({"amount": "40"}), "posted"),
        ("nobody/void", json!({}), "transaction-not-found"),
        ("fund/post", json!({}), "transaction-not-found"),
        ("h/void", json!({"amount": "1"}), "invalid-amount"),
        (
            "h/post",
            json!({"effective_at": "2999-01-01T00:00:00Z"}),
            "effective-in-future",
        ),
        (
            "h/reverse",
            json!({"amount": "66"}),
            "reverse-exceeds-original",
        ),
        ("h/reverse", json!({"amount": "5"}), "applied"),
        ("h/void", json!({}), "voided"),
        ("h/void", json!({}), "hold-voided"),
        ("h/post", json!({}), "hold-voided"),
        ("h/reverse", json!({}), "applied"),
        ("h/reverse", json!({}), "nothing-to-reverse"),
    ];
    for (at, (path, mut body, expected)) in table.into_iter().enumerate() {
        body["reference"] = json!(format!("r{at}"));
        let path = format!("/v1/transactions/{path}");
        let said = stage.same("POST", &path, body, &accounts).await;
        assert_eq!(said, expected, "{at}: {path}");
    }
    stage.has("alice", "100.00", "0.00", "0.00").await;
    stage
        .hold("spent", &[("alice", "bob", "1")], json!({}))
        .await;
    for (reference, expected) in [("s1", "posted"), ("s2", "hold-spent")] {
        let body = json!({"reference": reference});
        let path = "/v1/transactions/spent/post";
        assert_eq!(stage.same("POST", path, body, &accounts).await, expected);
    }
    unnamed_and_shown(&stage).await;
    stage.api.ended().await;
    stage.world.audit();
}

/// A reference may be left out, and the answer shows the hold as it would be.
async fn unnamed_and_shown(stage: &Stage) {
    let made = stage
        .hold("shown", &[("alice", "bob", "6")], json!({}))
        .await;
    stage.rests().await;
    let path = "/v1/transactions/shown/post?dry_run=true";
    let view = stage.api.post(path, &json!({"amount": "4"})).await.json();
    let transaction = &view["results"][0]["transaction"];
    assert!(view["results"][0]["reference"].is_null(), "{view}");
    assert!(transaction["transaction_id"].is_null(), "{view}");
    assert_eq!(transaction["hold"]["id"], made["transaction_id"], "{view}");
    assert_eq!(transaction["hold"]["state"], "open", "{view}");
    assert_eq!(transaction["hold"]["postings"][0]["rest"], "2.00", "{view}");
    let directions = transaction["entries"].as_array().unwrap().iter();
    let directions: Vec<_> = directions.map(|entry| &entry["direction"]).collect();
    assert_eq!(directions, ["post", "settle"], "{view}");
    assert!(view["as_of"].is_string(), "{view}");
}

#[tokio::test]
async fn over_partitions_too_and_by_force() {
    let stage = Stage::new(2).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    let away = account_in("away", 1, 2);
    for account in [&near, &far, &away] {
        stage.api.open(account).await;
    }
    stage.api.transfer("fund", "@world", &near, "10").await;
    stage.api.transfer("far", "@world", &far, "5").await;
    let accounts = [&*near, &*far, &*away];
    let moves = [(&*near, &*far, "6"), (&*far, &*near, "2")];
    stage.hold("h", &moves, json!({})).await;
    stage.has(&far, "5.00", "2.00", "6.00").await;
    let on = async |path: &str, reference: &str, mut body: Value| {
        body["reference"] = json!(reference);
        let path = format!("/v1/transactions/{path}");
        stage.same("POST", &path, body, &accounts).await
    };
    assert_eq!(on("h/post", "p1", json!({"amount": "7"})).await, "posted");
    stage.has(&near, "5.00", "0.00", "1.00").await;
    assert_eq!(
        on("h/post", "p2", json!({"amount": "1.01"})).await,
        "post-exceeds-hold"
    );
    assert_eq!(on("h/void", "v1", json!({})).await, "voided");
    stage.has(&far, "10.00", "0.00", "0.00").await;

    let pay = async |reference: &str, source: &str, destination: &str, amount: &str| {
        let paid = stage
            .api
            .transfer(reference, source, destination, amount)
            .await;
        assert_eq!(paid.status, 201, "{paid:?}");
    };
    pay("order", &near, &far, "4").await;
    stage.has(&far, "14.00", "0.00", "0.00").await;
    assert_eq!(
        on("order/reverse", "b1", json!({"amount": "1"})).await,
        "applied"
    );
    stage.has(&near, "2.00", "0.00", "0.00").await;
    let beyond = json!({"amount": "3.01"});
    assert_eq!(
        on("order/reverse", "b2", beyond).await,
        "reverse-exceeds-original"
    );
    pay("spend", &far, &away, "12").await;
    stage.has(&far, "1.00", "0.00", "0.00").await;
    assert_eq!(
        on("order/reverse", "b3", json!({})).await,
        "insufficient-funds"
    );
    assert_eq!(
        on("order/reverse", "b4", json!({"force": true})).await,
        "applied"
    );
    assert_eq!(
        on("order/reverse", "b5", json!({})).await,
        "nothing-to-reverse"
    );
    let refused = stage.api.transfer("no", &near, &far, "99").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(on("no/reverse", "b6", json!({})).await, "not-reversible");
    stage.api.ended().await;
    stage.world.audit();
}
/// What is over by now is over, though nobody has released it yet.
#[tokio::test]
async fn a_hold_that_is_due_is_said_to_be_over() {
    let mut stage = Stage::new(1).await;
    stage.api.open("alice").await;
    stage.api.open("bob").await;
    stage.api.transfer("fund", "@world", "alice", "10").await;
    let terms = json!({"expires_in": "20s"});
    stage.hold("h", &[("alice", "bob", "6")], terms).await;
    let path = format!("/v1/balances/{}/holds", balance_id("alice"));
    until("the hold in cold", async || {
        let view = stage.api.get(&path).await.json();
        (view["holds"][0]["reference"] == "h").then_some(())
    })
    .await;
    stage.processor.kill();
    let body = json!({"reference": "p"});
    let view = until("the hold to be over", async || {
        let path = "/v1/transactions/h/post?dry_run=true";
        let view = stage.api.post(path, &body).await.json();
        (result(&view, 0) != "posted").then_some(view)
    })
    .await;
    assert_eq!(result(&view, 0), "hold-expired", "{view}");
    let listed = stage.api.get(&path).await.json();
    assert_eq!(listed["holds"][0]["state"], "open", "{listed}");
    stage.processor = stage.world.start("processor").await;
    let late = stage.api.post("/v1/transactions/h/post", &body).await;
    assert_eq!(late.slug(), "hold-expired", "{late:?}");
    stage.api.ended().await;
    stage.world.audit();
}

/// Of what cold may not have yet, nothing is said.
#[tokio::test]
async fn without_cold_nothing_is_said_of_a_hold() {
    let mut stage = Stage::without_sink(1).await;
    stage.api.open("alice").await;
    stage.api.open("bob").await;
    stage.api.transfer("fund", "@world", "alice", "10").await;
    stage.hold("h", &[("alice", "bob", "6")], json!({})).await;
    for what in ["post", "void", "reverse"] {
        let path = format!("/v1/transactions/h/{what}?dry_run=true");
        let said = stage.api.post(&path, &json!({})).await;
        let told = (said.status, said.slug());
        assert_eq!(told, (503, "storage-unavailable".to_owned()), "{what}");
        assert_eq!(said.header("retry-after"), "1", "{what}");
    }
    stage.sink = Some(stage.world.start("sink").await);
    let body = json!({"reference": "p"});
    let path = "/v1/transactions/h/post?dry_run=true";
    until("what can be said", async || {
        (stage.api.post(path, &body).await.status == 200).then_some(())
    })
    .await;
    let path = "/v1/transactions/h/post";
    let said = stage.same("POST", path, body, &["alice", "bob"]).await;
    assert_eq!(said, "posted");
    stage.api.ended().await;
    stage.world.audit();
}
