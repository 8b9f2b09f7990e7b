//! API keys: whose ledgers are whose.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Answer, Api};
use crate::support::World;

pub(super) fn keys_file(name: &str) -> std::path::PathBuf {
    let hash = |key: &str| hex::encode(blake3::hash(key.as_bytes()).as_bytes());
    let keys = json!({"keys": [
        {"name": "acme", "hash": hash("acme-key"), "scopes": ["acme/*"], "permission": "write"},
        {"name": "other", "hash": hash("other-key"), "scopes": ["other/main"], "permission": "write"},
        {"name": "chief", "hash": hash("chief-key"), "scopes": ["acme/*"], "permission": "force"},
        {"name": "eye", "hash": hash("eye-key"), "scopes": ["acme/main"], "permission": "read"},
    ]});
    let path = std::env::temp_dir().join(format!("{name}.json"));
    std::fs::write(&path, keys.to_string()).expect("a key file");
    path
}

pub(super) async fn ask(
    api: &Api,
    key: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let mut request = api.request(method, path);
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    api.send(request).await
}

#[tokio::test]
async fn a_key_sees_its_own_ledgers_only() {
    let world = World::new(1);
    let _node = world.start("processor").await;
    let file = keys_file(&world.name);
    let path = file.to_str().expect("a plain path");
    let api = Api::start(&world, &["--api-keys-file", path]).await;
    let open = json!({"ledger": "acme/main", "account": "alice", "asset": "USD"});

    let nobody = ask(&api, "", Method::POST, "/v1/balances", Some(&open)).await;
    assert_eq!(
        (nobody.status, nobody.slug().as_str()),
        (401, "unauthenticated")
    );
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    let wrong = ask(&api, "acme-kex", Method::POST, "/v1/balances", Some(&open)).await;
    assert_eq!(wrong.slug(), "unauthenticated");
    for key in ["other-key", "eye-key"] {
        let refused = ask(&api, key, Method::POST, "/v1/balances", Some(&open)).await;
        assert_eq!(
            (refused.status, refused.slug().as_str()),
            (403, "forbidden"),
            "{key}"
        );
    }
    let opened = ask(&api, "acme-key", Method::POST, "/v1/balances", Some(&open)).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let (balance, reference) = (&opened.json()["balance"], &opened.json()["reference"]);
    let balance = format!("/v1/balances/{}", balance.as_str().unwrap());
    let reference = reference.as_str().unwrap();
    let transaction = format!("/v1/transactions/{reference}?ledger=acme/main");
    for (path, slug) in [
        (&balance, "balance-not-found"),
        (&transaction, "transaction-not-found"),
    ] {
        for key in ["acme-key", "eye-key"] {
            assert_eq!(
                ask(&api, key, Method::GET, path, None).await.status,
                200,
                "{key} {path}"
            );
        }
        let foreign = ask(&api, "other-key", Method::GET, path, None).await;
        assert_eq!((foreign.status, foreign.slug().as_str()), (404, slug));
    }
    let body = json!({"reference": "mine", "ledger": "other/main", "postings": [
        {"source": "@world", "destination": "alice", "amount": "1", "asset": "USD"}]});
    let batch = ask(
        &api,
        "acme-key",
        Method::POST,
        "/v1/transactions/batch",
        Some(&json!([body])),
    )
    .await;
    assert_eq!(
        batch.json()["results"][0]["problem"]["type"],
        "/problems/forbidden"
    );
    for path in ["/livez", "/readyz", "/openapi.json"] {
        assert_eq!(
            ask(&api, "", Method::GET, path, None).await.status,
            200,
            "{path}"
        );
    }
    std::fs::remove_file(&file).ok();
    api.ended().await;
    world.audit();
}

#[tokio::test]
async fn a_quota_is_the_callers_own() {
    let world = World::new(1);
    let api = Api::start(&world, &["--quota-rate", "1", "--quota-burst", "40"]).await;
    let mut refused = None;
    for _ in 0..60 {
        let answer = api.get("/v1/transactions/none").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a refusal within the burst");
    assert_eq!(refused.slug(), "rate-limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json()["retry"], "same-reference");
    api.ended().await;
}
