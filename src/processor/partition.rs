//! One partition's life with one owner: take over, follow, stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Decider};
use super::finish::{Finisher, Start};
use super::fold::Fold;
use super::ports::{Inbox, World};
use super::restore::{self, Restored};
use super::standby;
use super::waits::TAKING_OVER;
use super::{Failure, Shared, ticks};
use crate::telemetry::health::State;
use crate::wire::Subject;

/// Batches that may be decided before the first of them is finished.
const AHEAD: usize = 8;

/// How long a partition is left to a later owner, unless the session is known to be another one.
const YIELD: Duration = Duration::from_secs(2);

/// Spaces takeovers that fail.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Owns the partition until `stop`: whatever ends an ownership before that is answered by a
/// takeover. Panics where an invariant is broken.
pub async fn own<W: World>(shared: Arc<Shared<W>>, inbox: W::Inbox, stop: CancellationToken) {
    let number = inbox.partition();
    let check = format!("partition-{number}");
    let mut pause = PAUSE_MIN;
    let mut said = String::new();
    let left = loop {
        let ended = tokio::select! {
            biased;
            ended = once(&shared, &inbox, &stop, &check, &mut pause) => ended,
            () = stop_without_restoring(&shared.world, &stop) => Ok(None),
        };
        match ended {
            Ok(left) => break left,
            Err(failure) => {
                let text = failure.to_string();
                if said != text {
                    tracing::warn!(
                        partition = number,
                        failure = text,
                        "the ownership ended; taking over again"
                    );
                    said.clone_from(&text);
                }
                shared
                    .metrics
                    .takeovers
                    .with_label_values(&[failure.slug()])
                    .inc();
                (shared.report)(&check, State::waiting(text));
                if matches!(failure, Failure::Rules { .. }) {
                    // Nothing changes it but another binary.
                    pause = PAUSE_MAX;
                }
                if matches!(failure, Failure::Zombie(_)) {
                    // The group will tell within a session who has the partition; claiming it
                    // back before that would only make the other owner the zombie.
                    let session_ms = shared.options.session_ms;
                    pause = session_ms.map_or(YIELD, |ms| Duration::from_millis(ms / 2));
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break None,
            () = shared.world.sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX.max(pause));
    };
    shared.standby.give_back(number, left).await;
    shared
        .metrics
        .epoch
        .remove_label_values(&[&number.to_string()])
        .ok();
    (shared.report)(&check, State::Ok);
}

/// A takeover that waits does not hold up a stop; an ownership that follows ends by itself.
async fn stop_without_restoring<W: World>(world: &W, stop: &CancellationToken) {
    stop.cancelled().await;
    world.sleep(STOP_MAX).await;
}

/// How long a stop waits for what is in flight.
const STOP_MAX: Duration = Duration::from_secs(4);

/// What it returns is for a standby: the state, where the ownership ended as it was told to.
async fn once<W: World>(
    shared: &Arc<Shared<W>>,
    inbox: &W::Inbox,
    stop: &CancellationToken,
    check: &str,
    pause: &mut Duration,
) -> Result<Option<Fold>, Failure> {
    (shared.report)(check, State::waiting(TAKING_OVER));
    inbox.pause()?;
    while inbox.next().is_some() {}
    let restored = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(None),
        restored = restore(shared, inbox) => restored?,
    };
    (shared.report)(check, State::Ok);
    *pause = PAUSE_MIN;
    let partition = inbox.partition().to_string();
    let epoch = i64::try_from(restored.epoch).unwrap_or(i64::MAX);
    shared
        .metrics
        .epoch
        .with_label_values(&[&partition])
        .set(epoch);
    let outbox = Arc::new(shared.world.outbox()?);
    let decider = Decider::new(
        shared.clone(),
        outbox.clone(),
        restored.partition,
        restored.hash,
        restored.epoch,
    );
    let (again, asked) = mpsc::channel(4);
    let start = Start {
        outbox,
        epoch: restored.epoch,
        hot: restored.hot,
        touched: restored.touched,
        accepted: restored.accepted,
        cut: restored.cut,
        position: restored.position,
    };
    let mut finisher = Finisher::new(shared, inbox.partition(), start, again);
    let (batches, decided) = mpsc::channel(AHEAD);
    shared.metrics.queue.with_label_values(&[&partition]).set(0);
    let ended = tokio::try_join!(
        decide(shared, decider, inbox, stop, asked, batches),
        finisher.run(decided, inbox)
    );
    let (decider, ()) = ended?;
    Ok(finisher.position().map(|position| decider.leave(position)))
}

async fn restore<W: World>(
    shared: &Arc<Shared<W>>,
    inbox: &W::Inbox,
) -> Result<Restored<W>, Failure> {
    let number = inbox.partition();
    let warm = standby::take(shared, number).await;
    let restored = restore::take_over(shared, number, warm).await?;
    let started = shared.world.now();
    inbox.start(restored.next).await?;
    let seconds = (shared.world.now() - started).as_secs_f64();
    let phase = shared.metrics.takeover.with_label_values(&["start"]);
    phase.observe(seconds);
    Ok(restored)
}

/// The phases that wait on nothing but arrival, until `stop`.
async fn decide<W: World>(
    shared: &Shared<W>,
    mut decider: Decider<W>,
    inbox: &W::Inbox,
    stop: &CancellationToken,
    mut asked: mpsc::Receiver<Vec<Subject>>,
    batches: mpsc::Sender<Batch>,
) -> Result<Decider<W>, Failure> {
    let partition = inbox.partition().to_string();
    let queue = shared.metrics.queue.with_label_values(&[&partition]);
    while !stop.is_cancelled() {
        decider.tick();
        // Asked first: commands that keep arriving must not put it off for ever.
        let again = asked.try_recv().ok();
        let batch = match again.and_then(|named| decider.again(&named)) {
            Some(batch) => Some(batch),
            None => decider.turn(inbox).await?,
        };
        let batch = match batch {
            Some(batch) => Some(batch),
            None => tokio::select! {
                biased;
                () = stop.cancelled() => break,
                named = asked.recv() => named.and_then(|named| decider.again(&named)),
                () = inbox.ready() => None,
                () = shared.world.sleep(ticks::EVERY), if decider.expects_ticks() => None,
            },
        };
        let Some(batch) = batch else { continue };
        let (balances, holds, references) = decider.remembered();
        let open = shared.metrics.holds.with_label_values(&[&partition]);
        open.set(holds);
        shared
            .metrics
            .balances
            .with_label_values(&[&partition])
            .set(balances);
        shared
            .metrics
            .references
            .with_label_values(&[&partition])
            .set(references);
        queue.inc();
        if batches.send(batch).await.is_err() {
            break;
        }
    }
    // Nobody else will be told the names that were taken from hot.
    asked.close();
    while let Some(named) = asked.recv().await {
        if let Some(batch) = decider.again(&named) {
            queue.inc();
            batches.send(batch).await.ok();
        }
    }
    Ok(decider)
}
