//! Bad input, by name: each is refused, and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use crate::support::{World, account_in, balance_id, transfer};

/// A transfer with one value replaced by raw JSON.
fn with(field: &str, raw: &str) -> String {
    let mut posting = String::new();
    for (name, usual) in [
        ("source", "\"alice\""),
        ("destination", "\"bob\""),
        ("amount", "\"1\""),
        ("asset", "\"USD\""),
    ] {
        let value = if name == field { raw } else { usual };
        posting.push_str(&format!(",\"{name}\":{value}"));
    }
    format!(
        "{{\"reference\":\"bad\",\"postings\":[{{{}}}]}}",
        &posting[1..]
    )
}

/// A transfer with one more member.
fn and(member: &str) -> String {
    let usual = with("", "");
    format!("{},{member}}}", &usual[..usual.len() - 1])
}

fn table() -> Vec<(&'static str, String, u16, &'static str)> {
    let long = "9".repeat(40);
    let nines = format!("\"{long}\"");
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let malformed = "malformed-request";
    vec![
        ("nothing", String::new(), 400, malformed),
        ("no JSON", "{\"reference\":".to_owned(), 400, malformed),
        ("another type", "[]".to_owned(), 400, malformed),
        (
            "fields by position",
            "[\"bad\",\"transfer\"]".to_owned(),
            400,
            malformed,
        ),
        (
            "postings by position",
            "{\"reference\":\"bad\",\"postings\":[[\"alice\",\"bob\",\"1\",\"USD\"]]}".to_owned(),
            400,
            malformed,
        ),
        (
            "trailing bytes",
            format!("{} x", with("", "")),
            400,
            malformed,
        ),
        (
            "depth",
            and(&format!("\"metadata\":{deep}")),
            400,
            malformed,
        ),
        (
            "duplicate key",
            and("\"reference\":\"bad\""),
            400,
            malformed,
        ),
        (
            "duplicate metadata",
            and("\"metadata\":{\"a\":\"1\",\"a\":\"2\"}"),
            400,
            malformed,
        ),
        ("unknown field", and("\"version\":7"), 400, malformed),
        ("unknown type", and("\"type\":\"gift\""), 400, malformed),
        ("a float", with("amount", "1.5"), 400, "invalid-amount"),
        ("an integer", with("amount", "1"), 400, "invalid-amount"),
        ("infinity", with("amount", "1e400"), 400, "invalid-amount"),
        (
            "an exponent",
            with("amount", "\"1e2\""),
            400,
            "invalid-amount",
        ),
        (
            "not a number",
            with("amount", "\"NaN\""),
            400,
            "invalid-amount",
        ),
        (
            "forty digits",
            with("amount", &nines),
            400,
            "invalid-amount",
        ),
        (
            "forty digits bare",
            with("amount", &long),
            400,
            "invalid-amount",
        ),
        (
            "too fine",
            with("amount", "\"1.001\""),
            400,
            "invalid-amount",
        ),
        ("zero", with("amount", "\"0.00\""), 400, "invalid-amount"),
        ("negative", with("amount", "\"-1\""), 400, "invalid-amount"),
        (
            "unknown asset",
            with("asset", "\"GOLD\""),
            400,
            "invalid-asset",
        ),
        (
            "asset in small letters",
            with("asset", "\"usd\""),
            400,
            "invalid-asset",
        ),
        ("a balance by number", with("source", "7"), 400, malformed),
        (
            "a bad account",
            with("source", "\"a b\""),
            400,
            "invalid-balance",
        ),
        (
            "a system account",
            with("source", "\"@transit\""),
            400,
            "reserved-account",
        ),
        (
            "an unknown part",
            with("source", "{\"account\":\"alice\",\"x\":1}"),
            400,
            malformed,
        ),
        (
            "no account",
            with("source", "{\"key\":\"x\"}"),
            400,
            malformed,
        ),
        (
            "to itself",
            with("destination", "\"alice\""),
            400,
            "same-balance",
        ),
        (
            "no posting",
            "{\"reference\":\"bad\",\"postings\":[]}".to_owned(),
            400,
            "invalid-postings",
        ),
        (
            "nothing to do",
            "{\"reference\":\"bad\"}".to_owned(),
            400,
            malformed,
        ),
        (
            "bad ledger",
            and("\"ledger\":\"A/B/C\""),
            400,
            "invalid-ledger",
        ),
        (
            "expecting a stranger",
            and("\"expect\":{\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\":1}"),
            400,
            "invalid-expect",
        ),
        (
            "too many retries",
            and("\"expect_retries\":6"),
            400,
            "invalid-expect",
        ),
        (
            "long description",
            and(&format!("\"description\":\"{}\"", "x".repeat(257))),
            400,
            "invalid-note",
        ),
        (
            "no time",
            and("\"effective_at\":\"yesterday\""),
            400,
            malformed,
        ),
        (
            "unknown balance",
            with("destination", "\"nobody\""),
            422,
            "balance-not-found",
        ),
        (
            "wrong asset",
            with("destination", "\"EUROS\""),
            422,
            "asset-mismatch",
        ),
    ]
}

