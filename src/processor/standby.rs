//! A standby: the state of partitions that others own, folded as their outcomes come.
//!
//! It starts from one consistent read of cold, as a takeover does, but before there is anything to
//! take over; from then on it reads `outcomes` to their end, again and again. A takeover by this
//! instance then folds what is left, and does not wait for cold to be read.
//!
//! Claims nothing, decides nothing and publishes nothing: what it has is a fold of the chain of
//! outcomes up to some command, which any owner would have there. It is no promise: where it is not
//! there, or of no use, the takeover reads cold.

use std::collections::BTreeSet;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex as Guarded, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, stream};
use tokio::sync::Mutex;

use super::fold::Fold;
use super::ports::World;
use super::{Failure, Shared};
use crate::ledger::PartitionId;
use crate::log::reader::Stretch;
use crate::telemetry::health::State;
use crate::wire::MarkerBody;

/// How often the ends of `outcomes` are read: what came since is left to the takeover.
const EVERY: Duration = Duration::from_millis(500);
/// Partitions that are read at once: a standby is in no hurry.
const AT_ONCE: usize = 2;
/// How long a partition is left alone that could not be read.
const PAUSE: Duration = Duration::from_secs(5);

/// The same where what was read breaks a rule.
const PAUSE_BROKEN: Duration = Duration::from_secs(60);

/// How often cold is asked for its watermark, and how long it may take: it is behind by that much
/// where a takeover finds cold away, which costs no more than what came since is worth.
const ASK_EVERY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(1);

/// What an instance has of every partition that it does not own.
pub(super) struct Standby {
    open: bool,
    places: Vec<Mutex<Place>>,
    /// The partitions of which cold or the log was found damaged.
    broken: Guarded<BTreeSet<PartitionId>>,
}

enum Place {
    /// It is owned here, or nobody stands by.
    Closed,
    /// Nothing is there yet, and nothing is tried before that.
    Empty(Option<Instant>),
    Warm(Box<Warm>),
}

/// A state that others own.
pub(super) struct Warm {
    pub(super) fold: Fold,
    /// The watermark of cold as it was seen last; it never moves back.
    pub(super) watermark: Option<MarkerBody>,
    /// When it is asked for again.
    ask_at: Option<Instant>,
}

impl Standby {
    /// A place for each of `count` partitions, to be filled if `open`.
    pub(super) fn new(count: PartitionId, open: bool) -> Self {
        let place = || match open {
            true => Place::Empty(None),
            false => Place::Closed,
        };
        let places = (0..count).map(|_| Mutex::new(place()));
        Self {
            open,
            places: places.collect(),
            broken: Guarded::default(),
        }
    }

    /// Tells readiness that what is read of a partition breaks a rule, or does so no longer.
    fn say_broken<W>(&self, shared: &Shared<W>, partition: PartitionId, is_broken: bool) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let was = match is_broken {
            true => !broken.insert(partition),
            false => broken.remove(&partition),
        };
        let check = format!("standby-{partition}");
        if is_broken {
            tracing::error!(partition, "what cold or outcomes hold breaks an invariant");
            let why = "an invariant is broken in cold or outcomes; see the log";
            (shared.report)(&check, State::failed(why));
        } else if was {
            (shared.report)(&check, State::Ok);
        }
    }

    fn place(&self, partition: PartitionId) -> &Mutex<Place> {
        &self.places[usize::from(partition)]
    }

    /// Takes a partition back that is owned no longer, with what its owner knows to be on the log.
    pub(super) async fn give_back(&self, partition: PartitionId, left: Option<Fold>) {
        if !self.open {
            return;
        }
        let mut place = self.place(partition).lock().await;
        *place = left.map_or(Place::Empty(None), |fold| {
            Place::Warm(Box::new(Warm {
                fold,
                watermark: None,
                ask_at: None,
            }))
        });
    }
}

/// Hands over what is there of a partition that is to be owned; waits for a read on its way.
pub(super) async fn take<W: World>(shared: &Shared<W>, partition: PartitionId) -> Option<Warm> {
    let mut place = shared.standby.place(partition).lock().await;
    let whole = &shared.metrics.standby;
    whole.remove_label_values(&[&partition.to_string()]).ok();
    match mem::replace(&mut *place, Place::Closed) {
        Place::Warm(warm) => Some(*warm),
        Place::Closed | Place::Empty(_) => None,
    }
}

/// Stands by until it is dropped.
pub async fn follow<W: World>(shared: Arc<Shared<W>>) {
    loop {
        look(&shared).await;
        shared.world.sleep(EVERY).await;
    }
}

