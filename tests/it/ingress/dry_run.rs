//! Dry runs tell what would happen, and leave everything as it is.

use serde_json::{Value, json};

use super::api::Api;
use crate::support::{World, account_in, balance_id, transfer, until};

/// A balance of the answer, by its account.
fn balance<'a>(view: &'a Value, account: &str) -> &'a Value {
    let balances = view["balances"].as_array().unwrap();
    let mut found = balances
        .iter()
        .filter(|balance| balance["account"] == account);
    found.next().unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let world = World::new(2);
    let node = world.start("all").await;
    let api = Api::start(&world, &[]).await;
    let (alice, bob) = (account_in("alice", 0, 2), account_in("bob", 1, 2));
    for account in [&alice, &bob] {
        api.open(account).await;
    }
    node.applied(&transfer("fund", "@world", &alice, "100"))
        .await;
    until("the money to be seen", async || {
        let seen = api
            .post(
                "/v1/transactions?dry_run=true",
                &transfer("t", &alice, &bob, "1"),
            )
            .await;
        (seen.json()["results"][0]["status"] == 201).then_some(())
    })
    .await;
    let stood = world.hot_bytes(&[&alice, &bob]).await;
    let ends = [0, 1].map(|partition| world.end("commands", partition));

    let tried = api
        .post(
            "/v1/transactions?dry_run=true",
            &transfer("pay", &alice, &bob, "30"),
        )
        .await;
    assert_eq!(tried.status, 200, "{tried:?}");
    let view = tried.json();
    assert_eq!(view["dry_run"], true);
    let result = &view["results"][0];
    assert_eq!(
        (&result["status"], &result["reference"]),
        (&json!(201), &json!("pay"))
    );
    assert_eq!(result["transaction"]["status"], "applied", "{view}");
    assert!(result["transaction"]["transaction_id"].is_null(), "{view}");
    assert_eq!(
        result["transaction"]["entries"].as_array().unwrap().len(),
        2,
        "{view}"
    );
    assert_eq!(balance(&view, &alice)["posted"], "70.00");
    assert_eq!(balance(&view, &alice)["version"], 3);
    assert_eq!(balance(&view, &bob)["posted"], "30.00");
    assert_eq!(balance(&view, &bob)["source"], "dry-run");
    assert!(view["as_of"].is_string(), "{view}");

    each_comes_after_the_ones_before(&api, &alice, &bob).await;
    bad_ones_are_refused(&api, &alice, &bob).await;
    let now = [0, 1].map(|partition| world.end("commands", partition));
    assert_eq!(now, ends, "nothing went to the log");
    assert_eq!(world.hot_bytes(&[&alice, &bob]).await, stood);
    // Its reference is free.
    let paid = api.transfer("pay", &alice, &bob, "1").await;
    assert_eq!((paid.status, paid.replayed()), (201, false), "{paid:?}");
    api.ended().await;
    world.audit();
}

async fn each_comes_after_the_ones_before(api: &Api, alice: &str, bob: &str) {
    let mut unnamed = transfer("", bob, alice, "70");
    unnamed.as_object_mut().unwrap().remove("reference");
    let items = json!([transfer("a", alice, bob, "60"), transfer("b", alice, bob, "60"),
        unnamed, {"reference": "c"}, transfer("d", bob, "nobody", "1")]);
    let tried = api
        .post("/v1/transactions/batch?dry_run=true", &items)
        .await;
    assert_eq!(tried.status, 200, "{tried:?}");
    let view = tried.json();
    let statuses = view["results"].as_array().unwrap().iter();
    let statuses: Vec<_> = statuses
        .map(|result| result["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 422, 422, 400, 422], "{view}");
    let problem = &view["results"][1]["problem"];
    assert_eq!(problem["type"], "/problems/insufficient-funds");
    assert_eq!(
        view["results"][4]["problem"]["type"],
        "/problems/balance-not-found"
    );
    assert_eq!(balance(&view, alice)["posted"], "40.00");
    assert_eq!(balance(&view, bob)["posted"], "60.00");
}

async fn bad_ones_are_refused(api: &Api, alice: &str, bob: &str) {
    for (path, body, slug) in [
        (
            "?dry_run=maybe",
            transfer("x", alice, bob, "1"),
            "malformed-request",
        ),
        (
            "?dry_run=true&x=1",
            transfer("x", alice, bob, "1"),
            "malformed-request",
        ),
        (
            "?dry_run=true",
            transfer("x", alice, bob, "0"),
            "invalid-amount",
        ),
        (
            "?dry_run=true",
            transfer("", alice, bob, "1"),
            "reference-missing",
        ),
    ] {
        let refused = api.post(&format!("/v1/transactions{path}"), &body).await;
        assert_eq!(
            (refused.status, refused.slug().as_str()),
            (400, slug),
            "{path}"
        );
    }
}

/// A question that is not understood is not taken for the thing itself.
#[tokio::test]
async fn what_is_asked_wrongly_is_not_done() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.transfer("fund", "@world", "alice", "10").await;
    let balance = format!("/v1/balances/{}", balance_id("alice"));
    for (method, path) in [
        ("POST", "/v1/transactions"),
        ("POST", "/v1/transactions/batch"),
        ("POST", "/v1/transactions/fund/post"),
        ("POST", "/v1/transactions/fund/void"),
        ("POST", "/v1/transactions/fund/reverse"),
        ("POST", "/v1/balances"),
        ("PATCH", &balance),
        ("PUT", "/v1/ledgers/main/closed-period"),
    ] {
        for query in ["dryrun=true", "dry_run=1", "dry_run=true&x=1"] {
            let path = format!("{path}?{query}");
            let request = api.request(method.parse().unwrap(), &path);
            let answer = api.send(request.json(&json!({"reference": "tried"}))).await;
            assert_eq!(answer.slug(), "malformed-request", "{path}: {answer:?}");
            assert_eq!(answer.json()["field"], "query", "{path}");
        }
    }
    assert_eq!(api.get(&balance).await.json()["posted"], "10.00");
    api.ended().await;
    world.audit();
}
