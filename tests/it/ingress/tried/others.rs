//! Opening, configuring, closing a period; versions; batches.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Stage, result};
use crate::support::{account_in, balance_id, transfer};

#[tokio::test]
async fn opening_configuring_and_closing_are_tried_too() {
    let stage = Stage::new(2).await;
    let (one, two) = (account_in("one", 0, 2), account_in("two", 1, 2));
    let open = |reference: &str, account: &str| {
        let mut open = json!({"account": account, "asset": "USD", "ceiling": "50"});
        open["reference"] = json!(reference);
        open
    };
    let path = "/v1/balances";
    for account in [&one, &two] {
        let said = stage.same("POST", path, open(account, account), &[]).await;
        assert_eq!(said, "applied");
    }
    let again = stage.same("POST", path, open("again", &one), &[]).await;
    assert_eq!(again, "balance-exists");
    stage.api.transfer("fund", "@world", &one, "20").await;
    let path = format!("/v1/balances/{}", balance_id(&one));
    let limit = |reference: &str, ceiling: &str| {
        let mut limit = json!({"asset": "USD", "ceiling": ceiling});
        limit["reference"] = json!(reference);
        limit
    };
    let low = stage
        .same("PATCH", &path, limit("low", "19"), &[&one])
        .await;
    assert_eq!(low, "limit-not-met");
    let high = stage
        .same("PATCH", &path, limit("high", "21"), &[&one])
        .await;
    assert_eq!(high, "applied");

    let path = "/v1/ledgers/main/closed-period";
    let (january, march) = ("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z");
    let close = |reference: &str, before: &str| json!({"reference": reference, "before": before});
    let future = close("c1", "2999-01-01T00:00:00Z");
    let said = stage.same("PUT", path, future, &[&one]).await;
    assert_eq!(said, "effective-in-future");
    let said = stage.same("PUT", path, close("c2", march), &[&one]).await;
    assert_eq!(said, "applied");
    let said = stage.same("PUT", path, close("c3", january), &[&one]).await;
    assert_eq!(said, "period-closed");
    let mut dated = transfer("dated", &one, &two, "1");
    dated["effective_at"] = json!(january);
    let said = stage
        .same("POST", "/v1/transactions", dated, &[&one, &two])
        .await;
    assert_eq!(said, "period-closed");
    stage.api.ended().await;
    stage.world.audit();
}

/// A version is compared, insisted on and refused with the status that it would be.
#[tokio::test]
async fn a_version_is_tried_as_it_is_asked() {
    let stage = Stage::new(2).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    stage.api.open(&near).await;
    stage.api.open(&far).await;
    stage.api.transfer("fund", "@world", &near, "10").await;
    stage.has(&near, "10.00", "0.00", "0.00").await;
    let tried = async |if_match: &str, body: &Value| {
        let request = stage
            .api
            .request(Method::POST, "/v1/transactions?dry_run=true");
        let request = request.header("If-Match", if_match).json(body);
        stage.api.send(request).await.json()["results"][0].clone()
    };
    let pay = transfer("pay", &near, &far, "1");
    let stale = tried("\"1\"", &pay).await;
    assert_eq!(stale["status"], 412, "{stale}");
    let held = tried("\"2\"", &pay).await;
    assert_eq!(held["status"], 201, "{held}");
    let mut insisting = pay.clone();
    insisting["expect_retries"] = json!(1);
    insisting["expect"] = json!({balance_id(&far).to_string(): 7});
    let again = tried("\"2\"", &insisting).await;
    // The other side's version turned it back, which counted on this side.
    assert_eq!(again["status"], 412, "{again}");
    insisting["expect_retries"] = json!(2);
    let again = tried("\"2\"", &insisting).await;
    assert_eq!(again["transaction"]["reference"], "pay#2", "{again}");
    let request = stage.api.request(Method::POST, "/v1/transactions");
    let request = request.header("If-Match", "\"2\"").json(&insisting);
    let done = stage.api.send(request).await;
    assert_eq!(
        (done.status, &done.json()["reference"]),
        (201, &json!("pay#2"))
    );
    stage.api.ended().await;
    stage.world.audit();
}

/// Items of a batch come one after the other, and then just so for good.
#[tokio::test]
async fn a_batch_is_tried_in_its_order() {
    let stage = Stage::new(1).await;
    stage.api.open("alice").await;
    stage.api.open("bob").await;
    stage.api.transfer("fund", "@world", "alice", "10").await;
    let made = stage.hold("h", &[("alice", "bob", "6")], json!({})).await;
    let target = json!({"hold": made["transaction_id"], "balance": balance_id("alice")});
    let with = |amount: &str| {
        let mut part = target.clone();
        (part["amount"], part["asset"]) = (json!(amount), json!("USD"));
        part
    };
    let mut unknown = target.clone();
    unknown["hold"] = json!("00000000-0000-8000-8000-000000000000");
    let back = |amount: &str| json!({"reference": "fund", "amount": amount});
    let items = json!([
        {"reference": "1", "type": "post", "post": with("4")},
        {"reference": "2", "type": "post", "post": with("4")},
        {"reference": "3", "type": "void", "void": target},
        {"reference": "4", "type": "post", "post": with("1")},
        {"reference": "5", "type": "reverse", "reverse": back("6.01")},
        {"reference": "6", "type": "reverse", "reverse": back("6")},
        {"reference": "7", "type": "reverse", "reverse": back("5")},
        {"reference": "8", "type": "reverse", "reverse": {"reference": "nobody"}},
        {"reference": "9", "type": "void", "void": unknown},
        transfer("10", "bob", "alice", "4"),
    ]);
    stage.rests().await;
    let stood = stage.stands(&["alice", "bob"]).await;
    let path = "/v1/transactions/batch";
    let tried = stage
        .api
        .post(&format!("{path}?dry_run=true"), &items)
        .await;
    let view = tried.json();
    assert_eq!(stage.stands(&["alice", "bob"]).await, stood);
    let done = stage.api.post(path, &items).await.json();
    let expected = [
        "posted",
        "post-exceeds-hold",
        "voided",
        "hold-voided",
        "insufficient-funds",
        "applied",
        "reverse-exceeds-original",
        "transaction-not-found",
        "hold-not-found",
        "applied",
    ];
    for (at, expected) in expected.into_iter().enumerate() {
        assert_eq!(result(&view, at), expected, "{at}: {view}");
        assert_eq!(result(&done, at), expected, "{at}: {done}");
        let status = |view: &Value| view["results"][at]["status"].clone();
        assert_eq!(status(&view), status(&done), "{at}");
    }
    stage.balances_are(&view).await;
    stage.api.ended().await;
    stage.world.audit();
}