#[tokio::test]
async fn every_bad_body_is_refused_by_name() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &["--wait-default", "10s"]).await;
    for account in ["alice", "bob"] {
        api.open(account).await;
    }
    let euros = api
        .post("/v1/balances", &json!({"account": "euros", "asset": "EUR"}))
        .await
        .json();
    let euros = euros["balance"].as_str().unwrap().to_owned();
    let fund = api.transfer("fund", "@world", "alice", "10").await;
    assert_eq!(fund.status, 201, "{fund:?}");
    let before = versions(&api).await;
    for (at, (name, body, status, slug)) in table().into_iter().enumerate() {
        let body = body
            .replace("\"bad\"", &format!("\"bad-{at}\""))
            .replace("EUROS", &euros);
        let answer = api.raw("/v1/transactions", body.clone()).await;
        assert_eq!(
            (answer.status, answer.slug().as_str()),
            (status, slug),
            "{name}: {body}"
        );
        let batch = api.raw("/v1/transactions/batch", format!("[{body}]")).await;
        if batch.status == 200 {
            let result = &batch.json()["results"][0];
            assert_eq!(result["status"], status, "{name} in a batch: {batch:?}");
            assert_eq!(
                result["problem"]["type"],
                format!("/problems/{slug}"),
                "{name}"
            );
        } else {
            assert_eq!(batch.slug(), "malformed-request", "{name} in a batch");
        }
    }
    assert_eq!(versions(&api).await, before, "nothing changed");
    named(&api).await;
    requests(&api).await;
    api.ended().await;
}

async fn versions(api: &Api) -> Vec<Value> {
    let mut versions = Vec::new();
    for account in ["alice", "bob"] {
        let read = api
            .get(&format!("/v1/balances/{}", balance_id(account)))
            .await;
        assert_eq!(read.json()["source"], "hot");
        versions.push(read.json()["version"].clone());
    }
    versions
}

/// References.
async fn named(api: &Api) {
    let good = |reference: &str| transfer(reference, "alice", "bob", "1");
    let cases = [
        ("", "reference-missing"),
        ("a b", "invalid-reference"),
        ("a#1", "invalid-reference"),
        ("é", "invalid-reference"),
        (&"x".repeat(129), "invalid-reference"),
    ];
    for (reference, slug) in cases {
        let answer = api.post("/v1/transactions", &good(reference)).await;
        assert_eq!(
            (answer.status, answer.slug().as_str()),
            (400, slug),
            "{reference}"
        );
    }
    let mut nameless = good("x");
    nameless.as_object_mut().unwrap().remove("reference");
    assert_eq!(
        api.post("/v1/transactions", &nameless).await.slug(),
        "reference-missing"
    );
    let two = [("Idempotency-Key", "one")];
    let answer = api.post_with("/v1/transactions", &two, &good("two")).await;
    assert_eq!(
        (answer.status, answer.slug().as_str()),
        (400, "invalid-reference")
    );
    for (name, value) in [
        ("If-Match", "7"),
        ("If-Match", "W/\"7\""),
        ("Prefer", "wait=soon"),
    ] {
        let answer = api
            .post_with("/v1/transactions", &[(name, value)], &good("three"))
            .await;
        assert_eq!(
            (answer.status, answer.slug().as_str()),
            (400, "malformed-request"),
            "{value}"
        );
        assert_eq!(answer.json()["field"], name);
    }
}

