//! Striped accounts: in every partition, and read as one.

use serde_json::{Value, json};

use crate::support::node::Node;
use crate::support::{World, account_in, balance_id, until};

const PARTITIONS: u16 = 4;

fn pay(reference: &str, source: &str, destination: &str, amount: &str) -> Value {
    json!({"reference": reference, "type": "transfer", "ledger": "main", "postings": [
        {"source": source, "destination": destination, "amount": amount, "asset": "USD"}]})
}

/// Waits until what a path tells has `posted`.
async fn posted(node: &Node, path: &str, posted: &str) -> Value {
    until(&format!("{path} to have {posted}"), async || {
        let (_, balance) = node.get(path).await;
        (balance["posted"] == posted).then_some(balance)
    })
    .await
}

#[tokio::test]
async fn a_striped_account_needs_no_second_partition_and_is_read_as_one() {
    let world = World::new(PARTITIONS);
    let node = world.start("all").await;
    let shops: Vec<String> = (0..PARTITIONS)
        .map(|partition| account_in("shop", partition, PARTITIONS))
        .collect();
    for shop in &shops {
        node.open(shop).await;
    }
    for (at, shop) in shops.iter().enumerate() {
        // Each is decided where the shop is, in one step: nothing is forwarded.
        for (name, body) in [
            ("fund", pay(&format!("fund-{at}"), "@world", shop, "100")),
            ("fee", pay(&format!("fee-{at}"), shop, "@fees", "2.50")),
        ] {
            let done = node.applied(&body).await;
            assert_eq!(done["partition"], at, "{name}: {done}");
            assert!(done["partial"].is_null(), "{done}");
        }
    }
    // By Kafka, under the key of the other side or of the account as a whole.
    let whole = balance_id("@world").to_string();
    for (reference, key, source) in [
        ("by-name", balance_id(&shops[1]), "@world"),
        ("by-id", balance_id("@world"), whole.as_str()),
    ] {
        let shop = balance_id(&shops[1]).to_string();
        let at = world
            .command_record(key, &pay(reference, source, &shop, "1"))
            .await;
        world.outcome(at).await;
    }
    let fees = posted(&node, "/v1/balances/@fees?asset=USD", "10.00").await;
    assert_eq!(fees["id"], balance_id("@fees").to_string(), "{fees}");
    assert_eq!(
        (&fees["account"], &fees["key"]),
        (&json!("@fees"), &json!("default"))
    );
    assert!(fees["floor"].is_null() && fees["ceiling"].is_null());
    posted(
        &node,
        "/v1/balances/@world?asset=USD/2&ledger=default/main",
        "-402.00",
    )
    .await;
    posted(
        &node,
        "/v1/balances/@fees?asset=USD&at=2099-01-01T00:00:00Z",
        "10.00",
    )
    .await;
    posted(
        &node,
        "/v1/balances/@fees?asset=USD&effective_at=2099-01-01T00:00:00Z",
        "10.00",
    )
    .await;
    it_is_listed_as_one(&node).await;
    bad_names_are_refused(&node, &shops[0]).await;
    world.audit();
}

async fn it_is_listed_as_one(node: &Node) {
    let listed = until("the list", async || {
        let (_, list) = node.get("/v1/balances?account=@fees&limit=1").await;
        (list["data"][0]["posted"] == "10.00").then_some(list)
    })
    .await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["data"][0]["id"], balance_id("@fees").to_string());
    assert_eq!(listed["has_more"], false);
    // The entries of all stripes, page by page: four openings and four credits.
    let mut path = "/v1/balances/@fees/entries?asset=USD&limit=3&order=oldest".to_owned();
    let (mut seen, mut times) = (Vec::new(), Vec::new());
    loop {
        let (status, page) = node.get(&path).await;
        assert_eq!(status, 200, "{page}");
        for entry in page["data"].as_array().unwrap() {
            seen.push(format!("{} {}", entry["balance"], entry["version"]));
            times.push(entry["at"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/v1/balances/@fees/entries?asset=USD&limit=3&order=oldest&cursor={next}");
    }
    assert!(times.is_sorted(), "{times:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8, "{seen:?}");
}

async fn bad_names_are_refused(node: &Node, shop: &str) {
    for (path, status) in [
        ("/v1/balances/@fees", 400),
        ("/v1/balances/@fees?asset=usd", 400),
        ("/v1/balances/@nobody?asset=USD", 404),
        ("/v1/balances/@nobody/entries?asset=USD", 404),
        ("/v1/balances/fees?asset=USD", 400),
    ] {
        assert_eq!(node.get(path).await.0.as_u16(), status, "{path}");
    }
    let id = balance_id(shop);
    let with_asset = format!("/v1/balances/{id}?asset=USD");
    assert_eq!(node.get(&with_asset).await.0.as_u16(), 400);
    let open = json!({"account": "@fees", "asset": "USD"});
    let (_, refused) = node.post("/v1/balances", &open).await;
    assert_eq!(refused["type"], "/problems/reserved-account", "{refused}");
}
