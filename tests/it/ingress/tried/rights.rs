//! Who may try what, and do it: nobody sees or moves what is another tenant's.

use reqwest::Method;
use serde_json::{Value, json};

use super::result;
use crate::ingress::api::{Answer, Api};
use crate::ingress::keys::{ask, keys_file};
use crate::support::{World, until};

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
none      POST  transactions/h/post              acme/main  401 unauthenticated
eye-key   POST  transactions/h/post              acme/main  403 forbidden
eye-key   POST  transactions/h/void              acme/main  403 forbidden
eye-key   POST  transactions/h/reverse           acme/main  403 forbidden
other-key POST  transactions/h/post              acme/main  403 forbidden
other-key POST  transactions/h/void              acme/main  403 forbidden
other-key POST  transactions/h/reverse           acme/main  403 forbidden
other-key POST  transactions/h/post              other/main 404 transaction-not-found
other-key POST  transactions/h/void              other/main 404 transaction-not-found
other-key POST  transactions/h/reverse           other/main 404 transaction-not-found
acme-key  POST  transactions/h/reverse           force      403 forbidden
other-key PUT   ledgers/acme%2Fmain/closed-period before    403 forbidden
";

/// What others ask in vain about a hold and its balance.
const LOOKS: &str = "
other-key balances/{balance}                     404 balance-not-found
other-key balances/{balance}/entries             404 balance-not-found
other-key balances/{balance}/holds               404 balance-not-found
other-key transactions/h?ledger=acme/main        404 transaction-not-found
other-key transactions/h?ledger=other/main       404 transaction-not-found
other-key ledgers/acme%2Fmain/closed-period      403 forbidden
none      balances/{balance}/holds               401 unauthenticated
";

fn lines(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = table.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().collect())
}

fn told(answer: &Answer) -> (String, String) {
    (answer.status.to_string(), answer.slug())
}

#[tokio::test]
async fn what_is_anothers_is_neither_seen_nor_tried_nor_moved() {
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
    for words in lines(RIGHTS) {
        let [key, method, path, of, status, slug] = words[..] else {
            panic!("{words:?}");
        };
        let mut body = match of {
            "force" => force.clone(),
            "before" => json!({"before": "2026-01-01T00:00:00Z"}),
            ledger => json!({"ledger": ledger}),
        };
        body["reference"] = json!("taken");
        let key = key.trim_start_matches("none");
        for query in ["?dry_run=true", ""] {
            let path = format!("/v1/{path}{query}");
            let answer = ask(&api, key, method.parse().unwrap(), &path, Some(&body)).await;
            assert_eq!(
                told(&answer),
                (status.into(), slug.into()),
                "{words:?}{query}"
            );
        }
    }
    for words in lines(LOOKS) {
        let [key, path, status, slug] = words[..] else {
            panic!("{words:?}");
        };
        let path = path.replace("{balance}", target["balance"].as_str().unwrap());
        let key = key.trim_start_matches("none");
        let answer = ask(&api, key, Method::GET, &format!("/v1/{path}"), None).await;
        assert_eq!(told(&answer), (status.into(), slug.into()), "{words:?}");
    }
    let path = "/v1/balances?ledger=acme/main&account=alice";
    let listed = async |key: &str| {
        let view = ask(&api, key, Method::GET, path, None).await.json();
        view["data"].as_array().map(Vec::len)
    };
    until("alice in cold", async || {
        (listed("acme-key").await == Some(1)).then_some(())
    })
    .await;
    assert_eq!(listed("other-key").await, Some(0));
    // A hold of others is as unknown as one that there never was, and shows no balance.
    let mut theirs = json!({"ledger": "other/main", "type": "void", "void": target});
    let path = "/v1/transactions?dry_run=true";
    let view = post("other-key", path, &theirs).await.json();
    assert_eq!(result(&view, 0), "hold-not-found", "{view}");
    assert_eq!(view["balances"], json!([]), "{view}");
    theirs["reference"] = json!("taken");
    let done = post("other-key", "/v1/transactions", &theirs).await;
    assert_eq!(told(&done), ("422".into(), "hold-not-found".into()));
    let path = "/v1/transactions/h/reverse?dry_run=true";
    let view = post("chief-key", path, &force).await.json();
    assert_eq!(result(&view, 0), "nothing-to-reverse", "{view}");
    // It is all there for whom it belongs to.
    let rest = json!({"ledger": "acme/main", "reference": "mine"});
    let posted = post("acme-key", "/v1/transactions/h/post", &rest).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    let amount = &posted.json()["hold"]["postings"][0]["posted"];
    assert_eq!(amount, "5.00", "{posted:?}");
    std::fs::remove_file(&file).ok();
    api.ended().await;
    world.audit();
}
