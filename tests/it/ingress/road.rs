//! Money over HTTP: the whole road, with a processor at its end.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use crate::support::node::Node;
use crate::support::{World, account_in, balance_id, transfer, until};

const EAGER: [(&str, &str); 1] = [("Prefer", "respond-async")];

async fn funded(api: &Api, account: &str, amount: &str) -> String {
    let id = api.open(account).await;
    let answer = api
        .transfer(&format!("fund-{account}"), "@world", account, amount)
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    id
}

fn posted(view: &Value, balance: &str) -> Value {
    let entries = view["entries"].as_array().cloned().unwrap_or_default();
    let found = entries
        .into_iter()
        .find(|entry| entry["balance"] == balance);
    found
        .map(|entry| entry["posted"].clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_transaction_is_answered_once_and_for_all() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    let alice = funded(&api, "alice", "100.00").await;
    let bob = api.open("bob").await;
    assert_eq!(alice, balance_id("alice").to_string());

    let first = api.transfer("pay-1", "alice", "bob", "12.5").await;
    assert_eq!(first.status, 201, "{first:?}");
    let view = first.json();
    assert_eq!(view["status"], "applied");
    assert_eq!(posted(&view, &alice), "87.50");
    assert_eq!(posted(&view, &bob), "12.50");
    assert!(!first.replayed());
    assert_eq!(
        first.header("location"),
        "/v1/transactions/pay-1?ledger=default%2Fmain"
    );

    let again = api.transfer("pay-1", "alice", "bob", "12.50").await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");
    assert_eq!(again.json(), view, "the first answer again");
    let other = api.transfer("pay-1", "alice", "bob", "12.51").await;
    assert_eq!(
        (other.status, other.slug().as_str()),
        (422, "reference-reused")
    );
    let aliased = api
        .post_with(
            "/v1/transactions",
            &[("Idempotency-Key", "\"pay-1\"")],
            &json!({"postings": [{"source": alice, "destination": {"account": "bob"},
                "amount": "12.50", "asset": "USD/2"}]}),
        )
        .await;
    assert_eq!(
        (aliased.status, aliased.replayed()),
        (201, true),
        "{aliased:?}"
    );

    let poor = api.transfer("pay-2", "alice", "bob", "1000").await;
    assert_eq!(
        (poor.status, poor.slug().as_str()),
        (422, "insufficient-funds")
    );
    assert_eq!(poor.json()["transaction"]["status"], "rejected");
    assert_eq!(poor.json()["transaction"]["balance"], alice);
    assert_eq!(poor.json()["retry"], "new-reference");
    let poor = api.transfer("pay-2", "alice", "bob", "1000").await;
    assert_eq!((poor.status, poor.replayed()), (422, true), "{poor:?}");

    let read = api.get("/v1/transactions/pay-1?ledger=main").await;
    assert_eq!((read.status, read.json()), (200, view));
    assert_eq!(
        api.get("/v1/transactions/pay-9").await.slug(),
        "transaction-not-found"
    );
    balance_is_read_from_hot(&api, &alice).await;
    api.ended().await;
    world.audit();
}

async fn balance_is_read_from_hot(api: &Api, alice: &str) {
    let path = format!("/v1/balances/{alice}");
    // Hot follows the outcome's acknowledgement within the batch, and may be a moment behind.
    let read = until("hot", async || {
        let read = api.get(&path).await;
        (read.status == 200 && read.json()["posted"] == "87.50").then_some(read)
    })
    .await;
    let balance = read.json();
    assert_eq!(balance["source"], "hot");
    assert_eq!(balance["available"], "87.50");
    assert_eq!(balance["account"], "alice");
    assert!(balance["as_of"].is_string());
    let version = balance["version"].as_u64().unwrap();
    assert_eq!(read.header("etag"), format!("\"{version}\""));
    let known = api
        .request(Method::GET, &path)
        .header("If-None-Match", read.header("etag"));
    let known = api.send(known).await;
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    let unknown = format!("/v1/balances/{}", balance_id("nobody"));
    assert_eq!(api.get(&unknown).await.slug(), "balance-not-found");
}

#[tokio::test]
async fn versions_are_expected_and_retried() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    let alice = funded(&api, "alice", "100").await;
    api.open("bob").await;

    let pay = |reference: &str| transfer(reference, "alice", "bob", "1");
    let good = api
        .post_with("/v1/transactions", &[("If-Match", "\"2\"")], &pay("v-1"))
        .await;
    assert_eq!(good.status, 201, "{good:?}");
    let stale = api
        .post_with("/v1/transactions", &[("If-Match", "\"2\"")], &pay("v-2"))
        .await;
    assert_eq!(
        (stale.status, stale.slug().as_str()),
        (412, "version-mismatch")
    );
    assert_eq!(stale.json()["transaction"]["version"], 3);

    let mut insisting = pay("v-3");
    insisting["expect"] = json!({alice.clone(): 1});
    let refused = api.post("/v1/transactions", &insisting).await;
    assert_eq!(
        (refused.status, refused.slug().as_str()),
        (422, "version-mismatch")
    );
    insisting["reference"] = json!("v-4");
    insisting["expect_retries"] = json!(2);
    let done = api.post("/v1/transactions", &insisting).await;
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(done.json()["reference"], "v-4#1");
    assert_eq!(done.json()["retry_of"], "v-4");
    assert_eq!(
        done.header("location"),
        "/v1/transactions/v-4%231?ledger=default%2Fmain"
    );
    let again = api.post("/v1/transactions", &insisting).await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");
    assert_eq!(again.json(), done.json());
    assert_eq!(
        api.get("/v1/transactions/v-4%231").await.json(),
        done.json()
    );

    configure(&api, &alice).await;
    api.ended().await;
    world.audit();
}

