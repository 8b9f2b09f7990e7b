//! Dry runs of what depends on more than balances: each is tried, and then done. What was said is
//! what happens, and saying it has changed nothing.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Answer, Api};
use super::keys::{ask, keys_file};
use crate::support::{World, account_in, balance_id, transfer, until};

/// A world and its ingress.
struct Stage {
    world: World,
    api: Api,
}

impl Stage {
    /// Ends of the log, and what hot has of `accounts`.
    async fn stands(&self, accounts: &[&str]) -> (Vec<i64>, Vec<Option<String>>) {
        let partitions = 0..i32::from(self.world.partitions);
        let ends = partitions.flat_map(|partition| {
            let end = |topic| self.world.end(topic, partition);
            [end("commands"), end("outcomes")]
        });
        let bytes = match accounts.is_empty() {
            true => Vec::new(),
            false => self.world.hot_bytes(accounts).await,
        };
        (ends.collect(), bytes)
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.api.request(method.parse().unwrap(), path);
        self.api.send(request.json(body)).await
    }

    /// Tries a request that names a reference, then makes it; what it was said to come to, which
    /// is what it comes to: `posted` and the like, or a slug.
    async fn same(&self, method: &str, path: &str, body: Value, accounts: &[&str]) -> String {
        let stood = self.stands(accounts).await;
        let tried = self
            .send(method, &format!("{path}?dry_run=true"), &body)
            .await;
        assert_eq!(
            self.stands(accounts).await,
            stood,
            "{path}: nothing is done"
        );
        if tried.status != 200 {
            let slug = tried.slug();
            let done = self.send(method, path, &body).await;
            assert_eq!((done.status, done.slug()), (tried.status, slug.clone()));
            return slug;
        }
        let view = tried.json();
        let said = result(&view, 0);
        let done = self.send(method, path, &body).await;
        assert!(!done.replayed(), "the reference was free: {done:?}");
        let happened = match done.status {
            200 | 201 => done.json()["status"].as_str().unwrap().to_owned(),
            _ => done.slug(),
        };
        assert_eq!(said, happened, "{path} {body}: {view}");
        let status = &view["results"][0]["status"];
        let refused = done.status == 422;
        assert_eq!(*status == 422, refused, "{view}");
        self.balances_are(&view).await;
        said
    }

    /// The balances of the answer are those that there are in the end.
    async fn balances_are(&self, view: &Value) {
        for balance in view["balances"].as_array().unwrap() {
            let path = format!("/v1/balances/{}", balance["id"].as_str().unwrap());
            let fields = [
                "account", "posted", "held", "incoming", "version", "floor", "ceiling", "status",
            ];
            let of = |view: &Value| fields.map(|field| view[field].clone());
            until(&format!("{balance}"), async || {
                let now = self.api.get(&path).await.json();
                (of(&now) == of(balance)).then_some(())
            })
            .await;
        }
    }

    async fn has(&self, account: &str, posted: &str, held: &str, incoming: &str) {
        let path = format!("/v1/balances/{}", balance_id(account));
        until(&format!("{account} at {posted}"), async || {
            let view = self.api.get(&path).await.json();
            let now = [&view["posted"], &view["held"], &view["incoming"]];
            (now == [posted, held, incoming]).then_some(())
        })
        .await;
    }

