//! Holds on the whole road: over HTTP, from Kafka, over two partitions, by time and after a crash.

use serde_json::{Value, json};

use super::api::Api;
use crate::support::{World, account_in, balance_id, transfer, until};

async fn hold(api: &Api, reference: &str, postings: &[(&str, &str, &str)], terms: Value) -> Value {
    let postings: Vec<Value> = postings
        .iter()
        .map(|(source, destination, amount)| {
            json!({"source": source, "destination": destination, "amount": amount, "asset": "USD"})
        })
        .collect();
    let body = json!({"reference": reference, "postings": postings, "hold": terms});
    let answer = api.post("/v1/transactions", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let view = answer.json();
    assert_eq!(view["status"], "held", "{view}");
    view
}

/// Posts or voids; status, and status or slug.
async fn on(api: &Api, hold: &str, what: &str, body: Value) -> (u16, String) {
    let path = format!("/v1/transactions/{hold}/{what}");
    let answer = api.post(&path, &body).await;
    let view = answer.json();
    match view["status"].as_str() {
        Some(status) if answer.status == 201 => (201, status.to_owned()),
        _ => (answer.status, answer.slug()),
    }
}

/// Posted, held and incoming, once hot shows them.
async fn stands(api: &Api, account: &str, expected: [&str; 3]) {
    let path = format!("/v1/balances/{}", balance_id(account));
    until(&format!("{account} at {expected:?}"), async || {
        let view = api.get(&path).await.json();
        let now = ["posted", "held", "incoming"].map(|name| view[name].clone());
        (now == expected.map(Value::from)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hold_is_posted_in_parts_voided_and_listed() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "100").await;
    let made = hold(
        &api,
        "h1",
        &[("alice", "bob", "60")],
        json!({"expires_in": "1d"}),
    )
    .await;
    assert_eq!(made["hold"]["postings"][0]["rest"], "60.00", "{made}");
    stands(&api, "alice", ["100.00", "60.00", "0.00"]).await;
    stands(&api, "bob", ["0.00", "0.00", "60.00"]).await;

    let posted = (201, "posted".to_owned());
    let part = json!({"reference": "p1", "amount": "25.5"});
    assert_eq!(on(&api, "h1", "post", part.clone()).await, posted);
    assert_eq!(on(&api, "h1", "post", part).await, posted, "a repeat");
    let beyond = on(
        &api,
        "h1",
        "post",
        json!({"reference": "p2", "amount": "34.51"}),
    )
    .await;
    assert_eq!(beyond, (422, "post-exceeds-hold".to_owned()));
    stands(&api, "alice", ["74.50", "34.50", "0.00"]).await;
    let path = format!("/v1/balances/{}/holds", balance_id("alice"));
    let listed = until("holds in cold", async || {
        let view = api.get(&path).await.json();
        (view["balance"]["held"] == "34.50").then_some(view)
    })
    .await;
    assert_eq!(listed["holds"][0]["reference"], "h1", "{listed}");
    assert_eq!(listed["holds"][0]["postings"][0]["rest"], "34.50");
    assert!(listed["holds"][0]["expires_at"].is_string());

    let void = |reference: &str| json!({"reference": reference});
    assert_eq!(
        on(&api, "h1", "void", void("v1")).await,
        (201, "voided".to_owned())
    );
    let again = on(&api, "h1", "void", void("v2")).await;
    assert_eq!(again, (422, "hold-voided".to_owned()));
    let late = on(&api, "h1", "post", json!({"reference": "p3"})).await;
    assert_eq!(late, (422, "hold-voided".to_owned()));
    let unknown = on(&api, "h9", "void", void("v3")).await;
    assert_eq!(unknown, (404, "transaction-not-found".to_owned()));
    let no_hold = on(&api, "fund", "post", json!({"reference": "p4"})).await;
    assert_eq!(no_hold, (404, "transaction-not-found".to_owned()));
    stands(&api, "alice", ["74.50", "0.00", "0.00"]).await;
    stands(&api, "bob", ["25.50", "0.00", "0.00"]).await;
    api.ended().await;
    world.audit();
}

/// Every open hold is found, page by page, oldest first.
#[tokio::test]
async fn open_holds_come_in_pages() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "100").await;
    for n in 0..5 {
        hold(&api, &format!("h{n}"), &[("alice", "bob", "1")], json!({})).await;
    }
    let path = format!("/v1/balances/{}/holds?limit=2", balance_id("alice"));
    until("holds in cold", async || {
        let view = api.get(&path).await.json();
        (view["balance"]["held"] == "5.00").then_some(())
    })
    .await;
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = api.get(&format!("{path}{cursor}")).await;
        let page = answer.json();
        let holds = page["holds"].as_array().unwrap().clone();
        found.extend(
            holds
                .iter()
                .map(|it| it["reference"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["has_more"], false, "{page}");
            assert_eq!(answer.header("link"), "");
            break;
        };
        assert_eq!(
            (&page["has_more"], holds.len()),
            (&json!(true), 2),
            "{page}"
        );
        cursor = format!("&cursor={next}");
        let link = format!("<{path}{cursor}>; rel=\"next\"");
        assert_eq!(answer.header("link"), link);
    }
    assert_eq!(found, ["h0", "h1", "h2", "h3", "h4"]);
    let wrong = api.get(&format!("{path}&cursor=00")).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.json()["field"], "cursor", "{}", wrong.json());
    api.ended().await;
    world.audit();
}