async fn configure(api: &Api, alice: &str) {
    let path = format!("/v1/balances/{alice}");
    let patch = |key: &'static str, version: &'static str, body: Value| {
        let request = api
            .request(Method::PATCH, &path)
            .header("Idempotency-Key", key);
        let request = request.json(&body);
        match version {
            "" => request,
            version => request.header("If-Match", version),
        }
    };
    let credit = json!({"floor": "-50.00", "asset": "USD"});
    let stale = api.send(patch("c-1", "\"1\"", credit.clone())).await;
    assert_eq!(
        (stale.status, stale.slug().as_str()),
        (412, "version-mismatch")
    );
    let changed = api.send(patch("c-2", "\"4\"", credit)).await;
    assert_eq!(
        (changed.status, changed.header("etag")),
        (200, "\"5\""),
        "{changed:?}"
    );
    assert_eq!(changed.json()["balance"], alice);
    assert_eq!(changed.json()["entries"][0]["terms"]["floor"], "-50.00");
    let frozen = api
        .send(patch("c-3", "", json!({"status": "frozen"})))
        .await;
    assert_eq!(frozen.status, 200, "{frozen:?}");
    let refused = api.transfer("c-4", "alice", "bob", "1").await;
    assert_eq!(
        (refused.status, refused.slug().as_str()),
        (422, "balance-frozen")
    );
    let nameless = api
        .request(Method::PATCH, &path)
        .json(&json!({"status": "open"}));
    assert_eq!(api.send(nameless).await.slug(), "reference-missing");

    let same = api
        .post("/v1/balances", &json!({"account": "alice", "asset": "USD"}))
        .await;
    assert_eq!((same.status, same.replayed()), (201, true), "{same:?}");
    assert_eq!(same.header("location"), path);
    let other = json!({"account": "alice", "asset": "USD", "floor": null});
    let other = api.post("/v1/balances", &other).await;
    assert_eq!(
        (other.status, other.slug().as_str()),
        (422, "balance-exists")
    );
}

