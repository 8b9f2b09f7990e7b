//! Several sinks share the partitions; none follows a log that is not its own.

use std::time::Instant;

use steelyard::cold::read::journaled;

use super::bench::{Bench, committed, options};
use super::rows::{assert_cold_is_the_ledger, busy};
use crate::support::{PATIENCE, until};

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_and_go() {
    let mut bench = Bench::new(4).await;
    let first = bench.sinks();
    busy(&mut bench.books, 60);
    bench.flush().await;
    bench.synced().await;

    let second = bench.sinks();
    let works = |metrics: &steelyard::sink::SinkMetrics| {
        let label = |p: u16| metrics.outcomes.with_label_values(&[&p.to_string()]).get();
        (0..4).map(label).sum::<u64>()
    };
    let begun = Instant::now();
    while works(&second.metrics) == 0 {
        assert!(begun.elapsed() < PATIENCE, "no share for the second");
        busy(&mut bench.books, 20);
        bench.flush().await;
        bench.synced().await;
    }
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;

    // One is killed in the midst, and its share is taken up.
    busy(&mut bench.books, 40);
    bench.flush().await;
    first.kill().await;
    busy(&mut bench.books, 40);
    bench.flush().await;
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;
    second.stop().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_refused() {
    let mut bench = Bench::new(1).await;
    busy(&mut bench.books, 5);
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    sinks.stop().await;
    bench.generation = uuid::Uuid::new_v4();
    let mut sinks = bench.sinks_with(options());
    let refusal = sinks.ended().await.unwrap_err().to_string();
    assert!(
        refusal.contains("cold was filled from the log"),
        "{refusal}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_what_comes_next_is_refused() {
    let mut bench = Bench::new(1).await;
    busy(&mut bench.books, 5);
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    sinks.stop().await;
    sqlx::query("update sink_positions set position = 1000000 where sink = 'journal'")
        .execute(&bench.pool)
        .await
        .unwrap();
    let mut sinks = bench.sinks();
    let refusal = format!("{:#}", sinks.ended().await.unwrap_err());
    assert!(
        refusal.contains("does not have what comes next"),
        "{refusal}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_shows_what_is_in_cold() {
    let mut bench = Bench::new(2).await;
    let sinks = bench.sinks();
    busy(&mut bench.books, 30);
    bench.flush().await;
    bench.synced().await;
    sinks.stop().await;
    for (sink, role, topic) in [
        ("journal", "journal-sink", bench.log.names.outcomes.clone()),
        (
            "balances",
            "balance-sink",
            bench.log.names.snapshots.clone(),
        ),
    ] {
        for partition in 0..2 {
            let committed = committed(&bench, role, &topic, i32::from(partition)).await;
            assert_eq!(
                Some(committed),
                bench.position(sink, partition).await,
                "{sink}"
            );
        }
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_diverges_stands_and_the_others_go_on() {
    let mut bench = Bench::new(2).await;
    busy(&mut bench.books, 10);
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    // Another history: the same log decided from the start, with one record less.
    let last = bench.books.partitions[0].applied();
    let stranger = format!(
        r#"{{"partition":0,"offset":{},"follows":{last},"prev":"{}","at":"2026-11-21T00:00:00Z",
            "status":"ignored","reason":"dead-letter"}}"#,
        last + 1,
        "7".repeat(64),
    );
    let stands = bench.position("journal", 0).await;
    bench
        .write_outcomes(0, &[("none".to_owned(), stranger.into_bytes())])
        .await;
    let trouble = until("an alarm", async || sinks.trouble("journal-sink")).await;
    assert!(trouble.contains("partition 0 stands"), "{trouble}");
    busy(&mut bench.books, 10);
    bench.publish().await;
    let applied = bench.books.partitions[1].applied();
    until("the other partition", async || {
        let found = journaled(&bench.pool, 1).await.unwrap()?;
        (found.command_offset == applied).then_some(())
    })
    .await;
    assert_eq!(bench.position("journal", 0).await, stands);
    let halted = sinks.metrics.halted.with_label_values(&["journal", "0"]);
    assert_eq!(halted.get(), 1);
    sinks.stop().await;
    bench.end().await;
}
