//! Two binaries on one log: neither decides what the other would decide otherwise, and what an
//! older one wrote is read by this one.

use serde_json::{Value, json};
use steelyard::wire::Secret;
use steelyard::wire::leg::SEAL_HEADER;
use steelyard::wire::record::RULES_KEY;

use crate::support::kafka::Sent;
use crate::support::{SECRET, World, account_in, transfer, until};

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
    let raised = world.run(&["rules", "--raise", "1"]);
    assert_eq!(raised.lines().count(), 2, "{raised}");
    let known = ask(&world, 0, 1, SECRET).await;
    let outcome = world.outcome(known).await;
    assert_eq!(outcome["status"], "ignored", "{outcome}");
    assert_eq!(outcome["reason"], "rules", "{outcome}");
    let forged = ask(&world, 0, 2, "a secret of somebody else").await;
    let outcome = world.outcome(forged).await;
    assert_eq!(outcome["reason"], "dead-letter", "{outcome}");
    let beyond = world.output(&["rules", "--raise", "2"]);
    assert_eq!(beyond.status.code(), Some(1));
    world.audit();
    let shown = world.run(&["rules"]);
    assert!(
        shown.contains("partition 1: rules 1 as of command"),
        "{shown}"
    );

    let last = ask(&world, 0, 1, SECRET).await;
    let (_, unknown) = ask(&world, 0, 2, SECRET).await;
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
            text.contains("asks for rules 2").then_some(())
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