    async fn hold(&self, reference: &str, moves: &[(&str, &str, &str)], terms: Value) -> Value {
        let posting = |(source, destination, amount): &(&str, &str, &str)| {
            json!({"source": source, "destination": destination, "amount": amount,
                "asset": "USD"})
        };
        let postings: Vec<Value> = moves.iter().map(posting).collect();
        let body = json!({"reference": reference, "postings": postings, "hold": terms});
        let made = self.api.post("/v1/transactions", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()
    }
}

/// The status of what would be done, or the slug of why it would not.
fn result(view: &Value, at: usize) -> String {
    let result = &view["results"][at];
    match result["transaction"]["status"].as_str() {
        Some(status) => status.to_owned(),
        None => {
            let slug = result["problem"]["type"].as_str();
            slug.unwrap().replace("/problems/", "")
        }
    }
}

#[tokio::test]
async fn a_post_and_a_void_are_what_they_were_said_to_be() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    for account in ["alice", "bob", "carl"] {
        api.open(account).await;
    }
    api.transfer("fund", "@world", "alice", "100").await;
    let stage = Stage { world, api };
    let moves = [("alice", "bob", "60"), ("alice", "carl", "10")];
    stage.hold("h", &moves, json!({"expires_in": "1d"})).await;
    let accounts = ["alice", "bob", "carl"];
    let table = [
        ("h/post", json!({"amount": "25.5"}), "posted"),
        ("h/post", json!({"amount": "44.51"}), "post-exceeds-hold"),
        (
            "h/post",
            json!({"amount": "1", "asset": "EUR"}),
            "asset-mismatch",
        ),
        ("h/post", json!({"amount": "40"}), "posted"),
        ("nobody/void", json!({}), "transaction-not-found"),
        ("fund/post", json!({}), "transaction-not-found"),
        ("h/void", json!({"amount": "1"}), "invalid-amount"),
        (
            "h/post",
            json!({"effective_at": "2999-01-01T00:00:00Z"}),
            "effective-in-future",
        ),
        (
            "h/reverse",
            json!({"amount": "66"}),
            "reverse-exceeds-original",
        ),
        ("h/reverse", json!({"amount": "5"}), "applied"),
        ("h/void", json!({}), "voided"),
        ("h/void", json!({}), "hold-voided"),
        ("h/post", json!({}), "hold-voided"),
        ("h/reverse", json!({}), "applied"),
        ("h/reverse", json!({}), "nothing-to-reverse"),
    ];
    for (at, (path, mut body, expected)) in table.into_iter().enumerate() {
        body["reference"] = json!(format!("r{at}"));
        let path = format!("/v1/transactions/{path}");
        let said = stage.same("POST", &path, body, &accounts).await;
        assert_eq!(said, expected, "{at}: {path}");
    }
    stage.has("alice", "100.00", "0.00", "0.00").await;
    stage
        .hold("spent", &[("alice", "bob", "1")], json!({}))
        .await;
    for (reference, expected) in [("s1", "posted"), ("s2", "hold-spent")] {
        let body = json!({"reference": reference});
        let path = "/v1/transactions/spent/post";
        assert_eq!(stage.same("POST", path, body, &accounts).await, expected);
    }
    unnamed_and_shown(&stage).await;
    stage.api.ended().await;
    stage.world.audit();
}

/// A reference may be left out, and the answer shows the hold as it would be.
async fn unnamed_and_shown(stage: &Stage) {
    let made = stage
        .hold("shown", &[("alice", "bob", "6")], json!({}))
        .await;
    let path = "/v1/transactions/shown/post?dry_run=true";
    let view = stage.api.post(path, &json!({"amount": "4"})).await.json();
    let transaction = &view["results"][0]["transaction"];
    assert!(view["results"][0]["reference"].is_null(), "{view}");
    assert!(transaction["transaction_id"].is_null(), "{view}");
    assert_eq!(transaction["hold"]["id"], made["transaction_id"], "{view}");
    assert_eq!(transaction["hold"]["state"], "open", "{view}");
    assert_eq!(transaction["hold"]["postings"][0]["rest"], "2.00", "{view}");
    let directions = transaction["entries"].as_array().unwrap().iter();
    let directions: Vec<_> = directions.map(|entry| &entry["direction"]).collect();
    assert_eq!(directions, ["post", "settle"], "{view}");
    assert!(view["as_of"].is_string(), "{view}");
}