/// Nobody is told that a version was compared which was not.
#[tokio::test]
async fn a_version_is_refused_where_none_is_compared() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "10").await;
    let made = hold(&api, "h1", &[("alice", "bob", "6")], json!({})).await;
    let id = &made["transaction_id"];
    let target = json!({"hold": id, "balance": balance_id("alice")});
    let open = json!({"account": "carl", "asset": "USD"});
    let before = "2026-01-01T00:00:00Z";
    let asked = [
        (
            "POST",
            "/v1/transactions/h1/post",
            json!({"reference": "n"}),
        ),
        (
            "POST",
            "/v1/transactions/h1/void",
            json!({"reference": "n"}),
        ),
        (
            "POST",
            "/v1/transactions",
            json!({"reference": "n", "type": "post", "post": target}),
        ),
        (
            "POST",
            "/v1/transactions",
            json!({"reference": "n", "type": "open", "open": open}),
        ),
        ("POST", "/v1/balances", open.clone()),
        (
            "PUT",
            "/v1/ledgers/main/closed-period",
            json!({"before": before}),
        ),
    ];
    for (method, path, body) in asked {
        let request = api.request(method.parse().unwrap(), path);
        let request = request.header("If-Match", "\"3\"").json(&body);
        let answer = api.send(request).await;
        let told = (answer.status, answer.slug());
        assert_eq!(told, (400, "invalid-expect".to_owned()), "{path} {body}");
        assert_eq!(answer.json()["field"], "If-Match", "{path}");
    }
    let expect = json!({balance_id("alice").to_string(): 3});
    for (path, slug) in [
        ("/v1/transactions", "invalid-expect"),
        ("/v1/transactions/h1/void", "malformed-request"),
    ] {
        let mut body = json!({"reference": "n", "expect": expect});
        if path == "/v1/transactions" {
            body["type"] = json!("void");
            body["void"] = json!({"hold": id, "balance": balance_id("alice")});
        }
        let answer = api.post(path, &body).await;
        assert_eq!((answer.status, answer.slug()), (400, slug.to_owned()));
        assert_eq!(answer.json()["field"], "expect", "{answer:?}");
    }
    // The reference is free, and the hold as it was.
    let posted = on(&api, "h1", "post", json!({"reference": "n"})).await;
    assert_eq!(posted, (201, "posted".to_owned()));
    api.ended().await;
    world.audit();
}

/// Who is too early is told to come again, and uses up nothing.
#[tokio::test]
async fn a_hold_that_is_not_decided_yet_is_not_refused() {
    let world = World::new(1);
    let mut processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "100").await;
    processor.kill();
    let posting = json!({"source": "alice", "destination": "bob", "amount": "60", "asset": "USD"});
    let body = json!({"reference": "h1", "postings": [posting], "hold": {}});
    let asked = [("Prefer", "respond-async")];
    let made = api.post_with("/v1/transactions", &asked, &body).await;
    assert_eq!(made.status, 202, "{made:?}");
    let path = "/v1/transactions/h1/post";
    let early = api.post(path, &json!({"reference": "p1"})).await;
    let told = (early.status, early.slug());
    assert_eq!(told, (409, "request-in-flight".to_owned()), "{early:?}");
    assert_eq!(early.json()["retry"], "same-reference");
    let _processor = world.start("processor").await;
    until("the hold to be decided", async || {
        let answer = api.get("/v1/transactions/h1").await.json();
        (answer["status"] == "held").then_some(())
    })
    .await;
    let posted = on(&api, "h1", "post", json!({"reference": "p1"})).await;
    assert_eq!(posted, (201, "posted".to_owned()));
    api.ended().await;
    world.audit();
}

