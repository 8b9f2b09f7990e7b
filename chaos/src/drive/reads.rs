//! Readers: they look at balances all the time, at every ingress in turn, and note what they see.

use std::sync::Arc;
use std::time::Duration;

use load::http::{Connection, Endpoint};
use load::rng::Rng;
use serde::Deserialize;
use steelyard::telemetry::clock;
use steelyard::wire::Time;
use tokio::time::{sleep, timeout};

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
        let (node, way) = &mut ways[at];
        let known = scene.book.version(balance);
        let began_ms = clock::now_ms();
        let answer = timeout(ANSWER, way.get(&format!("/v1/balances/{balance}"))).await;
        let ended_ms = clock::now_ms();
        if let Ok(Ok(answer)) = answer {
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
        sleep(THINK).await;
    }
}
