//! Clients over HTTP: they send until they have a final answer, to whichever ingress answers, and
//! some send again, or something else under the same reference.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use load::http::{Answer, Connection, Endpoint, Meaning};
use load::rng::Rng;
use serde::Deserialize;
use steelyard::telemetry::clock;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Scene;
use super::book::{Final, Shown, Verdict};
use super::cast::{LEDGER, Order};

/// How long a client waits for one answer before it asks elsewhere.
const ANSWER: Duration = Duration::from_secs(8);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(150);
/// Questions after a 202, before the command is sent again.
const QUESTIONS: usize = 20;

/// One client: its connections to every ingress.
pub struct Client {
    scene: Arc<Scene>,
    number: usize,
    rng: Rng,
    ways: Vec<(String, Connection)>,
    at: usize,
    /// Orders that are to be sent over Kafka as well.
    twice: mpsc::UnboundedSender<Order>,
}

/// The members of an answer that are looked at.
#[derive(Debug, Deserialize)]
struct View {
    transaction_id: Option<Uuid>,
    #[serde(default)]
    entries: Vec<EntryView>,
}

#[derive(Debug, Deserialize)]
struct EntryView {
    balance: Uuid,
    version: u64,
    posted: String,
}

impl Client {
    pub fn new(
        scene: &Arc<Scene>,
        number: usize,
        seed: u64,
        ingresses: &[(String, Arc<Endpoint>)],
        twice: mpsc::UnboundedSender<Order>,
    ) -> Self {
        let ways = ingresses.iter();
        let ways = ways.map(|(name, at)| (name.clone(), Connection::new(at.clone())));
        Self {
            scene: scene.clone(),
            number,
            rng: Rng::new(seed),
            ways: ways.collect(),
            at: number % ingresses.len().max(1),
            twice,
        }
    }

    /// Pays until everybody stops.
    pub async fn run(mut self) {
        for n in 0.. {
            if self.scene.stop.is_set() {
                return;
            }
            self.at = self.rng.below(self.ways.len());
            let reference = format!("h{}-{n}", self.number);
            let scene = self.scene.clone();
            let order = scene.cast.payment(reference, &scene.book, &mut self.rng);
            // Both roads at once: the partition has to tell them apart.
            if self.rng.chance(0.05) {
                self.twice.send(order.clone()).ok();
            }
            self.settle(&order).await;
            if self.rng.chance(0.1) {
                self.settle(&order).await;
            }
            if self.rng.chance(0.03) {
                self.settle(&order.altered()).await;
            }
            if self.rng.chance(0.05) {
                self.look_up(&order).await;
            }
            sleep(self.scene.think).await;
        }
    }

    /// Sends until there is a final answer; gives up at the end of the run's patience.
    pub async fn settle(&mut self, order: &Order) -> Option<Verdict> {
        let body = Bytes::from(order.body.clone());
        while !self.scene.over.is_set() {
            let began_ms = clock::now_ms();
            let answer = self.ask(Some(body.clone()), "/v1/transactions").await;
            match answer.as_ref().map(|answer| (answer.meaning(), answer)) {
                Some((Meaning::Applied, answer)) => {
                    return Some(self.told(order, Verdict::Applied, answer, began_ms, "http"));
                }
                Some((Meaning::Rejected(slug), answer)) => {
                    let verdict = Verdict::Rejected(slug);
                    return Some(self.told(order, verdict, answer, began_ms, "http"));
                }
                Some((Meaning::Pending, _)) => {
                    let accepted = (order.reference.clone(), order.fingerprint);
                    self.scene.book.write().accepted.push(accepted);
                    for _ in 0..QUESTIONS {
                        if let Some(verdict) = self.look_up(order).await {
                            return Some(verdict);
                        }
                        sleep(PAUSE).await;
                    }
                }
                Some((Meaning::Refused(_) | Meaning::Unknown(_), _)) | None => {}
            }
            self.scene.book.write().retries += 1;
            self.at = (self.at + 1) % self.ways.len();
            sleep(PAUSE).await;
        }
        let unanswered = order.reference.clone();
        self.scene.book.write().unanswered.push(unanswered);
        None
    }

    /// Asks what became of a reference. What is said of it is of the content decided first.
    async fn look_up(&mut self, order: &Order) -> Option<Verdict> {
        let path = format!("/v1/transactions/{}?ledger={LEDGER}", order.reference);
        let began_ms = clock::now_ms();
        let answer = self.ask(None, &path).await?;
        let verdict = match answer.meaning() {
            Meaning::Applied => Verdict::Applied,
            Meaning::Rejected(slug) => Verdict::Rejected(slug),
            Meaning::Pending | Meaning::Refused(_) | Meaning::Unknown(_) => return None,
        };
        Some(self.told(order, verdict, &answer, began_ms, "get"))
    }

    fn told(
        &self,
        order: &Order,
        verdict: Verdict,
        answer: &Answer,
        began_ms: i64,
        road: &'static str,
    ) -> Verdict {
        let ended_ms = clock::now_ms();
        let view: Option<View> = serde_json::from_slice(&answer.body).ok();
        let transaction = view.as_ref().and_then(|view| view.transaction_id);
        for entry in view.into_iter().flat_map(|view| view.entries) {
            self.scene.book.show(Shown {
                balance: entry.balance,
                version: entry.version,
                posted: entry.posted,
                source: "answer".to_owned(),
                as_of_ms: None,
                began_ms,
                ended_ms,
                node: self.ways[self.at].0.clone(),
            });
        }
        self.scene.book.write().finals.push(Final {
            reference: order.reference.clone(),
            fingerprint: order.fingerprint,
            verdict: verdict.clone(),
            transaction,
            road,
        });
        verdict
    }

    /// One question to the ingress in turn; nothing if it does not answer in time.
    async fn ask(&mut self, body: Option<Bytes>, path: &str) -> Option<Answer> {
        let (_, way) = &mut self.ways[self.at];
        let asked = async {
            match body {
                Some(body) => way.post(path, body).await,
                None => way.get(path).await,
            }
        };
        timeout(ANSWER, asked).await.ok()?.ok()
    }
}
