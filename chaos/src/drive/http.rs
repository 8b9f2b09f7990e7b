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
use super::holds::Hold;

/// How long a client waits for one answer before it asks elsewhere.
const ANSWER: Duration = Duration::from_secs(8);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(150);
/// Questions after a 202, before the command is sent again.
const QUESTIONS: usize = 20;
/// How often a client asks for a reversal whose original is not known to be decided yet.
const REFUSALS: usize = 40;

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
    status: String,
    transaction_id: Option<Uuid>,
    #[serde(default)]
    entries: Vec<EntryView>,
}

#[derive(Debug, Deserialize)]
struct EntryView {
    balance: Uuid,
    version: u64,
    posted: String,
    held: String,
    incoming: String,
}

/// A final answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub verdict: Verdict,
    transaction: Option<Uuid>,
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

    /// Pays and holds until everybody stops.
    pub async fn run(mut self) {
        for n in 0.. {
            if self.scene.stop.is_set() {
                return;
            }
            let reference = format!("h{}-{n}", self.number);
            let scene = self.scene.clone();
            if self.rng.chance(0.2) {
                let hold = scene.cast.hold(reference, &mut self.rng);
                self.hold(hold).await;
            } else {
                let order = scene.cast.payment(reference, &scene.book, &mut self.rng);
                let made = self.play(&order).await;
                if let Some(id) = made.and_then(|answered| answered.transaction)
                    && self.rng.chance(0.2)
                {
                    self.reverse(&order, id).await;
                }
            }
            sleep(self.scene.think).await;
        }
    }

    /// One order, by the rules of bad luck.
    async fn play(&mut self, order: &Order) -> Option<Answered> {
        self.at = self.rng.below(self.ways.len());
        // Both roads at once: the partition has to tell them apart.
        if self.rng.chance(0.05) {
            self.twice.send(order.clone()).ok();
        }
        let answered = self.settle(order).await;
        if self.rng.chance(0.1) {
            self.settle(order).await;
        }
        if self.rng.chance(0.03) {
            self.settle(&order.altered()).await;
        }
        if self.rng.chance(0.05) {
            self.look_up(order).await;
        }
        answered
    }

    /// A hold, and what somebody makes of it once it is made.
    async fn hold(&mut self, hold: Hold) {
        let scene = self.scene.clone();
        let made = self.play(&hold.order).await;
        let made = made.filter(|answered| answered.verdict == Verdict::Held);
        let Some(id) = made.and_then(|answered| answered.transaction) else {
            return;
        };
        for n in 0..self.rng.below(4) {
            let reference = format!("{}-{n}", hold.order.reference);
            let order = scene.cast.on_hold(reference, &hold, id, &mut self.rng);
            let answered = self.play(&order).await;
            let verdict = answered.map(|answered| answered.verdict);
            if verdict == Some(Verdict::Rejected("hold-pending".to_owned())) {
                let premature = hold.order.reference.clone();
                scene.book.write().premature.push(premature);
            }
            // Some are let go too late on purpose.
            if self.rng.chance(0.2) {
                sleep(Duration::from_millis(self.rng.between(200, 2_000))).await;
            }
        }
        if self.rng.chance(0.3) {
            self.reverse(&hold.order, id).await;
        }
    }

    /// Takes an order back, up to three times, whether something is left of it or not.
    async fn reverse(&mut self, original: &Order, id: Uuid) {
        let scene = self.scene.clone();
        if !scene.reversals {
            return;
        }
        for n in 0..self.rng.between(1, 3) {
            let reference = format!("{}-r{n}", original.reference);
            let order = scene.cast.reversal(reference, original, id, &mut self.rng);
            self.play(&order).await;
        }
    }

    /// Sends until there is a final answer; gives up at the end of the run's patience.
    pub async fn settle(&mut self, order: &Order) -> Option<Answered> {
        let (path, body) = order.request();
        let body = Bytes::from(body);
        let mut refusals = 0;
        while !self.scene.over.is_set() {
            let began_ms = clock::now_ms();
            let answer = self.ask(Some(body.clone()), path).await;
            match answer.as_ref().map(|answer| (answer.meaning(), answer)) {
                Some((meaning @ (Meaning::Applied | Meaning::Rejected(_)), answer)) => {
                    return Some(self.told(order, meaning, answer, began_ms, "http"));
                }
                Some((Meaning::Pending, _)) => {
                    let accepted = (order.reference.clone(), order.fingerprint);
                    self.scene.book.write().accepted.push(accepted);
                    for _ in 0..QUESTIONS {
                        if let Some(answered) = self.look_up(order).await {
                            return Some(answered);
                        }
                        sleep(PAUSE).await;
                    }
                }
                // Whoever takes something back can leave it as long as nothing was accepted.
                Some((Meaning::Refused(_), _)) if order.is_reversal() => {
                    refusals += 1;
                    if refusals > REFUSALS {
                        return None;
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
    async fn look_up(&mut self, order: &Order) -> Option<Answered> {
        let path = format!("/v1/transactions/{}?ledger={LEDGER}", order.reference);
        let began_ms = clock::now_ms();
        let answer = self.ask(None, &path).await?;
        match answer.meaning() {
            meaning @ (Meaning::Applied | Meaning::Rejected(_)) => {
                Some(self.told(order, meaning, &answer, began_ms, "get"))
            }
            Meaning::Pending | Meaning::Refused(_) | Meaning::Unknown(_) => None,
        }
    }

    fn told(
        &self,
        order: &Order,
        meaning: Meaning,
        answer: &Answer,
        began_ms: i64,
        road: &'static str,
    ) -> Answered {
        let ended_ms = clock::now_ms();
        let view: Option<View> = serde_json::from_slice(&answer.body).ok();
        let verdict = match (meaning, &view) {
            (Meaning::Rejected(slug), _) => Verdict::Rejected(slug),
            (_, Some(view)) => Verdict::of(&view.status, None),
            (_, None) => Verdict::Strange("no transaction".to_owned()),
        };
        let transaction = view.as_ref().and_then(|view| view.transaction_id);
        for entry in view.into_iter().flat_map(|view| view.entries) {
            self.scene.book.show(Shown {
                balance: entry.balance,
                version: entry.version,
                amounts: [entry.posted, entry.held, entry.incoming],
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
        Answered {
            verdict,
            transaction,
        }
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