/// Reads every partition that is not owned here, once.
pub(super) async fn look<W: World>(shared: &Arc<Shared<W>>) {
    let partitions = stream::iter(0..shared.partitions);
    let each = partitions.for_each_concurrent(AT_ONCE, |number| one(shared, number));
    each.await;
}

async fn one<W: World>(shared: &Arc<Shared<W>>, number: PartitionId) {
    let mut place = shared.standby.place(number).lock().await;
    if matches!(*place, Place::Closed) {
        shared.standby.say_broken(shared, number, false);
        return;
    }
    let now = shared.world.now();
    if matches!(*place, Place::Empty(Some(until)) if now < until) {
        return;
    }
    let found = mem::replace(&mut *place, Place::Empty(Some(now + PAUSE)));
    let warm = match found {
        Place::Warm(warm) => Some(*warm),
        Place::Closed | Place::Empty(_) => None,
    };
    let read = AssertUnwindSafe(read(shared, number, warm));
    let read = read.catch_unwind().await;
    shared.standby.say_broken(shared, number, read.is_err());
    let (whole, label) = (&shared.metrics.standby, number.to_string());
    match read {
        Ok(Ok((mut warm, at_end))) => {
            let at_end = at_end && warm.fold.is_whole();
            whole.with_label_values(&[&label]).set(at_end.into());
            look_at_cold(shared, number, &mut warm).await;
            *place = Place::Warm(Box::new(warm));
        }
        Ok(Err(failure)) => {
            whole.with_label_values(&[&label]).set(0);
            tracing::debug!(partition = number, %failure, "nobody stands by for now");
        }
        // Whoever owns the partition goes on; what is damaged is read again after a while.
        Err(_) => {
            whole.with_label_values(&[&label]).set(0);
            *place = Place::Empty(Some(now + PAUSE_BROKEN));
        }
    }
}

/// Asks cold for its watermark now and then: a takeover that finds cold away starts from that.
async fn look_at_cold<W: World>(shared: &Shared<W>, number: PartitionId, warm: &mut Warm) {
    let world = &shared.world;
    if warm.ask_at.is_some_and(|at| world.now() < at) {
        return;
    }
    warm.ask_at = Some(world.now() + ASK_EVERY);
    let asked = tokio::select! {
        biased;
        asked = world.marker(number) => asked,
        () = world.sleep(PATIENCE) => return,
    };
    if let Ok(Some(marker)) = asked {
        warm.watermark = Some(marker);
    }
}

/// Folds what came since, from cold on where nothing is there yet.
async fn read<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
    warm: Option<Warm>,
) -> Result<(Warm, bool), Failure> {
    let warm = match warm {
        Some(warm) => warm,
        None => begin(shared, number).await?,
    };
    let (fold, at_end) = catch_up(shared, number, warm.fold).await?;
    Ok((Warm { fold, ..warm }, at_end))
}

async fn begin<W: World>(shared: &Arc<Shared<W>>, number: PartitionId) -> Result<Warm, Failure> {
    let started = shared.world.now();
    let base = shared.world.base(number).await?;
    let watermark = base.marker.clone();
    let fold = Fold::new(base, number, shared.partitions)?.standing_by();
    let seconds = (shared.world.now() - started).as_secs_f64();
    tracing::info!(partition = number, seconds, "standing by");
    Ok(Warm {
        fold,
        watermark,
        ask_at: Some(shared.world.now() + ASK_EVERY),
    })
}

/// Folds up to the end of `outcomes`; whether it came there. A log that cannot be read now costs
/// nothing of what is folded.
async fn catch_up<W: World>(
    shared: &Shared<W>,
    number: PartitionId,
    fold: Fold,
) -> Result<(Fold, bool), Failure> {
    let topic = shared.topics.outcomes.clone();
    let Ok((low, end)) = shared.world.bounds(&topic, number).await else {
        return Ok((fold, false));
    };
    let from = match fold.hash {
        Some(_) => fold.from.max(low),
        None => fold.from,
    };
    let stretch = Stretch {
        topic,
        partition: number,
        from,
        end,
    };
    let folding = Arc::new(Guarded::new(fold));
    let read = shared
        .world
        .read(stretch, folding.clone(), |folding, found| {
            lock(folding).take(found)
        })
        .await;
    let at_end = read.is_ok();
    drop(read);
    let folded = Arc::into_inner(folding).map(Guarded::into_inner);
    let folded = folded.expect("the read has ended, and let go of it");
    let mut fold = folded.unwrap_or_else(PoisonError::into_inner);
    fold.keep_house();
    match fold.take_failure() {
        Some(failure) => Err(failure),
        None => Ok((fold, at_end)),
    }
}

fn lock(fold: &Guarded<Fold>) -> std::sync::MutexGuard<'_, Fold> {
    fold.lock().unwrap_or_else(PoisonError::into_inner)
}
