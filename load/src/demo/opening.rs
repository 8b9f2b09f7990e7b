//! Before the day: accounts are opened, half over HTTP and half from Kafka, the morning's money
//! comes in from the world, and a few cards are reported lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use tokio::task::JoinSet;

use super::cast::Cast;
use crate::account::{ASSET, Account};
use crate::http::{Connection, Endpoint};
use crate::kafka::{Road, Route};
use crate::measure::{Schedule, Track};
use crate::reference::Tag;
use crate::wire::{Posting, Writer};

/// Commands unanswered at a time.
const WINDOW: usize = 2_000;

pub async fn open(
    road: &Road,
    endpoint: &Arc<Endpoint>,
    cast: &Arc<Cast>,
    connections: usize,
) -> Result<()> {
    let half = cast.opened().len() / 2;
    let (by_http, by_kafka) = tokio::join!(
        open_by_http(endpoint, cast, (half, connections)),
        open_by_kafka(road, cast, half),
    );
    by_http?;
    by_kafka?;
    fund(road, cast).await?;
    freeze(road, cast).await
}

/// Opens the first `count` accounts.
async fn open_by_http(
    endpoint: &Arc<Endpoint>,
    cast: &Arc<Cast>,
    (count, connections): (usize, usize),
) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut working = JoinSet::new();
    for _ in 0..connections {
        let (next, cast) = (next.clone(), cast.clone());
        let mut connection = Connection::new(endpoint.clone());
        working.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(());
                }
                post_balance(&mut connection, &cast, &cast.accounts[index]).await?;
            }
        });
    }
    while let Some(ended) = working.join_next().await {
        ended.context("a client's task panicked")??;
    }
    Ok(())
}

async fn post_balance(connection: &mut Connection, cast: &Cast, account: &Account) -> Result<()> {
    let (ledger, name) = (&cast.ledger.name, &account.name);
    let body = format!(r#"{{"ledger":"{ledger}","account":"{name}","asset":"{ASSET}"}}"#);
    let answer = connection.post("/v1/balances", body.into()).await?;
    ensure!(
        answer.status == StatusCode::CREATED,
        "opening {name} over HTTP: {} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(())
}

async fn open_by_kafka(road: &Road, cast: &Arc<Cast>, first: usize) -> Result<()> {
    let count = cast.opened().len() - first;
    let playing = cast.clone();
    all(road, cast, ("open", count), move |writer, number, out| {
        let account = &playing.accounts[first + number];
        writer.open(number, &account.name, out);
        Route::to(account)
    })
    .await
}

async fn fund(road: &Road, cast: &Arc<Cast>) -> Result<()> {
    let funded = (0..cast.opened().len()).filter(|index| cast.morning(*index) > 0);
    let funded: Vec<_> = funded.collect();
    let playing = cast.clone();
    let count = funded.len();
    all(road, cast, ("fund", count), move |writer, number, out| {
        let posting = Posting {
            source: &playing.world.key,
            destination: &playing.accounts[funded[number]].key,
            minor: playing.morning(funded[number]),
        };
        writer.transfer(number, &[posting], out);
        Route::to(&playing.accounts[funded[number]])
    })
    .await
}

async fn freeze(road: &Road, cast: &Arc<Cast>) -> Result<()> {
    let playing = cast.clone();
    let count = cast.frozen.len();
    all(road, cast, ("freeze", count), move |writer, number, out| {
        let account = &playing.accounts[playing.frozen.start + number];
        writer.freeze(number, &account.key, out);
        Route::to(account)
    })
    .await
}

/// Sends so many commands from Kafka; all must be applied.
async fn all(
    road: &Road,
    cast: &Cast,
    (what, count): (&str, usize),
    write: impl Fn(&Writer, usize, &mut Vec<u8>) -> Route + Send + 'static,
) -> Result<()> {
    let tag = Tag::new(format!("{}.{what}", cast.ledger.name));
    let track = Arc::new(Track::new(tag.clone(), Schedule::all(WINDOW, count)));
    let writer = Writer {
        tag,
        ledger: cast.ledger.name.clone(),
        typed: true,
    };
    let tail = road.settle(&track)?;
    let write = move |number: usize, out: &mut Vec<u8>| write(&writer, number, out);
    road.send(&track, &road.topics.commands, write).await?;
    road.await_complete(&track).await?;
    tail.finish()?;
    let account = track.account();
    ensure!(
        account.applied == count as u64,
        "{what} {count} balances: {} applied, {} lost, rejected {:?}, refused {:?}",
        account.applied,
        account.lost,
        account.rejected,
        account.refusals
    );
    Ok(())
}
