//! What is read once the sinks have been there, and what hot cannot say.

use serde_json::{Value, json};

use super::api::Api;
use crate::support::{World, account_in, balance_id, transfer, until};

const NOWHERE: [&str; 2] = ["--redis-url", "redis://127.0.0.1:1"];

/// The amounts and versions of a transaction's entries.
fn changes(view: &Value) -> Vec<Value> {
    let entries = view["entries"].as_array().cloned().unwrap_or_default();
    let mut changes: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!([
                entry["balance"],
                entry["version"],
                entry["direction"],
                entry["amount"],
                entry["posted"]
            ])
        })
        .collect();
    changes.sort_by_key(Value::to_string);
    changes
}

/// Waits until cold has a transaction, and no claim is needed to read it.
async fn in_cold(cold: &Api, reference: &str) -> Value {
    let path = format!("/v1/transactions/{reference}");
    until(&format!("{reference} in cold"), async || {
        let answer = cold.get(&path).await;
        let view = answer.json();
        (answer.status == 200 && view["status"] != "pending" && view["partial"].is_null())
            .then_some(view)
    })
    .await
}

#[tokio::test]
async fn cold_answers_what_hot_cannot() {
    let world = World::new(2);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let cold = Api::start(&world, &NOWHERE).await;
    let (home, far) = (account_in("home", 0, 2), account_in("far", 1, 2));
    let home_id = api.open(&home).await;
    let far_id = api.open(&far).await;
    api.transfer("fund", "@world", &home, "100").await;
    api.decided("fund").await;

    let walked = api.transfer("walk", &home, &far, "2.50").await;
    assert_eq!(walked.status, 201, "{walked:?}");
    assert_eq!(
        walked.json()["partial"],
        true,
        "home's entry stands at home"
    );
    let view = in_cold(&cold, "walk").await;
    let expected = json!([
        [far_id, 2, "credit", "2.50", "2.50"],
        [home_id, 3, "debit", "2.50", "97.50"]
    ]);
    let mut expected = expected.as_array().unwrap().clone();
    expected.sort_by_key(Value::to_string);
    assert_eq!(
        changes(&view),
        expected,
        "both sides and no transit: {view}"
    );
    let again = api.get("/v1/transactions/walk").await.json();
    assert_eq!(
        changes(&again),
        expected,
        "a partial claim is completed: {again}"
    );

    let refused = api.transfer("poor", &home, &far, "1000").await;
    assert_eq!(refused.slug(), "insufficient-funds");
    let view = in_cold(&cold, "poor").await;
    assert_eq!(
        (view["status"].as_str(), view["balance"].as_str()),
        (Some("rejected"), Some(&*home_id))
    );

    balance_from_cold(&api, &cold, &home_id).await;
    pages(&cold, &home, &home_id).await;
    api.ended().await;
    cold.ended().await;
    world.audit();
}

async fn balance_from_cold(api: &Api, cold: &Api, id: &str) {
    let path = format!("/v1/balances/{id}");
    let hot = api.get(&path).await.json();
    assert_eq!(
        (hot["source"].as_str(), hot["posted"].as_str()),
        (Some("hot"), Some("97.50"))
    );
    let read = until("the balance in cold", async || {
        let read = cold.get(&path).await;
        (read.status == 200 && read.json()["version"] == hot["version"]).then_some(read)
    })
    .await;
    let mut view = read.json();
    assert_eq!(view["source"], "cold");
    assert_eq!(read.header("etag"), format!("\"{}\"", hot["version"]));
    for (name, value) in [("source", "hot"), ("as_of", hot["as_of"].as_str().unwrap())] {
        view[name] = json!(value);
    }
    assert_eq!(view, hot, "the same balance by two roads");
    let early = cold.get(&format!("{path}?at=2001-01-01T00:00:00Z")).await;
    assert_eq!(early.slug(), "balance-not-found");
    let entries = cold
        .get(&format!("{path}/entries?order=oldest"))
        .await
        .json();
    let second = &entries["data"][1];
    let at = second["at"].as_str().unwrap();
    let past = cold.get(&format!("{path}?at={at}")).await.json();
    assert_eq!(
        (&past["version"], &past["posted"]),
        (&json!(2), &json!("100.00")),
        "{past}"
    );
    let unknown = format!("/v1/balances/{}", balance_id("nobody"));
    assert_eq!(
        cold.get(&unknown).await.slug(),
        "storage-unavailable",
        "hot may have it"
    );
}

async fn pages(cold: &Api, account: &str, id: &str) {
    let mut path = format!("/v1/balances/{id}/entries?limit=2");
    let mut versions = Vec::new();
    loop {
        let page = cold.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let body = page.json();
        let data = body["data"].as_array().unwrap();
        versions.extend(data.iter().map(|entry| entry["version"].as_u64().unwrap()));
        let link = page.header("link").to_owned();
        assert_eq!(body["has_more"], !link.is_empty());
        let Some(next) = link.strip_prefix('<') else {
            break;
        };
        path = next.split('>').next().unwrap().to_owned();
        assert!(path.contains(body["next"].as_str().unwrap()));
    }
    assert_eq!(versions, [3, 2, 1], "newest first");
    let list = cold
        .get(&format!("/v1/balances?account={account}"))
        .await
        .json();
    assert_eq!(list["data"][0]["id"], id, "{list}");
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let list = cold.get("/v1/balances?account=nobody").await.json();
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn both_roads_have_one_memory() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    let record = |reference: &str, amount: &str| {
        json!({"reference": reference, "type": "transfer", "ledger": "main", "postings": [
            {"source": balance_id("@world"), "destination": balance_id("alice"),
             "amount": amount, "asset": "USD/2"}]})
    };
    let at = world
        .command_record(balance_id("@world"), &record("direct", "5.0"))
        .await;
    let outcome = world.outcome(at).await;
    let again = api.transfer("direct", "@world", "alice", "5.00").await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");
    assert_eq!(again.json()["transaction_id"], outcome["transaction_id"]);
    let entries = |view: &Value| view["entries"].as_array().map(Vec::len);
    assert_eq!(
        entries(&again.json()),
        entries(&outcome),
        "the original answer"
    );
    let other = api.transfer("direct", "@world", "alice", "5.01").await;
    assert_eq!(
        (other.status, other.slug().as_str()),
        (422, "reference-reused")
    );
    // A refused reference is not claimed for the content that was refused.
    let again = api.transfer("direct", "@world", "alice", "5").await;
    assert_eq!((again.status, again.replayed()), (201, true), "{again:?}");

    let first = api
        .post(
            "/v1/transactions",
            &transfer("http", "@world", "alice", "1"),
        )
        .await;
    assert_eq!(first.status, 201);
    let at = world
        .command_record(balance_id("@world"), &record("http", "1.00"))
        .await;
    let outcome = world.outcome(at).await;
    assert_eq!(outcome["replay_of"], first.json()["offset"], "{outcome}");
    api.ended().await;
    world.audit();
}
