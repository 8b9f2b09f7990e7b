//! Which markers are accepted, and what the sink leaves in hot (S1, S2, H3).

use std::time::Duration;

use steelyard::hot::key::{Keys, parse_stale};
use steelyard::ledger::{BalanceId, PartitionId};
use steelyard::sink::SinkMetrics;
use steelyard::wire::Subject;

use super::bench::{Bench, options};
use super::rows::assert_cold_is_the_ledger;
use crate::support::{account_in, balance_id, until};

async fn two_accounts(partitions: PartitionId) -> (Bench, String, String) {
    let mut bench = Bench::new(partitions).await;
    let (alice, bob) = (
        account_in("alice", 0, partitions),
        account_in("bob", 0, partitions),
    );
    for account in [&alice, &bob] {
        bench.books.open(account);
        bench
            .books
            .pay(&format!("fund-{account}"), "@world", account, "100");
    }
    (bench, alice, bob)
}

fn marked(metrics: &SinkMetrics, result: &str) -> u64 {
    metrics.markers.with_label_values(&[result]).get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_does_not_match_is_passed_over() {
    let (mut bench, alice, bob) = two_accounts(1).await;
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    let accepted = bench.watermark(0).await;
    let position = bench.position("balances", 0).await;

    // A flush that loses one of its snapshots.
    bench.books.pay("lost", &alice, &bob, "5");
    bench.publish().await;
    let mut records = bench.books.owner(0).snapshots();
    assert_eq!(records.len(), 2);
    let lost = records.remove(0);
    records.push(bench.books.owner(0).marker());
    bench.write_snapshots(0, &records).await;
    until("a refusal", async || {
        (marked(&sinks.metrics, "versions") > 0).then_some(())
    })
    .await;
    assert_eq!(bench.watermark(0).await, accepted);
    assert_eq!(bench.position("balances", 0).await, position);
    let posted = "select count(*) from balances where posted = 95";
    assert_eq!(
        bench.number(posted).await,
        0,
        "S1: nothing is written ahead of its marker"
    );

    // Its owner publishes again; what was gathered still counts.
    let again = [lost, bench.books.owner(0).marker()];
    bench.write_snapshots(0, &again).await;
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;

    // A marker of an earlier command never moves the watermark back.
    let now = bench.watermark(0).await;
    let mut old: serde_json::Value = serde_json::from_slice(&again[1].1).unwrap();
    old["command_offset"] = serde_json::json!(2);
    bench
        .write_snapshots(0, &[("marker:0".to_owned(), old.to_string().into_bytes())])
        .await;
    until("another refusal", async || {
        (marked(&sinks.metrics, "older") > 0).then_some(())
    })
    .await;
    assert_eq!(bench.watermark(0).await, now);

    let unaccepted = sinks.metrics.unaccepted.with_label_values(&["0"]);
    until("nothing to wait for", async || {
        (unaccepted.get() == 0.0).then_some(())
    })
    .await;

    // Nor does one of another log, or one that cannot be read.
    let mut foreign: serde_json::Value = serde_json::from_slice(&again[1].1).unwrap();
    foreign["generation"] = serde_json::json!(uuid::Uuid::new_v4());
    for text in [foreign.to_string(), "{}".to_owned(), "\u{0}".to_owned()] {
        bench
            .write_snapshots(0, &[("marker:0".to_owned(), text.into_bytes())])
            .await;
    }
    let malformed = sinks.metrics.malformed.with_label_values(&["balances"]);
    until("three malformed", async || {
        (malformed.get() == 3).then_some(())
    })
    .await;
    assert_eq!(bench.watermark(0).await, now);
    sinks.stop().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_changes_nothing_and_is_named() {
    let (mut bench, alice, bob) = two_accounts(1).await;
    let id = BalanceId::new(balance_id(&alice));
    let old = bench.books.owner(0).snapshot(id);
    bench.books.pay("newer", &alice, &bob, "5");
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;

    // A zombie's late snapshot hides the newer record on the topic.
    let marker = bench.books.owner(0).marker();
    bench
        .write_snapshots(0, &[old.clone(), marker.clone()])
        .await;
    let keys = Keys::new(&bench.hot.redis_prefix);
    let redis = redis::Client::open(bench.hot.redis_url.as_str()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    let named: Vec<String> = until("a name in the stale set", async || {
        let mut redis = redis.clone();
        let asked = redis::cmd("SMEMBERS")
            .arg(keys.stale(0))
            .query_async(&mut redis)
            .await;
        asked.ok().filter(|names: &Vec<String>| !names.is_empty())
    })
    .await;
    assert_eq!(named, [id.to_string()]);
    let stale = sinks.metrics.stale_snapshots.with_label_values(&["0"]);
    assert_eq!(stale.get(), 1);
    assert_cold_is_the_ledger(&mut bench).await;

    // So does one that comes after a newer one, before either is in cold.
    redis::cmd("DEL")
        .arg(keys.stale(0))
        .exec_async(&mut redis)
        .await
        .unwrap();
    bench.books.pay("newest", &bob, &alice, "7");
    bench.publish().await;
    let mut records = bench.books.owner(0).snapshots();
    records.extend([old, bench.books.owner(0).marker()]);
    bench.write_snapshots(0, &records).await;
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;
    until("the name again", async || (stale.get() == 2).then_some(())).await;
    sinks.stop().await;
    bench.end().await;
}

async fn accepted(mut redis: redis::aio::MultiplexedConnection, key: String) -> Option<u64> {
    let mut ask = redis::cmd("HGET");
    ask.arg(key).arg("accepted");
    ask.query_async(&mut redis).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_learns_the_watermark_and_which_balances_are_synced() {
    let (mut bench, alice, bob) = two_accounts(1).await;
    let keys = Keys::new(&bench.hot.redis_prefix);
    let redis = redis::Client::open(bench.hot.redis_url.as_str()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    let set = |key: String, value: &'static str| redis::cmd("SET").arg(key).arg(value).clone();
    let alice = keys.balance(0, BalanceId::new(balance_id(&alice)));
    let bob = keys.balance(0, BalanceId::new(balance_id(&bob)));
    // Hot is ahead with one of them: its version is not in cold yet.
    set(alice.clone(), "2 {}")
        .exec_async(&mut redis)
        .await
        .unwrap();
    set(bob.clone(), "3 {}")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let mut claim = redis::cmd("HSET");
    claim
        .arg(keys.position(0))
        .arg("generation")
        .arg(bench.generation.to_string());
    claim
        .arg("accepted")
        .arg(1)
        .exec_async(&mut redis)
        .await
        .unwrap();

    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    let applied = bench.books.owner(0).applied();
    until("the accepted watermark in hot", async || {
        (accepted(redis.clone(), keys.position(0)).await == Some(applied)).then_some(())
    })
    .await;
    let left = |key: String| {
        let mut redis = redis.clone();
        async move {
            redis::cmd("PTTL")
                .arg(key)
                .query_async::<i64>(&mut redis)
                .await
                .unwrap()
        }
    };
    assert!(
        (1..=60_000).contains(&left(alice).await),
        "H3: synced, so it may go"
    );
    assert_eq!(left(bob).await, -1, "H3: cold does not have this version");

    // Another log's hot is left alone.
    redis::cmd("HSET")
        .arg(keys.position(0))
        .arg("generation")
        .arg("another")
        .exec_async(&mut redis)
        .await
        .unwrap();
    bench.books.open(&account_in("carol", 0, 1));
    bench.flush().await;
    bench.synced().await;
    sinks.stop().await;
    let now = accepted(redis, keys.position(0)).await;
    assert_eq!(now, Some(applied));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_marker_for_long_is_an_alarm() {
    let (mut bench, alice, bob) = two_accounts(1).await;
    bench.publish().await;
    let mut records = bench.books.owner(0).snapshots();
    let lost = records.remove(0);
    records.push(bench.books.owner(0).marker());
    bench.write_snapshots(0, &records).await;
    let mut options = options();
    options.sink_alarm_seconds = 1;
    let sinks = bench.sinks_with(options);
    until("the alarm", async || sinks.trouble("balance-sink")).await;
    let waited = sinks.metrics.unaccepted.with_label_values(&["0"]).get();
    assert!(waited > 1.0, "{waited}");
    assert_eq!(bench.watermark(0).await, None);
    bench.books.pay("more", &alice, &bob, "1");
    bench.write_snapshots(0, &[lost]).await;
    bench.flush().await;
    bench.synced().await;
    until("no alarm", async || {
        sinks.trouble("balance-sink").is_none().then_some(())
    })
    .await;
    sinks.stop().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_that_is_away_stops_nothing() {
    let (mut bench, ..) = two_accounts(1).await;
    bench.hot.redis_url = "redis://127.0.0.1:1".to_owned();
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    until("a failure counted", async || {
        (sinks.metrics.hot_failures.get() > 0).then_some(())
    })
    .await;
    let stopping = sinks.stop();
    tokio::time::timeout(Duration::from_secs(10), stopping)
        .await
        .unwrap();
    assert_cold_is_the_ledger(&mut bench).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_snapshot_is_named_though_its_marker_is_passed_over() {
    let (mut bench, alice, bob) = two_accounts(1).await;
    let id = BalanceId::new(balance_id(&alice));
    let hold = bench.books.hold("hold", &bob, &alice);
    let old = bench.books.owner(0).snapshot(id);
    let open = bench.books.owner(0).hold(hold);
    bench.books.pay("newer", &alice, &bob, "5");
    bench.books.post(hold, &bob);
    let keys = Keys::new(&bench.hot.redis_prefix);
    let redis = redis::Client::open(bench.hot.redis_url.as_str()).unwrap();
    let redis = redis.get_multiplexed_async_connection().await.unwrap();
    let mut claim = redis::cmd("HSET");
    claim
        .arg(keys.position(0))
        .arg("generation")
        .arg(bench.generation.to_string());
    claim.exec_async(&mut redis.clone()).await.unwrap();
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    let told = bench.watermark(0).await;
    until(
        "all that is to be said of the accepted marker",
        async || (accepted(redis.clone(), keys.position(0)).await == told).then_some(()),
    )
    .await;

    let (key, text) = bench.books.owner(0).marker();
    let mut marker: serde_json::Value = serde_json::from_slice(&text).unwrap();
    marker["version_sum"] = serde_json::json!(1);
    bench
        .write_snapshots(0, &[old, open, (key, marker.to_string().into_bytes())])
        .await;
    let mut named: Vec<_> = until("names in the stale set", async || {
        let mut redis = redis.clone();
        let mut ask = redis::cmd("SMEMBERS");
        ask.arg(keys.stale(0));
        let names: Vec<String> = ask.query_async(&mut redis).await.ok()?;
        let names = names.iter().filter_map(|name| parse_stale(name));
        Some(names.collect()).filter(|names: &Vec<Subject>| !names.is_empty())
    })
    .await;
    named.sort_unstable();
    assert_eq!(named, [Subject::Balance(id), Subject::Hold(hold)]);
    assert_eq!(sinks.metrics.hot_failures.get(), 0);
    assert_eq!(bench.watermark(0).await, told);
    sinks.stop().await;
    bench.end().await;
}
