//! Publish, store, answer: the phases that wait, for one batch after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::message::{Header, OwnedHeaders};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::batch::{Batch, Reply, Touched};
use super::flush::{self, Books, Flush};
use super::hot::{Hot, Visit};
use super::ports::{Inbox, Outbox, World};
use super::waits::{self, For};
use super::{Failure, Shared, restore};
use crate::ledger::{Cut, PartitionId};
use crate::log::producer::{Acks, Append, AppendFailed};
use crate::telemetry::failpoint::{self, Point};
use crate::wire::leg;
use crate::wire::record::CORRELATION_HEADER;
use crate::wire::{LegRecord, Subject};

/// How often an idle owner looks whether hot is still its own.
const BEAT: Duration = Duration::from_secs(1);

/// The later phases of one ownership.
pub(super) struct Finisher<W: World> {
    shared: Arc<Shared<W>>,
    outbox: Arc<W::Outbox>,
    partition: PartitionId,
    epoch: u64,
    hot: Hot<W>,
    books: Books,
    /// The last finished cut, and where its outcome is.
    cut: Option<Cut>,
    position: u64,
    /// The cut that the last marker was for.
    flushed: Option<u64>,
    legs: Vec<Arc<Acks>>,
    replies: Arc<Acks>,
    again: mpsc::Sender<Vec<Subject>>,
    last_visit: Instant,
    reclaim: Option<Reclaim>,
}

/// A new claim on hot, before it is installed.
struct Reclaim {
    epoch: u64,
    /// The last command that anybody had decided at the claim, if later than ours then.
    decided: Option<u64>,
}

/// Where an ownership starts.
pub(super) struct Start<W: World> {
    /// The one producer of this ownership: what failed in it is followed by nothing.
    pub(super) outbox: Arc<W::Outbox>,
    pub(super) epoch: u64,
    pub(super) hot: Hot<W>,
    pub(super) touched: Vec<Touched>,
    pub(super) accepted: Option<u64>,
    pub(super) cut: Option<Cut>,
    pub(super) position: u64,
}

type Flushing = BoxFuture<'static, Result<u64, AppendFailed>>;

impl<W: World> Finisher<W> {
    /// `again` asks the decider for the present state of balances and holds.
    pub(super) fn new(
        shared: &Arc<Shared<W>>,
        partition: PartitionId,
        start: Start<W>,
        again: mpsc::Sender<Vec<Subject>>,
    ) -> Self {
        let now = shared.world.now();
        Self {
            shared: shared.clone(),
            outbox: start.outbox,
            partition,
            epoch: start.epoch,
            hot: start.hot,
            books: Books::new(start.touched, start.accepted, now),
            cut: start.cut,
            position: start.position,
            flushed: None,
            legs: Vec::new(),
            replies: Acks::open(),
            again,
            last_visit: now,
            reclaim: None,
        }
    }

    /// Finishes batches until the decider ends, then flushes what is left.
    pub(super) async fn run(
        &mut self,
        mut batches: mpsc::Receiver<Batch>,
        inbox: &W::Inbox,
    ) -> Result<(), Failure> {
        let world = &self.shared.clone().world;
        let (mut flush_at, mut beat_at) = (world.now(), world.now());
        let mut flushing: Option<Flushing> = None;
        loop {
            let idle = flushing.is_none();
            // What is due by time comes first: batches that keep coming must not put it off.
            tokio::select! {
                biased;
                flushed = async { flushing.as_mut().expect("guarded").await }, if !idle => {
                    flushing = None;
                    inbox.commit(flushed? + 1);
                }
                () = due(world, flush_at), if idle => {
                    flushing = self.flush();
                    flush_at = world.now() + self.shared.flush_every();
                }
                () = due(world, beat_at) => {
                    self.beat().await?;
                    beat_at = world.now() + BEAT;
                }
                batch = batches.recv() => match batch {
                    Some(batch) => self.finish(batch).await?,
                    None => break,
                },
            }
        }
        if let Some(flushing) = flushing {
            inbox.commit(flushing.await? + 1);
        }
        if let Some(last) = self.flush() {
            inbox.commit(last.await? + 1);
        }
        Ok(())
    }