/// What is wrong with the request and not with the transaction.
async fn requests(api: &Api) {
    let good = transfer("good", "alice", "bob", "1").to_string();
    let plain = api
        .request(Method::POST, "/v1/transactions")
        .body(good.clone());
    assert_eq!(api.send(plain).await.slug(), "unsupported-media-type");
    let invalid = [b"{\"reference\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat();
    assert_eq!(
        api.raw("/v1/transactions", invalid).await.slug(),
        "malformed-request"
    );
    let padded = format!("{good}{}", " ".repeat(1024 * 1024));
    let answer = api.raw("/v1/transactions", padded).await;
    assert_eq!(
        (answer.status, answer.slug().as_str()),
        (413, "payload-too-large")
    );
    let metadata: serde_json::Map<String, Value> = (0..32)
        .map(|n| (format!("k{n}"), json!("x".repeat(512))))
        .collect();
    let mut many: Vec<Value> = Vec::new();
    for n in 0..100 {
        let account = account_in(&format!("recipient-of-a-long-name-{n}-"), 0, 1);
        many.push(
            json!({"source": "alice", "destination": account, "amount": "1", "asset": "USD"}),
        );
    }
    let large = json!({"reference": "large", "postings": many, "metadata": metadata});
    let answer = api.post("/v1/transactions", &large).await;
    assert_eq!(
        (answer.status, answer.slug().as_str()),
        (422, "insufficient-funds"),
        "it fits"
    );

    let items = vec![json!(1); 10_001];
    let answer = api.post("/v1/transactions/batch", &json!(items)).await;
    assert_eq!(
        (answer.status, answer.slug().as_str()),
        (413, "batch-too-large")
    );
    assert!(answer.json()["detail"].as_str().unwrap().contains("10001"));
    for wrong in ["[]", "{}", "", "[1"] {
        let answer = api.raw("/v1/transactions/batch", wrong).await;
        assert_eq!(
            (answer.status, answer.slug().as_str()),
            (400, "malformed-request"),
            "{wrong}"
        );
    }

    assert_eq!(api.get("/v1/nothing").await.slug(), "route-not-found");
    let deleted = api.send(api.request(Method::DELETE, "/v1/balances")).await;
    assert_eq!(
        (deleted.status, deleted.slug().as_str()),
        (405, "method-not-allowed")
    );
    assert!(deleted.header("allow").contains("POST"), "{deleted:?}");
    let id = balance_id("alice");
    for path in [
        "/v1/balances/alice".to_owned(),
        format!("/v1/balances/{id}?at=now"),
        format!("/v1/balances/{id}?when=1"),
        format!("/v1/balances/{id}/entries?limit=0"),
        format!("/v1/balances/{id}/entries?limit=1001"),
        format!("/v1/balances/{id}/entries?cursor=zz"),
        format!("/v1/balances/{id}/entries?order=up"),
        "/v1/balances".to_owned(),
        "/v1/balances?account=a%20b".to_owned(),
        "/v1/transactions/x?ledger=A".to_owned(),
    ] {
        assert_eq!(api.get(&path).await.status, 400, "{path}");
    }
    let named = api
        .request(Method::GET, "/v1/balances")
        .header("X-Request-Id", "mine-1");
    assert_eq!(api.send(named).await.json()["instance"], "mine-1");
    let description = api.get("/openapi.json").await;
    assert_eq!(description.json()["openapi"], "3.1.0");
}
