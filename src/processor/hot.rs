//! The owner's view of hot: what it last wrote, what is not written yet, and what to do when hot
//! is not what it should be (H1).
//!
//! Hot never holds up a decision: while Redis is away, what it lacks is kept, newest version by
//! balance, and written when it is back. Attempts are spaced, bounded and counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::batch::Touched;
use super::metrics::conflict;
use super::ports::{HotStore, World};
use super::{Failure, Shared, waits};
use crate::hot::store::{Claimed, Entry, Position, Step, WRITE_MAX, Written};
use crate::ledger::{BalanceId, PartitionId};
use crate::wire::Subject;

/// Spaces attempts while Redis is away.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Hot<W: World> {
    shared: Arc<Shared<W>>,
    partition: PartitionId,
    store: W::Hot,
    epoch: u64,
    stands: Stands,
    /// Where hot stood when it was claimed, until it is installed.
    before: Position,
    /// The last command that anybody had decided when hot was claimed, until it is installed.
    decided: Option<u64>,
    /// The last command there was then, if hot was empty and does not tell what it has shown.
    asked: Option<u64>,
    /// Not in hot yet.
    pending: HashMap<BalanceId, Touched, FixedState>,
    /// Whether the sink wants something published again.
    stale: bool,
    retry_at: Instant,
    pause: Duration,
}

/// What this owner knows of hot.
#[derive(Clone, Copy, Debug)]
enum Stands {
    /// Hot is at `wrote`, or at `tried` where the last reply was lost.
    At { wrote: u64, tried: u64 },
    /// Claimed, and not whole yet.
    Claimed,
    /// To be claimed anew, with a new epoch.
    Lost,
}

/// What a visit to hot says.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// The sink's watermark X, where hot knows it.
    pub(super) accepted: Option<u64>,
    /// Hot must be claimed with a new epoch before anything is written.
    pub(super) lost: bool,
}

impl<W: World> Hot<W> {
    pub(super) fn new(shared: &Arc<Shared<W>>, partition: PartitionId, epoch: u64) -> Self {
        Self {
            shared: shared.clone(),
            partition,
            store: shared.world.hot(partition),
            epoch,
            stands: Stands::Lost,
            before: Position::default(),
            decided: None,
            asked: None,
            pending: HashMap::default(),
            stale: false,
            retry_at: shared.world.now(),
            pause: PAUSE_MIN,
        }
    }

    /// Claims hot for `epoch`. Redis being away leaves it lost, to be claimed later; a later
    /// owner, another log or an evicting Redis end this ownership.
    pub(super) async fn claim(&mut self, epoch: u64) -> Result<Option<u64>, Failure> {
        self.epoch = epoch;
        self.stands = Stands::Lost;
        let policy = self.store.check_policy().await;
        if let Ok(Err(why)) = policy {
            return Err(Failure::EvictionPolicy(why));
        }
        match self.store.claim(epoch).await {
            Ok(Claimed::Yes(before)) => {
                self.stands = Stands::Claimed;
                self.before = before;
                self.asked = match before.offset {
                    None => self.last_command().await?,
                    Some(_) => None,
                };
                self.is_back();
                Ok(before.accepted)
            }
            Ok(Claimed::Newer(epoch)) => Err(Failure::Zombie(epoch)),
            Ok(Claimed::OtherLog) => Err(Failure::OtherLog),
            Err(error) => {
                self.away(&error);
                Ok(None)
            }
        }
    }

    /// Installs `since`, everything touched since cold's watermark `accepted`, as of command
    /// `offset`. What else hot holds is kept if hot stood at or after the watermark; a hot that
    /// was rolled back beyond it is emptied first, for its other balances may be old.
    pub(super) async fn install(
        &mut self,
        since: impl IntoIterator<Item = Touched>,
        accepted: Option<u64>,
        (offset, at_ms): (u64, i64),
    ) -> Result<Visit, Failure> {
        let stood = self.before.epoch.is_some();
        if matches!(self.stands, Stands::Claimed) && stood && self.before.offset < accepted {
            tracing::warn!(partition = self.partition, before = ?self.before, "hot is older than cold; emptying it");
            self.shared
                .metrics
                .hot_conflicts
                .with_label_values(&[conflict::OLDER_THAN_COLD])
                .inc();
            if let Err(error) = self.store.wipe(self.epoch).await {
                self.away(&error);
                self.stands = Stands::Lost;
            }
        }
        self.store(since, offset, at_ms).await
    }

    /// Whether the sink wants anything published again.
    pub(super) fn has_stale(&self) -> bool {
        self.stale
    }

    /// Takes what the sink wants published again; nobody else is told of it.
    pub(super) async fn take_stale(&mut self) -> Vec<Subject> {
        self.stale = false;
        self.store.take_stale().await.unwrap_or_default()
    }

    /// Tells the last command that outcomes hold a decision on, seen after hot was claimed. Whoever
    /// had hot before that has shown nothing later.
    pub(super) fn saw_decided(&mut self, decided: Option<u64>) {
        self.decided = decided;
    }

    /// The last command there is. Decisions of an earlier owner may stand behind a hole, or before
    /// the position that a fold starts from: what they bound is not seen, but what was asked for
    /// is.
    async fn last_command(&self) -> Result<Option<u64>, Failure> {
        let (world, topic) = (&self.shared.world, &self.shared.topics.commands);
        let (_, next) = world.bounds(topic, self.partition).await?;
        Ok(next.checked_sub(1))
    }

    /// Whether hot may have shown a later command than `offset` to its readers. An owner that was
    /// alive until it lost its claim may have been ahead of what the next one folds, and a hot that
    /// was emptied meanwhile does not tell.
    fn has_shown_beyond(&self, offset: u64) -> bool {
        let shown = self.before.offset.max(self.decided).max(self.asked);
        matches!(self.stands, Stands::Claimed) && shown > Some(offset)
    }

