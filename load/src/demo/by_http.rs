//! The half of the day that arrives over HTTP: most of it one by one, some in batches, from
//! clients that do what clients should: ask again under the same reference when told to.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::half::Half;
use crate::http::{Answer, Connection, Endpoint, Failure, Meaning};
use crate::stop::Stop;

/// Of every so many payments, the last [`BATCH`] are one batch.
const ROUND: usize = 500;
const BATCH: usize = 100;
/// Times that an unwelcome answer is tried again.
const TRIES: u32 = 20;
/// Between two tries, where the answer does not say.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two questions about a transaction that is pending, and how many there are.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const QUESTIONS: u32 = 600;

pub struct Clients {
    endpoint: Arc<Endpoint>,
    half: Arc<Half>,
    stop: Stop,
    next: AtomicUsize,
    /// Requests sent again, or sent alone after their batch left them open.
    pub retries: AtomicU64,
    /// Payments that were sent in batches.
    pub batched: AtomicU64,
}

impl Clients {
    pub fn new(endpoint: Arc<Endpoint>, half: Arc<Half>, stop: Stop) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            half,
            stop,
            next: AtomicUsize::new(0),
            retries: AtomicU64::new(0),
            batched: AtomicU64::new(0),
        })
    }

    /// Plays the half to its end.
    pub async fn play(self: &Arc<Self>, connections: usize) -> Result<()> {
        self.half.track.start();
        let mut working = JoinSet::new();
        for _ in 0..connections {
            working.spawn(work(self.clone()));
        }
        while let Some(ended) = working.join_next().await {
            ended.context("a client's task panicked")?;
        }
        self.stop.check()
    }

    fn settle(&self, attempt: usize, meaning: &Meaning, replayed: bool) {
        let track = &self.half.track;
        match meaning {
            Meaning::Refused(why) => return track.refused(attempt, why),
            Meaning::Unknown(why) => return track.unknown(attempt, why),
            Meaning::Pending => return track.unknown(attempt, "pending"),
            Meaning::Applied | Meaning::Rejected(_) => track.accepted(attempt),
        }
        if let Some(verdict) = meaning.verdict() {
            track.settled(attempt, verdict, replayed);
        }
    }
}

async fn work(clients: Arc<Clients>) {
    let mut connection = Connection::new(clients.endpoint.clone());
    let attempts = clients.half.payments.len();
    while !clients.stop.is_set() {
        let ticket = clients.next.fetch_add(1, Ordering::Relaxed);
        let Some(job) = job(ticket, attempts) else {
            return;
        };
        for attempt in job.clone() {
            clients.half.track.send(attempt);
        }
        match job.len() {
            1 => single(&clients, &mut connection, job.start, 0).await,
            _ => batch(&clients, &mut connection, job).await,
        }
    }
}

/// The attempts of the job at `ticket`: one, or a batch.
fn job(ticket: usize, attempts: usize) -> Option<Range<usize>> {
    let jobs_a_round = ROUND - BATCH + 1;
    let (round, within) = (ticket / jobs_a_round, ticket % jobs_a_round);
    let first = round * ROUND + within;
    let count = if within + 1 == jobs_a_round { BATCH } else { 1 };
    (first < attempts).then(|| first..(first + count).min(attempts))
}

/// Posts one payment until it is decided; `tried` tells how often it was sent before.
async fn single(clients: &Clients, connection: &mut Connection, attempt: usize, tried: u32) {
    let mut body = Vec::with_capacity(512);
    clients.half.write(attempt, &mut body);
    let body = bytes::Bytes::from(body);
    let mut meaning = Meaning::Pending;
    for tried in tried..TRIES {
        if tried > 0 {
            clients.retries.fetch_add(1, Ordering::Relaxed);
        }
        let answered = connection.post("/v1/transactions", body.clone()).await;
        meaning = understand(&answered);
        if let (Meaning::Pending, Ok(answer)) = (&meaning, &answered) {
            meaning = follow(clients, connection, answer, attempt).await;
        }
        if meaning.verdict().is_some() {
            // A client's own retry is no repeat to him: he never saw the first answer.
            let replayed = answered.is_ok_and(|answer| answer.replayed);
            return clients.settle(attempt, &meaning, replayed && tried == 0);
        }
        let told = answered.ok().and_then(|answer| answer.retry_after);
        sleep(told.unwrap_or(PAUSE)).await;
    }
    clients.settle(attempt, &meaning, false);
}

fn understand(answered: &Result<Answer, Failure>) -> Meaning {
    match answered {
        Ok(answer) => answer.meaning(),
        Err(failure) => Meaning::Unknown(failure.to_string()),
    }
}

/// Asks where the answer said to ask, until there is a decision.
async fn follow(
    clients: &Clients,
    connection: &mut Connection,
    answer: &Answer,
    attempt: usize,
) -> Meaning {
    let (half, ledger) = (&clients.half, &clients.half.cast.ledger.name);
    let usual = || {
        let reference = half.reference(attempt);
        format!("/v1/transactions/{reference}?ledger={ledger}")
    };
    let path = answer.location.clone().unwrap_or_else(usual);
    for _ in 0..QUESTIONS {
        sleep(ASK_AGAIN).await;
        let meaning = understand(&connection.get(&path).await);
        if meaning.verdict().is_some() || clients.stop.is_set() {
            return meaning;
        }
    }
    Meaning::Pending
}

async fn batch(clients: &Clients, connection: &mut Connection, job: Range<usize>) {
    let mut body = Vec::with_capacity(job.len() * 300);
    for attempt in job.clone() {
        body.push(if attempt == job.start { b'[' } else { b',' });
        clients.half.write(attempt, &mut body);
    }
    body.push(b']');
    let count = job.len();
    clients.batched.fetch_add(count as u64, Ordering::Relaxed);
    let answered = connection.post("/v1/transactions/batch", body.into());
    let meanings = match answered.await {
        Ok(answer) => answer.meanings(count),
        Err(failure) => vec![(Meaning::Unknown(failure.to_string()), false); count],
    };
    for (attempt, (meaning, replayed)) in job.zip(meanings) {
        match meaning.verdict() {
            Some(_) => clients.settle(attempt, &meaning, replayed),
            None => single(clients, connection, attempt, 1).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_cover_every_attempt_once() {
        for attempts in [0, 1, 399, 400, 401, 450, 500, 501, 1_777] {
            let jobs: Vec<_> = (0..).map_while(|ticket| job(ticket, attempts)).collect();
            let covered: Vec<_> = jobs.into_iter().flatten().collect();
            assert_eq!(covered, (0..attempts).collect::<Vec<_>>(), "{attempts}");
        }
    }
}
