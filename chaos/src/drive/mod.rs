//! Load by the rules of bad luck: everybody sends twice, asks elsewhere, and remembers everything.

pub mod book;
pub mod cast;
mod holds;
mod http;
pub mod kafka;
mod reads;
mod reversals;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use load::http::{Connection, Endpoint};
use load::rng::Rng;
use load::stop::Stop;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::book::{Book, Told, Verdict};
use self::cast::Cast;
use self::http::Client;
use self::kafka::Producer;
use crate::fleet::Fleet;
use crate::node::Role;
use crate::wait;
use crate::world::World;

/// How long clients may take to get their last answers after everything is healed.
pub const LAST_ANSWERS: Duration = Duration::from_secs(90);

/// What all players share.
#[derive(Debug)]
pub struct Scene {
    pub cast: Cast,
    pub book: Book,
    /// No new orders.
    pub stop: Stop,
    /// No more attempts either.
    pub over: Stop,
    /// Whether the program knows reversals: what a rolling upgrade begins with may be too old.
    pub reversals: bool,
    /// How long a client thinks between two orders.
    pub think: Duration,
}

/// How much is played.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub accounts: usize,
    pub clients: usize,
    pub think: Duration,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            accounts: 24,
            clients: 6,
            think: Duration::from_millis(40),
        }
    }
}

/// The load as it runs.
#[derive(Debug)]
pub struct Drive {
    pub scene: Arc<Scene>,
    players: JoinSet<()>,
}

impl Drive {
    /// Opens and funds the accounts, then lets everybody play.
    pub async fn start(
        world: &World,
        fleet: &mut Fleet,
        size: Size,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut ingresses = Vec::new();
        for node in fleet.of(Role::Ingress) {
            ingresses.push((node.name.clone(), node.endpoint()?));
        }
        ensure!(!ingresses.is_empty(), "there is no ingress");
        let scene = Arc::new(Scene {
            reversals: knows_reversals(&ingresses[0].1).await?,
            cast: Cast::new(size.accounts, world.partitions),
            book: Book::default(),
            stop: Stop::default(),
            over: Stop::default(),
            think: size.think,
        });
        kafka::make_answers(world).await?;
        let producer = Producer::new(world, &scene, rng.draw()).await?;
        let (twice, orders) = mpsc::unbounded_channel();
        open(&scene, &producer, &ingresses, twice.clone()).await?;
        let mut players = JoinSet::new();
        players.spawn(producer.run(orders));
        for number in 0..size.clients {
            let client = Client::new(&scene, number, rng.draw(), &ingresses, twice.clone());
            players.spawn(client.run());
        }
        for _ in 0..2 {
            let reading = reads::read(scene.clone(), ingresses.clone(), rng.draw());
            players.spawn(reading);
        }
        Ok(Self { scene, players })
    }

    /// How many final answers there are so far.
    pub fn answered(&self) -> usize {
        self.scene.book.write().finals.len()
    }

    /// Lets everybody get their last answers; what they were told.
    pub async fn finish(&mut self) -> Result<Told> {
        self.scene.stop.set();
        let last = async { while self.players.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS, last).await.is_err() {
            self.scene.over.set();
            let late = async { while self.players.join_next().await.is_some() {} };
            let late = tokio::time::timeout(Duration::from_secs(20), late).await;
            ensure!(late.is_ok(), "clients do not come to an end");
        }
        Ok(self.scene.book.take())
    }
}

/// Whether the contract that a node serves has reversals.
async fn knows_reversals(ingress: &Arc<Endpoint>) -> Result<bool> {
    let contract = Connection::new(ingress.clone()).get("/openapi.json").await;
    let contract = contract.context("no contract")?;
    let path = b"/v1/transactions/{reference}/reverse";
    Ok(contract.body.windows(path.len()).any(|it| it == path))
}

/// Opens all accounts over Kafka, and brings money in over HTTP.
async fn open(
    scene: &Arc<Scene>,
    producer: &Producer,
    ingresses: &[(String, Arc<Endpoint>)],
    twice: mpsc::UnboundedSender<cast::Order>,
) -> Result<()> {
    let cast = &scene.cast;
    let world = cast.ledger.world();
    let openings: Vec<_> = cast.accounts.iter().map(|it| cast.open(it)).collect();
    let sent = openings.iter().map(|order| producer.deliver(order));
    futures::future::join_all(sent).await;
    let mut way = Connection::new(ingresses[0].1.clone());
    for account in &cast.accounts {
        let path = format!("/v1/balances/{}", account.id);
        let what = format!("{} to be open", account.name);
        let open = async || {
            let answer = way.get(&path).await.ok()?;
            (answer.status.as_u16() == 200).then_some(())
        };
        wait::until(&what, Duration::from_secs(60), open).await?;
    }
    let mut client = Client::new(scene, 0, 0, ingresses, twice);
    for account in &cast.accounts {
        let answered = client.settle(&cast.fund(account)).await;
        let verdict = answered.map(|answered| answered.verdict);
        let name = &account.name;
        ensure!(
            verdict == Some(Verdict::Applied),
            "{name} got no money from {}: {verdict:?}",
            world.name
        );
    }
    Ok(())
}