    /// Whether the pause after a call that failed is over.
    fn may_try(&self) -> bool {
        self.shared.world.now() >= self.retry_at
    }

    /// Whether Redis is there at all.
    pub(super) async fn answers(&mut self) -> bool {
        match self.store.ping().await {
            Ok(()) => true,
            Err(error) => {
                self.away(&error);
                false
            }
        }
    }

    /// Writes `touched`, and what could not be written before, as of command `offset`. Without
    /// balances it only looks whether hot is still ours. An installation waits until it is as far
    /// as hot was, so that no reader is shown an older version (H2).
    pub(super) async fn store(
        &mut self,
        touched: impl IntoIterator<Item = Touched>,
        offset: u64,
        at_ms: i64,
    ) -> Result<Visit, Failure> {
        for touched in touched {
            if let Subject::Balance(id) = touched.subject {
                self.pending.insert(id, touched);
            }
        }
        if matches!(self.stands, Stands::Lost) {
            return Ok(Visit {
                lost: self.may_try(),
                ..Visit::default()
            });
        }
        if !self.may_try() || self.has_shown_beyond(offset) {
            return Ok(Visit::default());
        }
        let mut chunks: Vec<Vec<Entry>> = Vec::new();
        for (id, balance) in &self.pending {
            if chunks.last().is_none_or(|chunk| chunk.len() == WRITE_MAX) {
                chunks.push(Vec::new());
            }
            let entry = Entry {
                id: *id,
                text: balance.text.clone(),
            };
            chunks.last_mut().expect("pushed above").push(entry);
        }
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let last = chunks.len() - 1;
        let mut visit = Visit::default();
        for (at, chunk) in chunks.iter().enumerate() {
            visit = self.write(chunk, offset, at_ms, at == last).await?;
            if visit.lost || !self.may_try() {
                return Ok(visit);
            }
        }
        self.pending.clear();
        Ok(visit)
    }

    async fn write(
        &mut self,
        chunk: &[Entry],
        offset: u64,
        at_ms: i64,
        whole: bool,
    ) -> Result<Visit, Failure> {
        let expected = match self.stands {
            Stands::At { wrote, tried } => Some((wrote, tried)),
            Stands::Claimed | Stands::Lost => None,
        };
        let step = Step {
            epoch: self.epoch,
            expected,
            offset,
            at_ms,
            installed: whole,
        };
        let started = self.shared.world.now();
        let written = self.store.write(step, chunk).await;
        let seconds = (self.shared.world.now() - started).as_secs_f64();
        self.shared
            .metrics
            .stage
            .with_label_values(&["store"])
            .observe(seconds);
        match written {
            Ok(Written::Done { accepted, stale }) => {
                if whole {
                    self.stands = Stands::At {
                        wrote: offset,
                        tried: offset,
                    };
                }
                self.is_back();
                self.stale = stale > 0;
                Ok(Visit {
                    accepted,
                    lost: false,
                })
            }
            Ok(Written::OtherLog) => Err(Failure::OtherLog),
            Ok(Written::Conflict(position)) => self.conflict(position),
            Err(error) => {
                if let Stands::At { wrote, .. } = self.stands {
                    self.stands = Stands::At {
                        wrote,
                        tried: offset,
                    };
                }
                self.away(&error);
                Ok(Visit::default())
            }
        }
    }

    /// Hot is not what this owner last wrote (H1).
    fn conflict(&mut self, position: Position) -> Result<Visit, Failure> {
        let kind = match position {
            Position { epoch: None, .. } => conflict::EMPTY,
            Position {
                epoch: Some(epoch), ..
            } if epoch > self.epoch => conflict::NEWER,
            Position {
                epoch: Some(epoch), ..
            } if epoch < self.epoch => conflict::LOWER,
            Position { .. } => conflict::ROLLED_BACK,
        };
        self.shared
            .metrics
            .hot_conflicts
            .with_label_values(&[kind])
            .inc();
        tracing::warn!(
            partition = self.partition,
            ?position,
            kind,
            "hot is not what its owner last wrote"
        );
        if let (Some(epoch), conflict::NEWER) = (position.epoch, kind) {
            return Err(Failure::Zombie(epoch));
        }
        if let (Stands::At { wrote, tried }, Some(offset), conflict::ROLLED_BACK) =
            (self.stands, position.offset, kind)
        {
            assert!(
                offset <= wrote.max(tried),
                "H1: hot is ahead at {offset} under our own epoch, we wrote up to {wrote}"
            );
        }
        self.stands = Stands::Lost;
        Ok(Visit {
            lost: true,
            ..Visit::default()
        })
    }

    fn is_away(&self) -> bool {
        self.pause > PAUSE_MIN
    }

    fn is_back(&mut self) {
        if self.is_away() {
            tracing::info!(partition = self.partition, "redis answers again");
            waits::hot_is_away(&self.shared, self.partition, false);
        }
        self.pause = PAUSE_MIN;
    }

    fn away(&mut self, error: &redis::RedisError) {
        self.shared
            .metrics
            .hot_errors
            .with_label_values(&[&self.partition.to_string()])
            .inc();
        if !self.is_away() {
            tracing::warn!(partition = self.partition, %error, "redis does not answer; going on without");
            waits::hot_is_away(&self.shared, self.partition, true);
        }
        self.retry_at = self.shared.world.now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

impl<W: World> Drop for Hot<W> {
    /// It is another owner's to say.
    fn drop(&mut self) {
        if self.is_away() {
            waits::hot_is_away(&self.shared, self.partition, false);
        }
    }
}