    /// Where the last finished outcome is, if there is any.
    pub(super) fn position(&self) -> Option<u64> {
        self.cut.as_ref().map(|_| self.position)
    }

    async fn finish(&mut self, batch: Batch) -> Result<(), Failure> {
        let metrics = self.shared.metrics.clone();
        let acks = batch.acks.wait();
        let position = waits::owning(&self.shared, self.partition, For::Kafka, acks).await?;
        let seconds = (self.shared.world.now() - batch.decided_at).as_secs_f64();
        if batch.records > 0 {
            metrics
                .stage
                .with_label_values(&["publish"])
                .observe(seconds);
        }
        self.position = position.unwrap_or(self.position);
        failpoint::pass(Point::AfterPublish);
        if !batch.legs.is_empty() {
            let legs = (&batch.legs[..], "sent");
            let acks = send_legs(&self.shared, &*self.outbox, self.partition, legs).await?;
            self.legs.push(acks);
        }
        for balance in &batch.touched {
            self.books.touch(balance.clone());
        }
        let (offset, at_ms) = (batch.cut.command_offset, batch.cut.log_time_ms);
        self.measure(&batch.cut);
        self.cut = Some(batch.cut);
        let visit = self.hot.store(batch.touched, offset, at_ms).await?;
        self.visited(visit).await?;
        failpoint::pass(Point::AfterHot);
        for reply in batch.replies {
            self.answer(reply);
        }
        metrics
            .queue
            .with_label_values(&[&self.partition.to_string()])
            .dec();
        Ok(())
    }

    /// An idle owner looks whether hot is still its own, and whether the sink keeps up.
    async fn beat(&mut self) -> Result<(), Failure> {
        if self.shared.world.now() - self.last_visit >= BEAT
            && let Some(cut) = &self.cut
        {
            let (offset, at_ms) = (cut.command_offset, cut.log_time_ms);
            let visit = self.hot.store([], offset, at_ms).await?;
            self.visited(visit).await?;
        }
        if self.books.publish_again(self.shared.world.now()) {
            self.shared
                .metrics
                .republished
                .with_label_values(&[&self.partition.to_string()])
                .inc();
            tracing::warn!(
                partition = self.partition,
                "the sink is behind; publishing since its watermark again"
            );
            self.flushed = None;
        }
        Ok(())
    }

    async fn visited(&mut self, visit: Visit) -> Result<(), Failure> {
        self.last_visit = self.shared.world.now();
        if let Some(accepted) = visit.accepted {
            self.books.accept(accepted, self.shared.world.now());
        }
        if self.hot.has_stale()
            && let Ok(room) = self.again.try_reserve()
        {
            let stale = self.hot.take_stale().await;
            tracing::warn!(
                partition = self.partition,
                snapshots = stale.len(),
                "publishing again what late snapshots have hidden"
            );
            room.send(stale);
        }
        if visit.lost {
            self.claim_again().await?;
        }
        Ok(())
    }

    /// Hot is empty, older or foreign: claim with a new epoch, see how far anybody has decided up
    /// to that claim, and once we are as far ourselves install everything touched since the
    /// watermark (the rest is current in cold). Never a rewrite from memory without that look.
    async fn claim_again(&mut self) -> Result<(), Failure> {
        let Some(cut) = self.cut.clone() else {
            return Ok(());
        };
        if self.reclaim.is_none() && self.hot.answers().await {
            let epoch = restore::claim(&self.shared, self.partition).await?;
            let (shared, from) = (&self.shared, self.position + 1);
            let decided = restore::decided(shared, self.partition, from, epoch).await?;
            self.shared
                .metrics
                .takeovers
                .with_label_values(&["hot"])
                .inc();
            self.reclaim = Some(Reclaim { epoch, decided });
        }
        let ready = |reclaim: &mut Reclaim| reclaim.decided.is_none_or(|d| d <= cut.command_offset);
        let Some(Reclaim { epoch, .. }) = self.reclaim.take_if(ready) else {
            return Ok(());
        };
        self.epoch = epoch;
        if let Some(accepted) = self.hot.claim(epoch).await? {
            self.books.accept(accepted, self.shared.world.now());
        }
        let (shared, partition) = (&self.shared, self.partition);
        let decided = restore::decided_since(shared, partition, epoch).await?;
        self.hot.saw_decided(decided);
        let since: Vec<Touched> = self.books.since().collect();
        tracing::info!(
            partition = self.partition,
            epoch,
            balances = since.len(),
            "installing hot again"
        );
        let at = (cut.command_offset, cut.log_time_ms);
        let visit = self.hot.install(since, self.books.accepted(), at).await?;
        if let Some(accepted) = visit.accepted {
            self.books.accept(accepted, self.shared.world.now());
        }
        Ok(())
    }

