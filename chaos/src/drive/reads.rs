//! Readers: they look at balances all the time, at every ingress in turn, and note what they see.

use std::sync::Arc;
use std::time::Duration;

use load::http::{Connection, Endpoint};
use load::rng::Rng;
use serde::Deserialize;
use steelyard::telemetry::clock;
use steelyard::wire::Time;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Scene;
use super::book::Shown;

const ANSWER: Duration = Duration::from_secs(3);
const THINK: Duration = Duration::from_millis(15);

#[derive(Debug, Deserialize)]
struct View {
    version: u64,
    posted: String,
    held: String,
    incoming: String,
    source: String,
    as_of: Option<Time>,
}

/// A balance and its open holds, as of one moment.
#[derive(Debug, Deserialize)]
struct HoldsView {
    balance: View,
    holds: Vec<HoldView>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct HoldView {
    postings: Vec<PartView>,
}

#[derive(Debug, Deserialize)]
struct PartView {
    source: Uuid,
    rest: String,
}

/// Reads until everybody stops.
pub async fn read(scene: Arc<Scene>, ingresses: Vec<(String, Arc<Endpoint>)>, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut ways: Vec<(String, Connection)> = ingresses
        .into_iter()
        .map(|(name, at)| (name, Connection::new(at)))
        .collect();
    while !scene.stop.is_set() {
        let balance = scene.cast.draw(&mut rng).id;
        let at = rng.below(ways.len());
        match rng.chance(0.1) {
            true => holds(&scene, balance, &mut ways[at]).await,
            false => one(&scene, balance, &mut ways[at]).await,
        }
        sleep(THINK).await;
    }
}

async fn one(scene: &Scene, balance: Uuid, (node, way): &mut (String, Connection)) {
    let known = scene.book.version(balance);
    let began_ms = clock::now_ms();
    let answer = timeout(ANSWER, way.get(&format!("/v1/balances/{balance}"))).await;
    let ended_ms = clock::now_ms();
    let Ok(Ok(answer)) = answer else {
        return;
    };
    if answer.status.as_u16() == 404 && known.is_some() {
        let what = format!("{balance} at {node}, after version {known:?} was shown");
        scene.book.write().denied.push(what);
    }
    let view = serde_json::from_slice::<View>(&answer.body);
    if let (200, Ok(view)) = (answer.status.as_u16(), view) {
        scene.book.show(Shown {
            balance,
            version: view.version,
            amounts: [view.posted, view.held, view.incoming],
            source: view.source,
            as_of_ms: view.as_of.map(|as_of| as_of.0),
            began_ms,
            ended_ms,
            node: node.clone(),
        });
    }
}

/// What is held on a balance is what its open holds have left there, at every moment.
async fn holds(scene: &Scene, balance: Uuid, (node, way): &mut (String, Connection)) {
    let path = format!("/v1/balances/{balance}/holds?limit=1000");
    let Ok(Ok(answer)) = timeout(ANSWER, way.get(&path)).await else {
        return;
    };
    let Ok(view) = serde_json::from_slice::<HoldsView>(&answer.body) else {
        return;
    };
    let postings = view.holds.iter().flat_map(|hold| &hold.postings);
    let ours = postings.filter(|part| part.source == balance);
    let rests: Option<i64> = ours.map(|part| cents(&part.rest)).sum();
    if !view.has_more && rests != cents(&view.balance.held) {
        let text = String::from_utf8_lossy(&answer.body);
        let what = format!("{balance} at {node}: {text}");
        scene.book.write().unexplained.push(what);
    }
}

fn cents(text: &str) -> Option<i64> {
    text.replace('.', "").parse().ok()
}
