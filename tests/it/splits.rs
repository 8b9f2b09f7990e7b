//! Splits and exchanges, on both roads.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{World, account_in, balance_id, transfer, until};

/// A purchase of 10.00 that `shop` gets less its fees.
fn purchase(reference: &str, buyer: &str, fees: &str, shop: &str) -> Value {
    json!({"reference": reference, "type": "transfer", "ledger": "main", "postings": [{
    "source": buyer, "amount": "10.00", "asset": "USD", "destination": [
        {"balance": fees, "percent": "2.9"}, {"balance": fees, "amount": "0.30"},
        {"balance": shop, "remaining": true},
    ]}]})
}

#[tokio::test]
async fn a_purchase_is_split_over_partitions() {
    let world = World::new(2);
    let node = world.start("all").await;
    let (buyer, fees) = (account_in("buyer", 0, 2), account_in("fees", 1, 2));
    let shop = account_in("shop", 0, 2);
    for account in [&buyer, &fees, &shop] {
        node.open(account).await;
    }
    node.applied(&transfer("fund", "@world", &buyer, "40"))
        .await;

    let bought = purchase("buy-1", &buyer, &fees, &shop);
    node.applied(&bought).await;
    let mut over = purchase("buy-2", &buyer, &fees, &shop);
    over["postings"][0]["destination"][1]["amount"] = json!("9.72");
    let items = json!([purchase("buy-3", &buyer, &fees, &shop), over]);
    let (status, answer) = node.post("/v1/transactions/batch", &items).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["results"][0]["status"], 201, "{answer}");
    let problem = &answer["results"][1]["problem"];
    assert_eq!(problem["type"], "/problems/invalid-split", "{answer}");
    assert_eq!(problem["field"], "postings[0].destination");

    // The same purchase from Kafka is the same transaction, and another one is applied.
    let id = |account: &str| balance_id(account).to_string();
    let (buyer_id, fees_id, shop_id) = (id(&buyer), id(&fees), id(&shop));
    for (reference, replay) in [("buy-1", true), ("buy-4", false)] {
        let command = purchase(reference, &buyer_id, &fees_id, &shop_id);
        let at = world.command_record(balance_id(&buyer), &command).await;
        let outcome = world.outcome(at).await;
        assert_eq!(outcome["replay_of"].is_u64(), replay, "{outcome}");
    }
    for (account, posted) in [(&buyer, "10.00"), (&fees, "1.77"), (&shop, "28.23")] {
        let path = format!("/v1/balances/{}", balance_id(account));
        until(&format!("{account} to have {posted}"), async || {
            let (_, balance) = node.get(&path).await;
            (balance["posted"] == posted && balance["incoming"] == "0.00").then_some(())
        })
        .await;
    }
    world.audit();
}

#[tokio::test]
async fn an_exchange_is_whole() {
    let world = World::new(4);
    let node = world.start("all").await;
    for account in ["alice", "desk"] {
        for asset in ["USD", "EUR"] {
            let open = json!({"account": account, "asset": asset});
            let (status, answer) = node.post("/v1/balances", &open).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
        }
    }
    let posting = |source: &str, destination: &str, amount: &str, asset: &str| {
        let (from, to) = (source, destination);
        json!({"source": from, "destination": to, "amount": amount, "asset": asset})
    };
    let exchange = |reference: &str, euros: &str| {
        json!({"reference": reference, "postings": [posting("alice", "desk", "110", "USD"),
            posting("desk", "alice", euros, "EUR")]})
    };
    let fund = json!({"reference": "fund", "postings": [posting("@world", "alice", "220", "USD"),
        posting("@world", "desk", "100", "EUR")]});
    node.applied(&fund).await;
    node.applied(&exchange("one", "99.99")).await;
    let (status, answer) = node
        .post("/v1/transactions", &exchange("two", "0.02"))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["type"], "/problems/insufficient-funds");

    // Euros are no dollars, whoever names the balance how.
    let asset = steelyard::ledger::Asset::parse("EUR").unwrap();
    let desk = steelyard::ledger::BalanceId::of("default/main", "desk", &asset, "default");
    let wrong = json!({"reference": "wrong", "postings": [
        posting("alice", &desk.to_string(), "1", "USD")]});
    let (status, answer) = node.post("/v1/transactions", &wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["type"], "/problems/asset-mismatch");
    until("alice to have her dollars back", async || {
        let (_, balance) = node
            .get(&format!("/v1/balances/{}", balance_id("alice")))
            .await;
        (balance["posted"] == "110.00").then_some(())
    })
    .await;
    world.audit();
}