#[tokio::test]
async fn over_partitions_too_and_by_force() {
    let world = World::new(2);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    let away = account_in("away", 1, 2);
    for account in [&near, &far, &away] {
        api.open(account).await;
    }
    api.transfer("fund", "@world", &near, "10").await;
    api.transfer("far", "@world", &far, "5").await;
    let stage = Stage { world, api };
    let accounts = [&*near, &*far, &*away];
    let moves = [(&*near, &*far, "6"), (&*far, &*near, "2")];
    stage.hold("h", &moves, json!({})).await;
    stage.has(&far, "5.00", "2.00", "6.00").await;
    let on = async |path: &str, reference: &str, mut body: Value| {
        body["reference"] = json!(reference);
        let path = format!("/v1/transactions/{path}");
        stage.same("POST", &path, body, &accounts).await
    };
    assert_eq!(on("h/post", "p1", json!({"amount": "7"})).await, "posted");
    stage.has(&near, "5.00", "0.00", "1.00").await;
    assert_eq!(
        on("h/post", "p2", json!({"amount": "1.01"})).await,
        "post-exceeds-hold"
    );
    assert_eq!(on("h/void", "v1", json!({})).await, "voided");
    stage.has(&far, "10.00", "0.00", "0.00").await;

    let pay = async |reference: &str, source: &str, destination: &str, amount: &str| {
        let paid = stage
            .api
            .transfer(reference, source, destination, amount)
            .await;
        assert_eq!(paid.status, 201, "{paid:?}");
    };
    pay("order", &near, &far, "4").await;
    stage.has(&far, "14.00", "0.00", "0.00").await;
    assert_eq!(
        on("order/reverse", "b1", json!({"amount": "1"})).await,
        "applied"
    );
    stage.has(&near, "2.00", "0.00", "0.00").await;
    let beyond = json!({"amount": "3.01"});
    assert_eq!(
        on("order/reverse", "b2", beyond).await,
        "reverse-exceeds-original"
    );
    pay("spend", &far, &away, "12").await;
    stage.has(&far, "1.00", "0.00", "0.00").await;
    assert_eq!(
        on("order/reverse", "b3", json!({})).await,
        "insufficient-funds"
    );
    assert_eq!(
        on("order/reverse", "b4", json!({"force": true})).await,
        "applied"
    );
    assert_eq!(
        on("order/reverse", "b5", json!({})).await,
        "nothing-to-reverse"
    );
    let refused = stage.api.transfer("no", &near, &far, "99").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(on("no/reverse", "b6", json!({})).await, "not-reversible");
    stage.api.ended().await;
    stage.world.audit();
}

#[tokio::test]
async fn opening_configuring_and_closing_are_tried_too() {
    let world = World::new(2);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let stage = Stage { world, api };
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
    let world = World::new(2);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    api.open(&near).await;
    api.open(&far).await;
    api.transfer("fund", "@world", &near, "10").await;
    let stage = Stage { world, api };
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
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "10").await;
    let stage = Stage { world, api };
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

/// What is over by now is over, though nobody has released it yet.
#[tokio::test]
async fn a_hold_that_is_due_is_said_to_be_over() {
    let world = World::new(1);
    let mut processor = world.start("processor").await;
    let _sink = world.start("sink").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "10").await;
    let stage = Stage { world, api };
    let terms = json!({"expires_in": "8s"});
    stage.hold("h", &[("alice", "bob", "6")], terms).await;
    let path = format!("/v1/balances/{}/holds", balance_id("alice"));
    until("the hold in cold", async || {
        let view = stage.api.get(&path).await.json();
        (view["holds"][0]["reference"] == "h").then_some(())
    })
    .await;
    processor.kill();
    let body = json!({"reference": "p"});
    let view = until("the hold to be over", async || {
        let path = "/v1/transactions/h/post?dry_run=true";
        let view = stage.api.post(path, &body).await.json();
        (result(&view, 0) != "posted").then_some(view)
    })
    .await;
    assert_eq!(result(&view, 0), "hold-expired", "{view}");
    let listed = stage.api.get(&path).await.json();
    assert_eq!(listed["holds"][0]["state"], "open", "{listed}");
    let _processor = stage.world.start("processor").await;
    let late = stage.api.post("/v1/transactions/h/post", &body).await;
    assert_eq!(late.slug(), "hold-expired", "{late:?}");
    stage.api.ended().await;
    stage.world.audit();
}

/// Of what cold may not have yet, nothing is said.
#[tokio::test]
async fn without_cold_nothing_is_said_of_a_hold() {
    let world = World::new(1);
    let _processor = world.start("processor").await;
    let api = Api::start(&world, &[]).await;
    api.open("alice").await;
    api.open("bob").await;
    api.transfer("fund", "@world", "alice", "10").await;
    let stage = Stage { world, api };
    stage.hold("h", &[("alice", "bob", "6")], json!({})).await;
    for what in ["post", "void", "reverse"] {
        let path = format!("/v1/transactions/h/{what}?dry_run=true");
        let said = stage.api.post(&path, &json!({})).await;
        let told = (said.status, said.slug());
        assert_eq!(told, (503, "storage-unavailable".to_owned()), "{what}");
        assert_eq!(said.header("retry-after"), "1", "{what}");
    }
    let _sink = stage.world.start("sink").await;
    let body = json!({"reference": "p"});
    let path = "/v1/transactions/h/post?dry_run=true";
    until("what can be said", async || {
        (stage.api.post(path, &body).await.status == 200).then_some(())
    })
    .await;
    let path = "/v1/transactions/h/post";
    let said = stage.same("POST", path, body, &["alice", "bob"]).await;
    assert_eq!(said, "posted");
    stage.api.ended().await;
    stage.world.audit();
}

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
