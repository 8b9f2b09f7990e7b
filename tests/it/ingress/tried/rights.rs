//! Who may try what.

use reqwest::Method;
use serde_json::{Value, json};

use super::result;
use crate::ingress::api::Api;
use crate::ingress::keys::{ask, keys_file};
use crate::support::World;

/// A hold `h` of another ledger than `other-key` may see.
async fn hold_of_acme(api: &Api) -> Value {
    let post = async |key: &str, path: &str, body: &Value| {
        ask(api, key, Method::POST, path, Some(body)).await
    };
    for account in ["alice", "bob"] {
        let open = json!({"ledger": "acme/main", "account": account, "asset": "USD"});
        assert_eq!(post("acme-key", "/v1/balances", &open).await.status, 201);
    }
    let fund = json!({"source": "@world", "destination": "alice", "amount": "9", "asset": "USD"});
    let fund = json!({"reference": "fund", "ledger": "acme/main", "postings": [fund]});
    let funded = post("acme-key", "/v1/transactions", &fund).await;
    assert_eq!(funded.status, 201, "{funded:?}");
    let posting = json!({"source": "alice", "destination": "bob", "amount": "5", "asset": "USD"});
    let hold = json!({"reference": "h", "ledger": "acme/main", "postings": [posting], "hold": {}});
    let made = post("acme-key", "/v1/transactions", &hold).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["transaction_id"].clone();
    let balance = made.json()["entries"][0]["balance"].clone();
    json!({"hold": id, "balance": balance})
}

/// Key, method, path, whose ledger or what else the body says, and what is answered.
const RIGHTS: &str = "
none      POST transactions/h/post             acme/main  401 unauthenticated
eye-key   POST transactions/h/post             acme/main  403 forbidden
eye-key   POST transactions/h/void             acme/main  403 forbidden
eye-key   POST transactions/h/reverse          acme/main  403 forbidden
other-key POST transactions/h/post             acme/main  403 forbidden
other-key POST transactions/h/post             other/main 404 transaction-not-found
other-key POST transactions/h/reverse          other/main 404 transaction-not-found
acme-key  POST transactions/h/reverse          force      403 forbidden
other-key PUT  ledgers/acme%2Fmain/closed-period before   403 forbidden
";

#[tokio::test]
async fn trying_needs_the_same_rights() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let file = keys_file(&world.name);
    let api = Api::start(&world, &["--api-keys-file", file.to_str().unwrap()]).await;
    let target = hold_of_acme(&api).await;
    let post = async |key: &str, path: &str, body: &Value| {
        ask(&api, key, Method::POST, path, Some(body)).await
    };
    let force = json!({"ledger": "acme/main", "force": true});
    for line in RIGHTS.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [key, method, path, of, status, slug] = words[..] else {
            panic!("{line}");
        };
        let body = match of {
            "force" => force.clone(),
            "before" => json!({"before": "2026-01-01T00:00:00Z"}),
            ledger => json!({"ledger": ledger}),
        };
        let path = format!("/v1/{path}?dry_run=true");
        let key = key.trim_start_matches("none");
        let answer = ask(&api, key, method.parse().unwrap(), &path, Some(&body)).await;
        assert_eq!(
            (&*answer.status.to_string(), &*answer.slug()),
            (status, slug),
            "{line}"
        );
    }
    // A hold of others is as unknown as one that there never was, and shows no balance.
    let theirs = json!({"ledger": "other/main", "type": "void", "void": target});
    let path = "/v1/transactions?dry_run=true";
    let view = post("other-key", path, &theirs).await.json();
    assert_eq!(result(&view, 0), "hold-not-found", "{view}");
    assert_eq!(view["balances"], json!([]), "{view}");
    let path = "/v1/transactions/h/reverse?dry_run=true";
    let view = post("chief-key", path, &force).await.json();
    assert_eq!(result(&view, 0), "nothing-to-reverse", "{view}");
    api.ended().await;
    world.audit();
}