#[tokio::test]
async fn a_batch_has_a_result_for_every_item() {
    let world = World::new(2);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    funded(&api, "alice", "100").await;
    api.open("bob").await;
    let batch = json!([
        transfer("b-1", "alice", "bob", "1"),
        transfer("b-2", "alice", "bob", "1e2"),
        {"type": "open", "reference": "b-3", "open": {"account": "carol", "asset": "USD"}},
        transfer("b-4", "alice", "bob", "1000"),
        transfer("b-1", "alice", "bob", "1.00"),
        transfer("b-1", "alice", "bob", "2"),
        {"reference": 7},
    ]);
    let answer = api.post("/v1/transactions/batch", &batch).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    let statuses: Vec<_> = results
        .iter()
        .map(|one| one["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 400, 201, 422, 201, 422, 400], "{answer:?}");
    assert_eq!(results[0]["transaction"]["reference"], "b-1");
    assert_eq!(results[1]["problem"]["field"], "postings[0].amount");
    assert_eq!(results[1]["reference"], "b-2");
    assert_eq!(
        results[3]["problem"]["type"],
        "/problems/insufficient-funds"
    );
    assert_eq!(results[4]["replayed"], true);
    assert_eq!(results[5]["problem"]["type"], "/problems/reference-reused");
    assert!(results[6]["reference"].is_null());

    let lines: String = (0..500)
        .map(|n| format!("{}\n", transfer(&format!("n-{n}"), "alice", "bob", "0.01")))
        .collect();
    let lines = api
        .request(Method::POST, "/v1/transactions/batch")
        .header("content-type", "application/x-ndjson")
        .body(lines);
    let answer = api.send(lines).await;
    let results: Vec<Value> = answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(results.len(), 500);
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["reference"], format!("n-{n}"));
        assert_eq!(result["status"], 201, "{result}");
    }
    api.ended().await;
    world.audit();
}

#[tokio::test]
async fn an_impatient_caller_asks_later() {
    let world = World::new(2);
    let node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    funded(&api, &near, "100").await;
    let far_id = api.open(&far).await;

    let sent = api
        .post_with(
            "/v1/transactions",
            &EAGER,
            &transfer("a-1", &near, &far, "5"),
        )
        .await;
    assert_eq!(
        (sent.status, sent.json()["status"].as_str()),
        (202, Some("pending")),
        "{sent:?}"
    );
    assert_eq!(sent.header("preference-applied"), "respond-async");
    assert_eq!(sent.header("retry-after"), "1");
    let location = sent.header("location").to_owned();
    let view = api.decided("a-1").await;
    assert_eq!(view["status"], "applied");
    assert_eq!(api.get(&location).await.json()["reference"], "a-1");
    assert!(
        view["entries"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["balance"] == far_id)
    );
    assert_eq!(
        view["partial"], true,
        "home's entries stand in another partition: {view}"
    );
    let again = api.transfer("a-1", &near, &far, "5").await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");

    unattended(&node, &api, (&near, &far)).await;
    api.ended().await;
    world.audit();
}

/// With nobody to decide, the wait runs out; the outcome is found later.
async fn unattended(node: &Node, api: &Api, (near, far): (&str, &str)) {
    node.signal("STOP");
    let waiting = [("Prefer", "wait=1")];
    let sent = api
        .post_with(
            "/v1/transactions",
            &waiting,
            &transfer("a-2", near, far, "5"),
        )
        .await;
    assert_eq!(
        (sent.status, sent.header("preference-applied")),
        (202, "wait=1"),
        "{sent:?}"
    );
    assert_eq!(
        api.get("/v1/transactions/a-2").await.json()["status"],
        "pending"
    );
    let repeat = api
        .post_with("/v1/transactions", &EAGER, &transfer("a-2", near, far, "5"))
        .await;
    assert_eq!(repeat.status, 202, "{repeat:?}");
    node.signal("CONT");
    assert_eq!(api.decided("a-2").await["status"], "applied");
    let spent = api.transfer("a-3", near, far, "90.01").await;
    assert_eq!(
        spent.slug(),
        "insufficient-funds",
        "the repeat was not applied again"
    );
}
