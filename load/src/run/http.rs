//! The HTTP scenarios: as many keep-alive connections as were asked for, each taking the next
//! request of the schedule when its time has come. A request that finds no free connection waits
//! for one, and its wait counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::book::{Book, FIRST_POST};
use super::mix::{Mix, Shape};
use super::options::{HOLD_COMMANDS, Scenario, Step};
use super::stage::Stage;
use crate::http::{Answer, Connection, Endpoint, Failure, Meaning};
use crate::measure::{Pacing, Track};
use crate::stop::Stop;
use crate::wire::Writer;

/// What all connections share.
struct Shared {
    endpoint: Arc<Endpoint>,
    track: Arc<Track>,
    book: Arc<Book>,
    writer: Writer,
    next: AtomicUsize,
    stop: Stop,
    patience: Duration,
    batched: bool,
    shape: Shape,
}

impl Stage {
    /// Whether anybody is at home.
    pub async fn knock(&self) -> Result<()> {
        let mut connection = Connection::new(self.options.target.http()?);
        let answer = connection.get("/livez").await;
        answer.context("the HTTP listener")?;
        Ok(())
    }

    /// Plays a track's schedule over HTTP.
    pub async fn post(&self, track: &Arc<Track>, step: Step) -> Result<()> {
        let shared = Arc::new(Shared {
            endpoint: self.options.target.http()?,
            track: track.clone(),
            book: self.book.clone(),
            writer: self.writer(track, false),
            next: AtomicUsize::new(0),
            stop: self.road.stop.clone(),
            patience: self.options.patience(),
            batched: step.scenario == Scenario::Batch,
            shape: step.load.shape,
        });
        let mut connections = JoinSet::new();
        track.start();
        for number in 0..self.options.connections(step.scenario) {
            let seed = self.options.seed ^ ((number as u64 + 1) << 32);
            let mix = Mix::new(self.book.clone(), step.load, seed);
            connections.spawn(work(shared.clone(), mix));
        }
        while let Some(ended) = connections.join_next().await {
            ended.context("a connection's task panicked")?;
        }
        Ok(())
    }
}

/// One connection's life.
async fn work(shared: Arc<Shared>, mut mix: Mix) {
    let track = &*shared.track;
    let mut connection = Connection::new(shared.endpoint.clone());
    let burst = track.schedule.burst;
    loop {
        let first = shared.next.fetch_add(burst, Ordering::Relaxed);
        if first >= track.schedule.planned || !await_turn(&shared, first).await {
            return;
        }
        if shared.shape == Shape::Hold {
            hold(&shared, first, &mut mix, &mut connection).await;
            continue;
        }
        let body = body(&shared, first, burst, &mut mix);
        for sequence in first..first + burst {
            track.send(sequence);
        }
        let path = match shared.batched {
            true => "/v1/transactions/batch",
            false => "/v1/transactions",
        };
        match connection.post(path, body).await {
            Ok(answer) => tell(&shared, first, burst, &answer),
            Err(failure) => fail(track, first, burst, &failure).await,
        }
    }
}

/// A hold, then a part of it, then all that is left; each waits for the one before.
async fn hold(shared: &Shared, first: usize, mix: &mut Mix, connection: &mut Connection) {
    let track = &*shared.track;
    let posts = format!("/v1/transactions/{}/post", shared.writer.tag.text(first));
    for step in 0..HOLD_COMMANDS {
        let (sequence, mut body) = (first + step, Vec::with_capacity(300));
        let writer = &shared.writer;
        let path = match step {
            0 => {
                let payment = (&mut *mix, shared.shape);
                shared.book.payment(writer, sequence, payment, &mut body);
                "/v1/transactions"
            }
            _ => {
                let part = (step == 1).then_some(FIRST_POST);
                writer.post(sequence, part, &mut body);
                &posts
            }
        };
        track.send(sequence);
        match connection.post(path, body.into()).await {
            Ok(answer) => tell_one(track, sequence, &answer.meaning()),
            Err(failure) => fail(track, sequence, 1, &failure).await,
        }
    }
}

/// False when the time for sending is over.
async fn await_turn(shared: &Shared, first: usize) -> bool {
    let track = &*shared.track;
    if shared.stop.is_set() {
        return false;
    }
    match track.schedule.pacing {
        Pacing::Closed { .. } => track.now() < track.schedule.measured.end,
        Pacing::Open { .. } => {
            let due = track.schedule.due(first).unwrap_or_default();
            if track.now() < due {
                sleep_until(track.moment(due).into()).await;
            }
            Duration::from_nanos(track.now().saturating_sub(due)) < shared.patience
        }
    }
}

fn body(shared: &Shared, first: usize, burst: usize, mix: &mut Mix) -> Bytes {
    let mut out = Vec::with_capacity(burst * 300);
    for sequence in first..first + burst {
        if shared.batched {
            out.push(if sequence == first { b'[' } else { b',' });
        }
        shared.book.payment(
            &shared.writer,
            sequence,
            (&mut *mix, shared.shape),
            &mut out,
        );
    }
    if shared.batched {
        out.push(b']');
    }
    out.into()
}

fn tell(shared: &Shared, first: usize, burst: usize, answer: &Answer) {
    let track = &*shared.track;
    if !shared.batched {
        return tell_one(track, first, &answer.meaning());
    }
    let meanings = answer.meanings(burst).into_iter();
    for (sequence, (meaning, _)) in (first..).zip(meanings) {
        tell_one(track, sequence, &meaning);
    }
}

fn tell_one(track: &Track, sequence: usize, meaning: &Meaning) {
    match meaning {
        Meaning::Applied | Meaning::Rejected(_) | Meaning::Pending => track.accepted(sequence),
        Meaning::Refused(why) => track.refused(sequence, why),
        Meaning::Unknown(why) => track.unknown(sequence, why),
    }
}

/// Nobody is served by knocking at a closed door as fast as possible.
const PAUSE: Duration = Duration::from_millis(100);

async fn fail(track: &Track, first: usize, burst: usize, failure: &Failure) {
    for sequence in first..first + burst {
        match failure {
            Failure::NotSent(why) => track.refused(sequence, why),
            Failure::Unanswered(why) => track.unknown(sequence, why),
        }
    }
    tokio::time::sleep(PAUSE).await;
}