/// Every partition involved is killed and taken over while the hold is open.
#[tokio::test]
async fn a_hold_over_partitions_outlives_its_owners() {
    let world = World::new(2);
    let mut processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    api.open(&near).await;
    api.open(&far).await;
    for account in [&near, &far] {
        api.transfer(&format!("fund-{account}"), "@world", account, "10")
            .await;
    }
    let both = [(&*near, &*far, "6"), (&*far, &*near, "3")];
    let made = hold(&api, "h1", &both, json!({})).await;
    stands(&api, &near, ["10.00", "6.00", "3.00"]).await;
    stands(&api, &far, ["10.00", "3.00", "6.00"]).await;
    processor.kill();
    let _processor = world.start("processor").await;
    let posted = (201, "posted".to_owned());
    let part = json!({"reference": "p1", "amount": "7", "asset": "USD"});
    assert_eq!(on(&api, "h1", "post", part).await, posted);
    stands(&api, &near, ["5.00", "0.00", "2.00"]).await;
    stands(&api, &far, ["15.00", "2.00", "0.00"]).await;
    // Many in one batch, by id.
    let target = json!({"hold": made["transaction_id"], "balance": balance_id(&near)});
    let batch = json!([
        {"reference": "p2", "type": "post", "post": target},
        {"reference": "v1", "type": "void", "void": target},
    ]);
    let answer = api.post("/v1/transactions/batch", &batch).await.json();
    let results: Vec<_> = answer["results"].as_array().unwrap().iter().collect();
    assert_eq!(results[0]["transaction"]["status"], "posted", "{answer}");
    assert_eq!(
        results[1]["problem"]["type"], "/problems/hold-spent",
        "{answer}"
    );
    stands(&api, &near, ["7.00", "0.00", "0.00"]).await;
    stands(&api, &far, ["13.00", "0.00", "0.00"]).await;
    api.ended().await;
    world.audit();
}

/// Nothing arrives in either partition but the owner's own tick.
#[tokio::test]
async fn a_hold_expires_in_an_idle_partition() {
    let world = World::new(2);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    api.open(&near).await;
    api.open(&far).await;
    api.transfer("fund", "@world", &near, "10").await;
    hold(
        &api,
        "h1",
        &[(&near, &far, "6")],
        json!({"expires_in": "2s"}),
    )
    .await;
    stands(&api, &near, ["10.00", "0.00", "0.00"]).await;
    stands(&api, &far, ["0.00", "0.00", "0.00"]).await;
    let late = on(&api, "h1", "post", json!({"reference": "p1"})).await;
    assert_eq!(late, (422, "hold-expired".to_owned()));
    api.ended().await;
    world.audit();
}

/// Each is refused by name, and changes nothing.
#[tokio::test]
async fn what_is_no_hold_is_refused_by_name() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    let posting =
        json!({"source": "@world", "destination": "alice", "amount": "1", "asset": "USD"});
    for span in ["0s", "15", "1.5h", "367d", "-1m", ""] {
        let body = json!({"reference": "h", "postings": [posting], "hold": {"expires_in": span}});
        let answer = api.post("/v1/transactions", &body).await;
        assert_eq!(answer.slug(), "malformed-request", "{span}: {answer:?}");
    }
    let made = hold(&api, "h1", &[("@world", "alice", "5")], json!({})).await;
    let bad = [
        (json!({"reference": "p", "amount": 1}), "invalid-amount"),
        (json!({"reference": "p", "amount": "0"}), "invalid-amount"),
        (
            json!({"reference": "p", "amount": "0.001"}),
            "invalid-amount",
        ),
        (json!({"reference": "p", "asset": "USD"}), "invalid-amount"),
        (json!({"amount": "1"}), "reference-missing"),
        (json!({"reference": "p", "rest": true}), "malformed-request"),
    ];
    for (body, slug) in bad {
        let answer = on(&api, "h1", "post", body.clone()).await;
        assert_eq!(answer.1, slug, "{body}");
    }
    let target = json!({"hold": made["transaction_id"], "balance": balance_id("alice")});
    let tick = json!({"reference": "h1", "type": "expire", "expire": target});
    let answer = api.post("/v1/transactions", &tick).await;
    assert_eq!(answer.slug(), "malformed-request", "{answer:?}");
    stands(&api, "alice", ["0.00", "0.00", "5.00"]).await;
    api.ended().await;
    world.audit();
}

