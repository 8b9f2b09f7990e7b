//! Partitions change hands: nothing is lost, nothing is applied twice.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::node::Node;
use crate::support::{World, account_in, balance_id, transfer, until};

const ACCOUNTS: usize = 6;

/// Commands that open accounts over two partitions and fund them from the world.
fn opening(stem: &str) -> (Vec<String>, Vec<(Uuid, Value)>) {
    let accounts: Vec<String> = (0..ACCOUNTS)
        .map(|n| account_in(&format!("{stem}{n}-"), u16::try_from(n % 2).unwrap(), 2))
        .collect();
    let mut commands = Vec::new();
    for account in &accounts {
        let open = json!({"reference": format!("open-{account}"), "type": "open",
            "ledger": "main", "open": {"account": account, "asset": "USD"}});
        commands.push((balance_id(account), open));
    }
    (accounts, commands)
}

pub(crate) fn pay(reference: &str, source: &str, destination: &str, amount: &str) -> (Uuid, Value) {
    let body = json!({"reference": reference, "type": "transfer", "ledger": "main", "postings": [
        {"source": balance_id(source), "destination": balance_id(destination),
         "amount": amount, "asset": "USD"}]});
    (balance_id(source), body)
}

/// Payments round and round, a third of them across partitions, each sent twice.
fn payments(accounts: &[String], round: usize, count: usize) -> Vec<(Uuid, Value)> {
    let payments = (0..count).flat_map(|n| {
        let source = &accounts[n % ACCOUNTS];
        let destination = &accounts[(n + 1 + n % 3) % ACCOUNTS];
        let payment = pay(&format!("pay-{round}-{n}"), source, destination, "0.01");
        [payment.clone(), payment]
    });
    payments.collect()
}

