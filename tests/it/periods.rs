//! Dates in the past, and periods that are closed to them.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::node::Node;
use crate::support::{World, account_in, balance_id, transfer, until};

fn dated(reference: &str, source: &str, destination: &str, date: &str) -> Value {
    let mut transfer = transfer(reference, source, destination, "30");
    transfer["effective_at"] = json!(date);
    transfer
}

async fn close(node: &Node, body: &Value) -> (StatusCode, Value) {
    let url = format!("{}/v1/ledgers/main/closed-period", node.http);
    let answer = node.client.put(url).json(body).send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

async fn refused(node: &Node, body: &Value) -> String {
    let (status, answer) = node.post("/v1/transactions", body).await;
    assert!(status.is_client_error(), "{answer}");
    answer["type"].as_str().unwrap().replace("/problems/", "")
}

/// Waits until a balance has `posted` at a moment.
async fn stands(node: &Node, account: &str, query: &str, posted: &str) {
    let path = format!("/v1/balances/{}?{query}", balance_id(account));
    until(&format!("{account} to have {posted} {query}"), async || {
        let (_, balance) = node.get(&path).await;
        (balance["posted"] == posted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_closed_period_refuses_earlier_dates_for_good() {
    let world = World::new(2);
    let mut node = world.start("all").await;
    let (alice, bob) = (account_in("alice", 0, 2), account_in("bob", 1, 2));
    for account in [&alice, &bob] {
        node.open(account).await;
    }
    let january = "2026-01-15T00:00:00Z";
    node.applied(&transfer("fund", "@world", &alice, "100"))
        .await;
    node.applied(&dated("old", &alice, &bob, january)).await;
    for (account, before, after, now) in [
        (&alice, "0.00", "-30.00", "70.00"),
        (&bob, "0.00", "30.00", "30.00"),
    ] {
        stands(&node, account, "effective_at=2026-01-14T23:59:59Z", before).await;
        stands(&node, account, "effective_at=2026-01-15T00:00:00Z", after).await;
        stands(&node, account, "effective_at=2099-01-01T00:00:00Z", now).await;
        stands(&node, account, "at=2099-01-01T00:00:00Z", now).await;
    }
    let path = format!(
        "/v1/balances/{}?at=2026-01-16T00:00:00Z",
        balance_id(&alice)
    );
    assert_eq!(
        node.get(&path).await.0,
        StatusCode::NOT_FOUND,
        "log time is another"
    );

    february_is_open_and_january_closed(&node).await;
    earlier_dates_are_refused(&world, &node, &alice, &bob).await;
    node.kill();
    let node = world.start("all").await;
    let told = refused(&node, &dated("after-1", &alice, &bob, january)).await;
    assert_eq!(told, "period-closed");
    let told = refused(&node, &dated("after-2", &bob, &alice, january)).await;
    assert_eq!(told, "period-closed");
    node.applied(&dated("after-3", &alice, &bob, "2026-02-01T00:00:00Z"))
        .await;
    world.audit();
}

async fn earlier_dates_are_refused(world: &World, node: &Node, alice: &str, bob: &str) {
    for (at, (date, slug)) in (0..).zip([
        ("2026-01-31T23:59:59.999Z", "period-closed"),
        ("2099-01-01T00:00:00Z", "effective-in-future"),
        ("1969-12-31T23:59:59Z", "invalid-date"),
        ("yesterday", "malformed-request"),
    ]) {
        for (source, destination) in [(alice, bob), (bob, alice)] {
            let reference = format!("bad-{at}-{source}");
            let told = refused(node, &dated(&reference, source, destination, date)).await;
            assert_eq!(told, slug, "{date}");
        }
    }
    let january = "2026-01-15T00:00:00Z";
    let items = json!([dated("item", alice, bob, january), {"reference": "close",
        "type": "close-period", "close_period": {"before": "2026-01-01T00:00:00Z"}}]);
    let (_, answer) = node.post("/v1/transactions/batch", &items).await;
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(
            result["problem"]["type"], "/problems/period-closed",
            "{answer}"
        );
    }
    let (_, tried) = node
        .post(
            "/v1/transactions?dry_run=true",
            &dated("try", alice, bob, january),
        )
        .await;
    assert_eq!(
        tried["results"][0]["problem"]["type"], "/problems/period-closed",
        "{tried}"
    );
    let (alice_id, bob_id) = (balance_id(alice), balance_id(bob));
    let mut command = dated(
        "by-kafka",
        &alice_id.to_string(),
        &bob_id.to_string(),
        january,
    );
    command["type"] = json!("transfer");
    command["ledger"] = json!("main");
    let at = world.command_record(alice_id, &command).await;
    let outcome = world.outcome(at).await;
    assert_eq!(outcome["reason"], "period-closed", "{outcome}");
    let path = format!(
        "/v1/balances/{alice_id}?at=2026-01-01T00:00:00Z&effective_at=2026-01-01T00:00:00Z"
    );
    assert_eq!(node.get(&path).await.0, StatusCode::BAD_REQUEST);
}

async fn february_is_open_and_january_closed(node: &Node) {
    let (_, nothing) = node.get("/v1/ledgers/main/closed-period").await;
    assert!(nothing["before"].is_null(), "{nothing}");
    let february = json!({"before": "2026-02-01T00:00:00Z"});
    let (status, answer) = close(node, &february).await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::OK, &json!("applied")),
        "{answer}"
    );
    let again = close(node, &february).await;
    assert_eq!(
        (again.0, &again.1["transaction_id"]),
        (StatusCode::OK, &answer["transaction_id"])
    );
    let earlier = close(node, &json!({"before": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(
        earlier.1["type"], "/problems/period-closed",
        "{}",
        earlier.1
    );
    let future = close(node, &json!({"before": "2099-01-01T00:00:00Z"})).await;
    assert_eq!(
        future.1["type"], "/problems/effective-in-future",
        "{}",
        future.1
    );
    for (body, slug) in [
        (json!({}), "malformed-request"),
        (json!({"before": "1969-01-01T00:00:00Z"}), "invalid-date"),
        (
            json!({"before": "2026-01-01T00:00:00Z", "after": 1}),
            "malformed-request",
        ),
    ] {
        let (status, answer) = close(node, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["type"], format!("/problems/{slug}"));
    }
    until("the closing to be read", async || {
        let (_, closed) = node.get("/v1/ledgers/main/closed-period").await;
        (closed["before"] == "2026-02-01T00:00:00.000Z").then_some(())
    })
    .await;
}
