//! Postgres goes away, before the sinks start and in the midst, and comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::bench::Bench;
use super::rows::{assert_cold_is_the_ledger, busy};
use crate::support::until;

/// A way to Postgres that can be shut.
struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Gate {
    async fn before(url: &str) -> Self {
        let target = url
            .split('@')
            .next_back()
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = watch::channel(true);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::from(target), gate));
        Self {
            address,
            open,
            _task: task,
        }
    }
}

async fn serve(listener: TcpListener, target: Arc<str>, gate: watch::Receiver<bool>) {
    let mut passing = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let (target, mut gate) = (target.clone(), gate.clone());
        passing.spawn(async move {
            if !*gate.borrow() {
                return;
            }
            let mut server = TcpStream::connect(&*target).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = gate.wait_for(|open| !open) => {}
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_be_away() {
    let mut bench = Bench::new(2).await;
    let url = bench.cold.database_url.clone();
    let gate = Gate::before(&url).await;
    let (user, rest) = url.split_once('@').unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    bench.cold.database_url = format!("{user}@{}/{database}", gate.address);

    // Away from the start: the sinks wait, as members, and say so.
    gate.open.send_replace(false);
    busy(&mut bench.books, 40);
    bench.flush().await;
    let sinks = bench.sinks();
    for sink in ["journal-sink", "balance-sink"] {
        let trouble = until("a word of it", async || sinks.trouble(sink)).await;
        assert!(trouble.contains("Postgres"), "{trouble}");
    }
    gate.open.send_replace(true);
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
        gate.open.send_replace(false);
        busy(&mut bench.books, 50);
        bench.flush().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        gate.open.send_replace(true);
        busy(&mut bench.books, 50);
        bench.flush().await;
    }
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;
    sinks.stop().await;

    // Stopped while it is away, a sink does not hang.
    gate.open.send_replace(false);
    let sinks = bench.sinks();
    until("a word of it", async || sinks.trouble("journal-sink")).await;
    tokio::time::timeout(Duration::from_secs(20), sinks.stop())
        .await
        .unwrap();
    bench.end().await;
}