    /// Starts a flush, if there is anything a marker would newly cover.
    fn flush(&mut self) -> Option<Flushing> {
        let cut = self.cut.clone()?;
        if self.flushed == Some(cut.command_offset) && self.books.is_clean() {
            return None;
        }
        self.flushed = Some(cut.command_offset);
        let flush = Flush {
            snapshots: self.books.take(cut.command_offset, self.shared.world.now()),
            cut,
            position: self.position,
            legs: std::mem::take(&mut self.legs),
        };
        let (shared, outbox) = (self.shared.clone(), self.outbox.clone());
        Some(flush::publish(shared, outbox, self.partition, self.epoch, flush).boxed())
    }

    /// Sends a reply, or has it completed first. Our own ingress completes for itself.
    fn answer(&self, reply: Reply) {
        let foreign = *reply.to.topic != *self.shared.topics.replies;
        let reply = match reply.short && foreign {
            true => match self.shared.recall.try_send(reply) {
                Ok(()) => return,
                Err(TrySendError::Full(reply) | TrySendError::Closed(reply)) => reply,
            },
            false => reply,
        };
        send_reply(&self.shared, &reply, &self.replies);
    }

    fn measure(&self, cut: &Cut) {
        let partition = self.partition.to_string();
        let applied = i64::try_from(cut.command_offset).unwrap_or(i64::MAX);
        self.shared
            .metrics
            .applied
            .with_label_values(&[&partition])
            .set(applied);
    }
}

/// Waits until `time`.
async fn due<W: World>(world: &W, time: Instant) {
    let left = time.saturating_duration_since(world.now());
    if !left.is_zero() {
        world.sleep(left).await;
    }
}

/// Hands a reply to the producer. One that cannot be sent costs its asker a second question, and
/// nothing else.
pub(super) fn send_reply<W: World>(shared: &Shared<W>, reply: &Reply, acks: &Arc<Acks>) {
    let correlation = Header {
        key: CORRELATION_HEADER,
        value: Some(&*reply.to.correlation),
    };
    let mut headers = OwnedHeaders::new().insert(correlation);
    if reply.replayed {
        headers = headers.insert(Header {
            key: "steelyard-replayed",
            value: Some("true"),
        });
    }
    let append = Append {
        topic: &reply.to.topic,
        partition: reply.to.partition,
        key: &reply.to.correlation,
        value: &reply.body,
        headers: Some(headers),
    };
    shared.world.offer(append, acks);
}

/// Enqueues legs in order; only after their outcomes are acknowledged.
pub(super) async fn send_legs<W: World>(
    shared: &Shared<W>,
    producer: &W::Outbox,
    partition: PartitionId,
    (legs, kind): (&[LegRecord], &str),
) -> Result<Arc<Acks>, AppendFailed> {
    let acks = Acks::open();
    let origin = partition.to_string();
    for record in legs {
        failpoint::pass(Point::BetweenLegs);
        let key = record.key.to_string();
        let value = record.value.get().as_bytes();
        let seal = hex::encode(shared.secret.seal(key.as_bytes(), value).0);
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: leg::HEADER,
                value: Some(leg::VERSION),
            })
            .insert(Header {
                key: leg::SEAL_HEADER,
                value: Some(&seal),
            })
            .insert(Header {
                key: leg::ORIGIN_HEADER,
                value: Some(&origin),
            });
        let append = Append {
            topic: &shared.topics.commands,
            partition: Some(i32::from(record.to)),
            key: key.as_bytes(),
            value,
            headers: Some(headers),
        };
        producer.append(append, &acks).await?;
    }
    shared
        .metrics
        .legs
        .with_label_values(&[&origin, kind])
        .inc_by(legs.len() as u64);
    Ok(acks)
}
