//! Two binaries on one log: neither decides what the other would decide otherwise, and what an
//! older one wrote is read by this one.

use serde_json::{Value, json};
use steelyard::ledger::{Asset, BalanceId, RULES_KNOWN, partition_of};
use steelyard::wire::Secret;
use steelyard::wire::leg::SEAL_HEADER;
use steelyard::wire::record::RULES_KEY;

use crate::support::kafka::Sent;
use crate::support::{SECRET, World, account_in, transfer, until};

/// Rules of a later release.
const UNKNOWN: u32 = RULES_KNOWN + 1;

/// Sends a record that asks for rules to a partition; where it is.
async fn ask(world: &World, partition: i32, rules: u32, secret: &str) -> (i32, i64) {
    let value = json!({ "rules": rules }).to_string();
    let secret = Secret::new(secret).expect("a secret");
    let seal = secret.seal(RULES_KEY.as_bytes(), value.as_bytes());
    let sent = Sent {
        partition: Some(partition),
        key: Some(RULES_KEY.as_bytes()),
        value: Some(value.as_bytes()),
        headers: vec![(SEAL_HEADER, hex::encode(seal.0).into_bytes())],
    };
    world.send(sent).await
}

fn raise(world: &World, rules: u32) -> String {
    world.run(&["rules", "--raise", &rules.to_string()])
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_this_binary_does_not_know_stop_their_partition_and_no_other() {
    let world = World::new(2);
    let mut node = world.start("all").await;
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    for account in [&near, &far] {
        node.open(account).await;
        let fund = transfer(&format!("fund-{account}"), "@world", account, "10");
        node.applied(&fund).await;
    }
    let raised = raise(&world, RULES_KNOWN);
    assert_eq!(raised.lines().count(), 4, "2 everywhere, then 3: {raised}");
    let pay = transfer("by-known-rules", &near, &far, "1");
    node.applied(&pay).await;
    let known = ask(&world, 0, 1, SECRET).await;
    let outcome = world.outcome(known).await;
    assert_eq!(outcome["status"], "ignored", "{outcome}");
    assert_eq!(outcome["reason"], "rules", "{outcome}");
    let forged = ask(&world, 0, UNKNOWN, "a secret of somebody else").await;
    let outcome = world.outcome(forged).await;
    assert_eq!(outcome["reason"], "dead-letter", "{outcome}");
    let beyond = world.output(&["rules", "--raise", &UNKNOWN.to_string()]);
    assert_eq!(beyond.status.code(), Some(1));
    world.audit();
    let shown = world.run(&["rules"]);
    assert!(
        shown.contains("partition 1: rules 3 as of command"),
        "{shown}"
    );

    let last = ask(&world, 0, 1, SECRET).await;
    let (_, unknown) = ask(&world, 0, UNKNOWN, SECRET).await;
    assert_eq!(unknown, last.1 + 1);
    world.outcome(last).await;
    for again in [false, true] {
        if again {
            assert_eq!(node.stop().await.code(), Some(0), "{}", node.said());
            node = world.launch("all", &[]);
        }
        let ready = format!("{}/readyz?verbose", node.ops);
        until("the partition to say what it waits for", async || {
            let answer = node.client.get(&ready).send().await.ok()?;
            let text = answer.text().await.ok()?;
            text.contains(&format!("asks for rules {UNKNOWN}"))
                .then_some(())
        })
        .await;
        let reference = format!("other-{again}");
        let other = account_in("other", 1, 2);
        until("the other partition", async || {
            let open = json!({"account": other, "asset": "USD", "reference": reference});
            let (status, _) = node.post("/v1/balances", &open).await;
            [201, 422].contains(&status.as_u16()).then_some(())
        })
        .await;
    }
    let outcomes = world.records(&world.topic("outcomes"), Some(0));
    let bodies = outcomes.iter().filter_map(crate::support::kafka::json_of);
    let decided = bodies
        .filter_map(|body: Value| body["offset"].as_i64())
        .max();
    assert_eq!(decided, Some(last.1), "nothing is decided from there on");
    // What no binary here can decide cannot be audited to its end; up to there it was.
    world.ending.audited();
}

/// An account of a tenant whose balance is in `partition` of two.
fn tenants(tenant: &str, partition: u16) -> impl Iterator<Item = String> {
    let dollars = Asset::parse("USD").expect("an asset");
    let lives = move |name: &String| {
        let id = BalanceId::of(&format!("{tenant}/main"), name, &dollars, "default");
        partition_of(id, 2) == partition
    };
    (0..).map(|number| format!("tenant{number}")).filter(lives)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fills_its_way_stops_no_other() {
    const ALL: &str = "99999999999999999999999999.99";
    let world = World::new(2);
    let node = world.start("all").await;
    let accounts = |tenant| {
        let near = tenants(tenant, 0).take(2);
        near.chain(tenants(tenant, 1).take(1)).collect::<Vec<_>>()
    };
    let (greedy, modest) = (accounts("greedy"), accounts("modest"));
    for (tenant, accounts) in [("greedy", &greedy), ("modest", &modest)] {
        for account in accounts {
            let ledger = format!("{tenant}/main");
            let open = json!({"ledger": ledger, "account": account, "asset": "USD", "floor": null});
            let (status, answer) = node.post("/v1/balances", &open).await;
            assert_eq!(status, 201, "{answer}");
        }
    }
    let pay = async |reference: &str, tenant: &str, way: (&String, &String), amount: &str| {
        let mut body = transfer(reference, way.0, way.1, amount);
        body["ledger"] = json!(format!("{tenant}/main"));
        let (status, answer) = node.post("/v1/transactions", &body).await;
        let reason = answer["type"].as_str().unwrap_or_default();
        (status.as_u16(), reason.ends_with("amount-overflow"), answer)
    };
    let (filled, .., answer) = pay("fill", "greedy", (&greedy[0], &greedy[2]), ALL).await;
    assert_eq!(filled, 201, "{answer}");
    // By the first rules the way is everybody's, and full.
    let stopped = pay("stopped", "modest", (&modest[0], &modest[2]), "1").await;
    assert_eq!((stopped.0, stopped.1), (422, true), "{}", stopped.2);

    raise(&world, RULES_KNOWN);
    let (status, _, answer) = pay("free", "modest", (&modest[0], &modest[2]), "1").await;
    assert_eq!(status, 201, "{answer}");
    let entries = answer["entries"].as_array().map(Vec::len);
    assert_eq!(
        entries,
        Some(1),
        "home shows its own part, and no transit: {answer}"
    );
    let whole = "/v1/transactions/free?ledger=modest/main";
    until("both sides in cold, and no transit", async || {
        let (_, view) = node.get(whole).await;
        (view["entries"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    // Whoever fills his own way stops himself.
    let back = pay("back", "greedy", (&greedy[2], &greedy[0]), ALL).await;
    assert_eq!(back.0, 201, "{}", back.2);
    let again = pay("again", "greedy", (&greedy[0], &greedy[2]), ALL).await;
    assert_eq!(again.0, 201, "{}", again.2);
    let full = pay("full", "greedy", (&greedy[1], &greedy[2]), "1").await;
    assert_eq!((full.0, full.1), (422, true), "{}", full.2);
    world.audit();
    let replayed = world.output(&["audit", "--replay", "--wait", "60"]);
    assert!(replayed.status.success(), "{replayed:?}");
}