fn references(commands: &[(Uuid, Value)]) -> Vec<String> {
    commands
        .iter()
        .map(|(_, body)| body["reference"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) async fn funded(world: &World) -> Vec<String> {
    let (accounts, mut commands) = opening("acc");
    world.send_all(&commands).await;
    world.all_decided(&references(&commands)).await;
    commands.clear();
    for account in &accounts {
        commands.push(pay(&format!("fund-{account}"), "@world", account, "1000"));
    }
    world.send_all(&commands).await;
    for outcome in world.all_decided(&references(&commands)).await {
        assert_eq!(outcome["status"], "applied", "{outcome}");
    }
    accounts
}

pub(crate) async fn pays(world: &World, accounts: &[String], round: usize) {
    let commands = payments(accounts, round, 300);
    world.send_all(&commands).await;
    for outcome in world.all_decided(&references(&commands)).await {
        assert_eq!(outcome["status"], "applied", "{outcome}");
    }
}

/// Waits until `node` owns `count` partitions.
pub(crate) async fn owns(node: &Node, count: usize) {
    until("the partitions to be taken over", async || {
        let metrics = node
            .client
            .get(format!("{}/metrics", node.ops))
            .send()
            .await
            .ok()?;
        let text = metrics.text().await.ok()?;
        let owned = text
            .lines()
            .filter(|line| line.starts_with("steelyard_partition_epoch{"));
        (owned.count() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_killed_processor_loses_nothing() {
    let world = World::new(2);
    let _sink = world.start("sink").await;
    let mut first = world.start("processor").await;
    let accounts = funded(&world).await;
    let commands = payments(&accounts, 0, 300);
    let sending = world.send_all(&commands);
    let killing = async {
        until("some payments to be decided", async || {
            let decided = first.metric("steelyard_commands_total", "applied").await;
            (decided > 50.0).then_some(())
        })
        .await;
    };
    tokio::join!(sending, killing);
    first.kill();
    let second = world.start("processor").await;
    owns(&second, 2).await;
    for outcome in world.all_decided(&references(&commands)).await {
        assert_eq!(outcome["status"], "applied", "{outcome}");
    }
    pays(&world, &accounts, 1).await;
    world.audit();
}

#[tokio::test]
async fn a_planned_stop_hands_over_without_waiting_for_the_session() {
    let world = World::new(2);
    let _sink = world.start("sink").await;
    // A session far beyond the test's patience: only leaving the group can hand over.
    let long = [
        ("STEELYARD_SESSION_MS", "300000"),
        ("STEELYARD_INSTANCE", "a"),
    ];
    let mut first = world.launch("processor", &long);
    first.ready().await;
    let accounts = funded(&world).await;
    let other = [
        ("STEELYARD_SESSION_MS", "300000"),
        ("STEELYARD_INSTANCE", "b"),
    ];
    let second = world.launch("processor", &other);
    second.ready().await;
    owns(&first, 1).await;
    owns(&second, 1).await;
    pays(&world, &accounts, 0).await;
    assert!(first.stop().await.success(), "{}", first.said());
    owns(&second, 2).await;
    pays(&world, &accounts, 1).await;
    world.audit();
}

#[tokio::test]
async fn an_owner_that_wakes_up_after_its_session_does_no_harm() {
    let world = World::new(2);
    let _sink = world.start("sink").await;
    let sleeper = world.start("processor").await;
    let accounts = funded(&world).await;
    pays(&world, &accounts, 0).await;
    sleeper.signal("STOP");
    let second = world.start("processor").await;
    owns(&second, 2).await;
    pays(&world, &accounts, 1).await;
    sleeper.signal("CONT");
    pays(&world, &accounts, 2).await;
    until("both to own one partition each", async || {
        let first = sleeper
            .metric("steelyard_partition_applied_offset", "")
            .await;
        (first > 0.0).then_some(())
    })
    .await;
    pays(&world, &accounts, 3).await;
    world.audit();
}

#[tokio::test]
async fn hot_is_installed_again_after_it_was_emptied() {
    let world = World::new(2);
    let _node = world.start("all").await;
    let accounts = funded(&world).await;
    let commands = payments(&accounts, 0, 300);
    let mut redis = world.redis().await;
    let emptying = async {
        for _ in 0..3 {
            let pattern = format!("*{}*", world.name);
            let keys: Vec<String> = redis::cmd("KEYS")
                .arg(pattern)
                .query_async(&mut redis)
                .await
                .unwrap();
            if !keys.is_empty() {
                let mut del = redis::cmd("DEL");
                del.arg(keys).exec_async(&mut redis).await.unwrap();
            }
        }
    };
    tokio::join!(world.send_all(&commands), emptying);
    world.all_decided(&references(&commands)).await;
    pays(&world, &accounts, 1).await;
    let key = |p: usize| format!("{{{}:{p}}}:position", world.name);
    for partition in 0..2 {
        until("hot to be whole again", async || {
            let mut redis = redis.clone();
            let mut ask = redis::cmd("HGET");
            ask.arg(key(partition)).arg("installed");
            let installed: Option<String> = ask.query_async(&mut redis).await.ok()?;
            installed
        })
        .await;
    }
    world.audit();
}

#[tokio::test]
async fn a_partition_that_was_quiet_for_longer_than_its_outcomes_are_kept_is_taken_over() {
    let world = World::new(1);
    let mut first = world.start("all").await;
    first.open("alice").await;
    let fund = transfer("fund", "@world", "alice", "100");
    first.applied(&fund).await;
    world.audit();
    assert!(first.stop().await.success());
    world.trim("outcomes").await;

    let second = world.start("all").await;
    let paid = second
        .applied(&transfer("pay", "alice", "@world", "1"))
        .await;
    assert_eq!(paid["status"], "applied", "{paid}");
    let (_, again) = second.post("/v1/transactions", &fund).await;
    assert_eq!(again["status"], "applied", "{again}");
    let (_, balance) = second
        .get(&format!("/v1/balances/{}", balance_id("alice")))
        .await;
    assert_eq!(
        (&balance["posted"], &balance["version"]),
        (&json!("99.00"), &json!(3))
    );
    world.audit();
}

#[tokio::test]
async fn hot_never_goes_back_behind_what_an_earlier_owner_has_shown() {
    let world = World::new(1);
    let mut first = world.start("all").await;
    first.open("alice").await;
    first
        .applied(&transfer("fund", "@world", "alice", "100"))
        .await;
    assert!(first.stop().await.success());
    // As if it had gone on for two commands between the next owner's claim on the log and on hot.
    let mut redis = world.redis().await;
    let key = format!("{{{}:0}}:position", world.name);
    redis::cmd("HINCRBY")
        .arg(&key)
        .arg("offset")
        .arg(2)
        .exec_async(&mut redis)
        .await
        .unwrap();

    let second = world.start("all").await;
    owns(&second, 1).await;
    let installed = async || {
        let mut redis = redis.clone();
        let mut ask = redis::cmd("HGET");
        ask.arg(&key).arg("installed");
        ask.query_async::<Option<String>>(&mut redis).await.unwrap()
    };
    for reference in ["one", "two"] {
        assert_eq!(installed().await, None, "before {reference}");
        second
            .applied(&transfer(reference, "alice", "@world", "1"))
            .await;
    }
    until("hot to be whole", installed).await;
    world.audit();
}

#[tokio::test]
async fn an_instance_whose_name_was_taken_ends() {
    let world = World::new(1);
    let first = world.launch("processor", &[("STEELYARD_INSTANCE", "a")]);
    first.ready().await;
    let second = world.launch("processor", &[("STEELYARD_INSTANCE", "a")]);
    second.ready().await;
    until("the first to end", async || {
        let asked = first.client.get(format!("{}/livez", first.ops));
        asked.send().await.is_err().then_some(())
    })
    .await;
    owns(&second, 1).await;
}
