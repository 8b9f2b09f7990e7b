//! Bad input, by name: each is refused, and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use crate::support::{World, account_in, balance_id, transfer};

/// Whole bodies. `BAD` is a reference of the row's own.
const BODIES: [(&str, &str, u16, &str); 11] = [
    ("nothing", "", 400, "malformed-request"),
    ("no JSON", r#"{"reference":"#, 400, "malformed-request"),
    ("another type", "[]", 400, "malformed-request"),
    (
        "by position",
        r#"["BAD","transfer"]"#,
        400,
        "malformed-request",
    ),
    (
        "postings by position",
        r#"{"reference":"BAD","postings":[["alice","bob","1","USD"]]}"#,
        400,
        "malformed-request",
    ),
    ("a text", r#""BAD""#, 400, "malformed-request"),
    ("trailing bytes", "GOOD x", 400, "malformed-request"),
    ("two of them", "GOOD GOOD", 400, "malformed-request"),
    (
        "no posting",
        r#"{"reference":"BAD","postings":[]}"#,
        400,
        "invalid-postings",
    ),
    (
        "of no name",
        r#"{"reference":"BAD","type":"reverse","reverse":{"reference":"a b"}}"#,
        400,
        "invalid-reference",
    ),
    (
        "nothing to do",
        r#"{"reference":"BAD"}"#,
        400,
        "malformed-request",
    ),
];

/// A member added to a good transfer.
const MEMBERS: [(&str, &str, u16, &str); 12] = [
    ("depth", r#""metadata":DEEP"#, 400, "malformed-request"),
    (
        "duplicate key",
        r#""reference":"BAD""#,
        400,
        "malformed-request",
    ),
    (
        "duplicate metadata",
        r#""metadata":{"a":"1","a":"2"}"#,
        400,
        "malformed-request",
    ),
    ("unknown field", r#""version":7"#, 400, "malformed-request"),
    ("unknown type", r#""type":"gift""#, 400, "malformed-request"),
    (
        "two intents",
        r#""open":{"account":"x","asset":"USD"}"#,
        400,
        "malformed-request",
    ),
    ("bad ledger", r#""ledger":"A/B/C""#, 400, "invalid-ledger"),
    (
        "expecting a stranger",
        r#""expect":{"6ba7b810-9dad-11d1-80b4-00c04fd430c8":1}"#,
        400,
        "invalid-expect",
    ),
    (
        "too many retries",
        r#""expect_retries":6"#,
        400,
        "invalid-expect",
    ),
    (
        "long description",
        r#""description":"LONG""#,
        400,
        "invalid-note",
    ),
    (
        "no time",
        r#""effective_at":"yesterday""#,
        400,
        "malformed-request",
    ),
    (
        "metadata of numbers",
        r#""metadata":{"a":1}"#,
        400,
        "malformed-request",
    ),
];

/// A value of a good transfer's posting replaced.
const VALUES: [(&str, &str, &str, u16, &str); 24] = [
    ("a float", "amount", "1.5", 400, "invalid-amount"),
    ("an integer", "amount", "1", 400, "invalid-amount"),
    ("infinity", "amount", "1e400", 400, "invalid-amount"),
    ("an exponent", "amount", r#""1e2""#, 400, "invalid-amount"),
    ("not a number", "amount", r#""NaN""#, 400, "invalid-amount"),
    (
        "forty digits",
        "amount",
        r#""NINES""#,
        400,
        "invalid-amount",
    ),
    (
        "forty digits bare",
        "amount",
        "NINES",
        400,
        "invalid-amount",
    ),
    ("too fine", "amount", r#""1.001""#, 400, "invalid-amount"),
    ("zero", "amount", r#""0.00""#, 400, "invalid-amount"),
    ("negative", "amount", r#""-1""#, 400, "invalid-amount"),
    ("unknown asset", "asset", r#""GOLD""#, 400, "invalid-asset"),
    (
        "asset in small letters",
        "asset",
        r#""usd""#,
        400,
        "invalid-asset",
    ),
    (
        "a balance by number",
        "source",
        "7",
        400,
        "malformed-request",
    ),
    (
        "a bad account",
        "source",
        r#""a b""#,
        400,
        "invalid-balance",
    ),
    (
        "a system account",
        "source",
        r#"{"account":"@world","key":"1"}"#,
        400,
        "reserved-account",
    ),
    (
        "an unknown part",
        "source",
        r#"{"account":"alice","x":1}"#,
        400,
        "malformed-request",
    ),
    (
        "no account",
        "source",
        r#"{"key":"x"}"#,
        400,
        "malformed-request",
    ),
    (
        "to itself",
        "destination",
        r#""alice""#,
        400,
        "same-balance",
    ),
    (
        "unknown balance",
        "destination",
        r#""nobody""#,
        422,
        "balance-not-found",
    ),
    (
        "wrong asset",
        "destination",
        r#""EUROS""#,
        422,
        "asset-mismatch",
    ),
    (
        "to a closed balance",
        "destination",
        r#""closed""#,
        422,
        "balance-closed",
    ),
    (
        "from a closed balance",
        "source",
        r#""closed""#,
        422,
        "balance-closed",
    ),
    (
        "to a frozen balance",
        "destination",
        r#""frozen""#,
        422,
        "balance-frozen",
    ),
    (
        "from a frozen balance",
        "source",
        r#""frozen""#,
        422,
        "balance-frozen",
    ),
];

const ACCOUNTS: [&str; 4] = ["alice", "bob", "closed", "frozen"];

struct Case {
    name: &'static str,
    body: String,
    status: u16,
    slug: &'static str,
}

/// A transfer with one value replaced by raw JSON.
fn with(field: &str, raw: &str) -> String {
    let usual = [
        ("source", r#""alice""#),
        ("destination", r#""bob""#),
        ("amount", r#""1""#),
        ("asset", r#""USD""#),
    ];
    let members = usual.map(|(name, usual)| {
        let value = if name == field { raw } else { usual };
        format!("\"{name}\":{value}")
    });
    format!(
        r#"{{"reference":"BAD","postings":[{{{}}}]}}"#,
        members.join(",")
    )
}

fn cases(euros: &str) -> Vec<Case> {
    let good = with("", "");
    let open = good.strip_suffix('}').expect("an object");
    let whole = BODIES.map(|(name, body, status, slug)| (name, body.to_owned(), status, slug));
    let more = MEMBERS
        .map(|(name, member, status, slug)| (name, format!("{open},{member}}}"), status, slug));
    let changed =
        VALUES.map(|(name, field, raw, status, slug)| (name, with(field, raw), status, slug));
    let all = whole.into_iter().chain(more).chain(changed).enumerate();
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let fill = |(at, (name, body, status, slug)): (usize, (_, String, _, _))| {
        let body = body
            .replace("GOOD", &good)
            .replace("BAD", &format!("bad-{at}"))
            .replace("NINES", &"9".repeat(40))
            .replace("LONG", &"x".repeat(257))
            .replace("DEEP", &deep)
            .replace("EUROS", euros);
        Case {
            name,
            body,
            status,
            slug,
        }
    };
    all.map(fill).collect()
}

#[tokio::test]
async fn every_bad_body_is_refused_by_name() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let api = Api::start(&world, &["--wait-default", "10s"]).await;
    for account in ACCOUNTS {
        api.open(account).await;
    }
    for status in ["closed", "frozen"] {
        let path = format!("/v1/balances/{}", balance_id(status));
        let body = json!({"reference": status, "asset": "USD", "status": status});
        let changed = api
            .send(api.request(Method::PATCH, &path).json(&body))
            .await;
        assert_eq!(changed.status, 200, "{changed:?}");
    }
    let euros = api
        .post("/v1/balances", &json!({"account": "euros", "asset": "EUR"}))
        .await
        .json();
    let euros = euros["balance"].as_str().unwrap().to_owned();
    let fund = api.transfer("fund", "@world", "alice", "10").await;
    assert_eq!(fund.status, 201, "{fund:?}");
    let before = world.hot_bytes(&ACCOUNTS).await;
    assert!(before.iter().all(Option::is_some), "{before:?}");
    for Case {
        name,
        body,
        status,
        slug,
    } in cases(&euros)
    {
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
    named(&api).await;
    requests(&api).await;
    routes(&api).await;
    let after = world.hot_bytes(&ACCOUNTS).await;
    assert_eq!(after, before, "nothing changed");
    api.ended().await;
    world.audit();
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
    let other = api.transfer("fund", "@world", "alice", "11").await;
    assert_eq!(
        (other.status, other.slug().as_str()),
        (422, "reference-reused")
    );
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
    let metadata: serde_json::Map<String, Value> = (0..14)
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
}

/// Routes and parameters.
async fn routes(api: &Api) {
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
        "/v1/transactions/%00".to_owned(),
        "/v1/balances/%FF".to_owned(),
    ] {
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 400, "{path}");
        let kind = answer.header("content-type");
        assert_eq!(kind, "application/problem+json", "{path}");
    }
    let named = api
        .request(Method::GET, "/v1/balances")
        .header("X-Request-Id", "mine-1");
    assert_eq!(api.send(named).await.json()["instance"], "mine-1");
    let description = api.get("/openapi.json").await;
    assert_eq!(description.json()["openapi"], "3.1.0");
}