/// The results of a batch, which are those of its items.
async fn batch(api: &Api, items: Vec<Value>) -> Vec<Value> {
    let asked = [("Prefer", "wait=30")];
    let body = Value::Array(items);
    let path = "/v1/transactions/batch";
    let answer = api.post_with(path, &asked, &body).await.json();
    let (items, results) = (body.as_array().unwrap(), answer["results"].as_array());
    let results = results.unwrap().clone();
    assert_eq!(results.len(), items.len());
    for (item, result) in items.iter().zip(&results) {
        assert_eq!(item["reference"], result["reference"], "in their order");
    }
    results
}

/// What became of an item: its status, or its slug.
fn said(result: &Value) -> &str {
    let slug = || result["problem"]["type"].as_str().unwrap();
    let status = result["transaction"]["status"].as_str();
    status.unwrap_or_else(slug)
}

/// Hundreds of holds over two partitions, of which every fifth is spent, posted and voided at once.
#[tokio::test]
async fn a_batch_posts_and_voids_many_holds() {
    const HOLDS: usize = 300;
    let world = World::new(2);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let names = (0..4).map(|n| account_in(&format!("a{n}-"), n % 2, 2));
    let accounts: Vec<String> = names.collect();
    for account in &accounts {
        api.open(account).await;
        let reference = format!("fund-{account}");
        api.transfer(&reference, "@world", account, "100").await;
    }
    let make = |n: usize| {
        let (source, destination) = (&accounts[n % 4], &accounts[(n + 1 + n % 2) % 4]);
        let mut made = transfer(&format!("h{n}"), source, destination, "1");
        made["hold"] = json!({});
        made
    };
    let made = batch(&api, (0..HOLDS).map(make).collect()).await;
    assert!(made.iter().all(|result| said(result) == "held"), "{made:?}");
    let on = |n: usize, reference: String, what: &str, amount: Option<&str>| {
        let id = &made[n]["transaction"]["transaction_id"];
        let mut part = json!({"hold": id, "balance": balance_id(&accounts[n % 4])});
        if let Some(amount) = amount {
            (part["amount"], part["asset"]) = (json!(amount), json!("USD"));
        }
        json!({"reference": reference, "type": what, what: part})
    };
    let fifth = (0..HOLDS).step_by(5);
    let spent = fifth.map(|n| on(n, format!("s{n}"), "post", None));
    let spent = batch(&api, spent.collect()).await;
    assert!(spent.iter().all(|result| said(result) == "posted"));

    for round in 0..3 {
        let item = |n: usize| {
            let reference = format!("{round}-{n}");
            match (n % 2, round) {
                (1, 0) => on(n, reference, "post", Some("0.4")),
                _ => on(n, reference, "void", None),
            }
        };
        let results = batch(&api, (0..HOLDS).map(item).collect()).await;
        for (n, result) in results.iter().enumerate() {
            let expected = match (n % 5, n % 2, round) {
                (0, ..) => "/problems/hold-spent",
                (_, 1, 0) => "posted",
                (_, 0, 0) | (_, 1, 1) => "voided",
                _ => "/problems/hold-voided",
            };
            assert_eq!(said(result), expected, "{n} of round {round}: {result}");
        }
    }
    // From each account 15 holds were spent, and 0.4 of 60 more from each in partition 1.
    for (account, posted) in accounts.iter().zip(["85.00", "115.00", "85.00", "115.00"]) {
        stands(&api, account, [posted, "0.00", "0.00"]).await;
    }
    api.ended().await;
    world.audit();
}
