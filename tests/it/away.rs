//! A store goes away under a running system, and comes back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gate::Gate;
use crate::support::kafka::{Row, described};
use crate::support::node::Node;
use crate::support::redis::Redis;
use crate::support::{World, account_in, balance_id, transfer, until};

/// Posts a transaction that must be applied; its id.
async fn applied(node: &Node, transaction: &Value) -> String {
    let answer = node.applied(transaction).await;
    answer["transaction_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_stopped_posting_goes_on_and_is_applied_once() {
    let Some(mut redis) = Redis::start("noeviction").await else {
        return;
    };
    let world = World::new(2).on_redis(redis.url());
    let node = world.start("all").await;
    let home = account_in("home", 0, 2);
    let (near, far) = (account_in("near", 0, 2), account_in("far", 1, 2));
    for account in [&home, &near, &far] {
        node.open(account).await;
    }
    let fund = transfer("fund", "@world", &home, "100");
    let funded = applied(&node, &fund).await;

    redis.stop();
    let mut ids = Vec::new();
    let behind = "degraded: redis does not answer";
    for n in 0..20_u32 {
        let to = if n.is_multiple_of(2) { &near } else { &far };
        let pay = transfer(&format!("pay-{n}"), &home, to, "1");
        let first = applied(&node, &pay).await;
        assert_eq!(applied(&node, &pay).await, first, "the same transaction");
        ids.push((pay, first));
    }
    assert_eq!(applied(&node, &fund).await, funded, "known from before");
    until("both partitions to say that hot is behind", async || {
        (node.checks().await.matches(behind).count() == 2).then_some(())
    })
    .await;
    let waits = async || {
        node.metric("steelyard_partition_waits", "for=\"redis\"")
            .await
    };
    assert_eq!(waits().await, 2.0);
    let ready = node.client.get(format!("{}/readyz", node.ops)).send().await;
    assert_eq!(ready.unwrap().status(), 200, "it works without");
    let other = transfer("pay-0", &home, &near, "2");
    let (status, answer) = node.post("/v1/transactions", &other).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["type"], "/problems/reference-reused");

    redis.again().await;
    for (pay, first) in &ids {
        assert_eq!(&applied(&node, pay).await, first, "the same transaction");
    }
    let path = format!("/v1/balances/{}", balance_id(&home));
    until("hot to have the balance again", async || {
        let (_, balance) = node.get(&path).await;
        (balance["source"] == "hot" && balance["posted"] == "80.00").then_some(())
    })
    .await;
    until("hot to be whole", async || {
        (!node.checks().await.contains(behind)).then_some(())
    })
    .await;
    assert_eq!(waits().await, 0.0);
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_balances_is_refused_at_the_start() {
    let Some(redis) = Redis::start("allkeys-lru").await else {
        return;
    };
    let world = World::new(1).on_redis(redis.url());
    for role in ["processor", "all"] {
        let mut node = world.launch(role, &[]);
        let ended = node.ended().await;
        assert_eq!(ended.code(), Some(1), "{role}: {}", node.said());
        let why = "redis has maxmemory-policy allkeys-lru";
        assert!(node.said().contains(why), "{role}: {}", node.said());
    }
}

/// The groups of the sinks, what cold calls them, and their topics.
const SINKS: [(&str, &str, &str); 2] = [
    ("journal-sink", "journal", "outcomes"),
    ("balance-sink", "balances", "snapshots"),
];

#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_away_processing_goes_on_and_lag_says_so_everywhere() {
    let world = World::new(2);
    let url = std::env::var("STEELYARD_DATABASE_URL").unwrap();
    let gate = Gate::before(&url).await;
    let through = [("STEELYARD_DATABASE_URL", gate.through(&url))];
    let through = through.each_ref().map(|(name, url)| (*name, url.as_str()));
    let node = world.launch("all", &through);
    node.ready().await;
    let (home, far) = (account_in("home", 0, 2), account_in("far", 1, 2));
    for account in [&home, &far] {
        node.open(account).await;
        let fund = transfer(&format!("fund-{account}"), "@world", account, "1000");
        node.applied(&fund).await;
    }
    for (role, sink, topic) in SINKS {
        agreed(&world, &node, (role, sink, topic), |lag| lag == 0).await;
    }

    gate.shut();
    let pay = |n: usize| {
        let (from, to) = if n.is_multiple_of(2) {
            (&home, &far)
        } else {
            (&far, &home)
        };
        let body = json!({"reference": format!("kafka-{n}"), "type": "transfer", "ledger": "main",
            "postings": [{"source": balance_id(from), "destination": balance_id(to),
                          "amount": "0.01", "asset": "USD"}]});
        (balance_id(from), body)
    };
    let commands: Vec<(Uuid, Value)> = (0..300).map(pay).collect();
    let references: Vec<String> = (0..300).map(|n| format!("kafka-{n}")).collect();
    world.send_all(&commands).await;
    for outcome in world.all_decided(&references).await {
        assert_eq!(outcome["status"], "applied", "{outcome}");
    }
    for n in 0..20 {
        let pay = transfer(&format!("http-{n}"), &home, &far, "0.01");
        node.applied(&pay).await;
    }
    for (role, sink, topic) in SINKS {
        agreed(&world, &node, (role, sink, topic), |lag| lag > 0).await;
        let group = format!("group=\"{}.{role}\"", world.name);
        let seconds = node.metric("steelyard_consumer_lag_seconds", &group).await;
        assert!(seconds > 0.0, "{role} is {seconds} s behind");
    }

    gate.open();
    for (role, sink, topic) in SINKS {
        agreed(&world, &node, (role, sink, topic), |lag| lag == 0).await;
    }
    let home = "partition=\"0\"";
    let ratio = node.metric("steelyard_sink_aggregation_ratio", home).await;
    assert!(ratio > 1.0, "{ratio} commands for each row of balances");
    world.audit();
}

/// Waits until the lag of a sink's group fits, and `/metrics`, the positions in Postgres and
/// Kafka's own tool say the same of it.
async fn agreed(
    world: &World,
    node: &Node,
    (role, sink, topic): (&str, &str, &str),
    fits: impl Fn(i64) -> bool,
) {
    let group = format!("{}.{role}", world.name);
    let pool = world.postgres().await;
    until(&format!("one lag of {role} everywhere"), async || {
        let stored: Vec<(i32, i64)> = sqlx::query_as(
            "select partition, position from sink_positions where sink = $1 order by 1",
        )
        .bind(sink)
        .fetch_all(&pool)
        .await
        .unwrap();
        let mut told = BTreeMap::new();
        for (partition, position) in &stored {
            let number = u16::try_from(*partition).unwrap();
            let end = world.end(topic, *partition);
            let labels = format!("group=\"{group}\",partition=\"{number}\"");
            let lag = node.metric("steelyard_consumer_lag_records", &labels).await;
            let row = Row {
                committed: *position,
                end,
                lag: lag as i64,
            };
            told.insert(number, row);
        }
        let consistent = told.values().all(|row| row.lag == row.end - row.committed);
        let lag = told.values().map(|row| row.lag).sum();
        if stored.len() != usize::from(world.partitions) || !consistent || !fits(lag) {
            return None;
        }
        let printed = described(&world.kafka, &group);
        printed.is_none_or(|printed| printed == told).then_some(())
    })
    .await;
}
