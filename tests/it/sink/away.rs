//! Postgres goes away, before the sinks start and in the midst, and comes back.

use std::time::Duration;

use super::bench::Bench;
use super::rows::{assert_cold_is_the_ledger, busy};
use crate::support::gate::Gate;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_be_away() {
    let mut bench = Bench::new(2).await;
    let url = bench.cold.database_url.clone();
    let gate = Gate::before(&url).await;
    bench.cold.database_url = gate.through(&url);

    // Away from the start: the sinks wait, as members, and say so.
    gate.shut();
    busy(&mut bench.books, 40);
    bench.flush().await;
    let sinks = bench.sinks();
    for sink in ["journal-sink", "balance-sink"] {
        let trouble = until("a word of it", async || sinks.trouble(sink)).await;
        assert!(trouble.contains("Postgres"), "{trouble}");
    }
    gate.open();
    bench.synced().await;
    for sink in ["journal-sink", "balance-sink"] {
        until("no trouble", async || {
            sinks.trouble(sink).is_none().then_some(())
        })
        .await;
    }
    assert_cold_is_the_ledger(&mut bench).await;

    // Away again and again while records arrive.
    for _ in 0..4 {
        busy(&mut bench.books, 150);
        bench.flush().await;
        gate.shut();
        busy(&mut bench.books, 50);
        bench.flush().await;
        until("a word of it", async || sinks.trouble("journal-sink")).await;
        gate.open();
        busy(&mut bench.books, 50);
        bench.flush().await;
    }
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;
    sinks.stop().await;

    // Stopped while it is away, a sink does not hang.
    gate.shut();
    let sinks = bench.sinks();
    until("a word of it", async || sinks.trouble("journal-sink")).await;
    tokio::time::timeout(Duration::from_secs(20), sinks.stop())
        .await
        .unwrap();
    bench.end().await;
}
