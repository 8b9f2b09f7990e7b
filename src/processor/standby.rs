//! A standby: the state of partitions that others own, folded as their outcomes come.
//!
//! It starts from one consistent read of cold, as a takeover does, but before there is anything to
//! take over; from then on it reads `outcomes` to their end, again and again. A takeover by this
//! instance then folds what is left, and does not wait for cold to be read.
//!
//! Claims nothing, decides nothing and publishes nothing: what it has is a fold of the chain of
//! outcomes up to some command, which any owner would have there. It is no promise: where it is not
//! there, or of no use, the takeover reads cold.

use std::mem;
use std::sync::{Arc, Mutex as Guarded, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use tokio::sync::Mutex;

use super::fold::Fold;
use super::ports::World;
use super::{Failure, Shared};
use crate::ledger::PartitionId;
use crate::log::reader::Stretch;

/// How often the ends of `outcomes` are read: what came since is left to the takeover.
const EVERY: Duration = Duration::from_millis(500);
/// Partitions that are read at once: a standby is in no hurry.
const AT_ONCE: usize = 2;
/// How long a partition is left alone that could not be read.
const PAUSE: Duration = Duration::from_secs(5);

/// What an instance has of every partition that it does not own.
pub(super) struct Standby {
    open: bool,
    places: Vec<Mutex<Place>>,
}

enum Place {
    /// It is owned here, or nobody stands by.
    Closed,
    /// Nothing is there yet, and nothing is tried before that.
    Empty(Option<Instant>),
    Warm(Box<Fold>),
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
        }
    }

    fn place(&self, partition: PartitionId) -> &Mutex<Place> {
        &self.places[usize::from(partition)]
    }

    /// Hands over what is there of a partition that is to be owned; waits for a read on its way.
    pub(super) async fn take(&self, partition: PartitionId) -> Option<Fold> {
        let mut place = self.place(partition).lock().await;
        match mem::replace(&mut *place, Place::Closed) {
            Place::Warm(fold) => Some(*fold),
            Place::Closed | Place::Empty(_) => None,
        }
    }

    /// Takes a partition back that is owned no longer, with what its owner knows to be on the log.
    pub(super) async fn give_back(&self, partition: PartitionId, left: Option<Fold>) {
        if !self.open {
            return;
        }
        let mut place = self.place(partition).lock().await;
        *place = left.map_or(Place::Empty(None), |fold| Place::Warm(Box::new(fold)));
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
    let whole = shared.metrics.standby.clone();
    let label = number.to_string();
    if matches!(*place, Place::Closed) {
        whole.remove_label_values(&[&label]).ok();
        return;
    }
    let now = shared.world.now();
    if matches!(*place, Place::Empty(Some(until)) if now < until) {
        return;
    }
    let found = mem::replace(&mut *place, Place::Empty(Some(now + PAUSE)));
    let fold = match found {
        Place::Warm(fold) => Ok(*fold),
        Place::Closed | Place::Empty(_) => begin(shared, number).await,
    };
    let read = match fold {
        Ok(fold) => catch_up(shared, number, fold).await,
        Err(failure) => Err(failure),
    };
    match read {
        Ok((fold, at_end)) => {
            let at_end = at_end && fold.is_whole();
            whole.with_label_values(&[&label]).set(at_end.into());
            *place = Place::Warm(Box::new(fold));
        }
        Err(failure) => {
            whole.with_label_values(&[&label]).set(0);
            tracing::debug!(partition = number, %failure, "nobody stands by for now");
        }
    }
}

async fn begin<W: World>(shared: &Arc<Shared<W>>, number: PartitionId) -> Result<Fold, Failure> {
    let started = shared.world.now();
    let base = shared.world.base(number).await?;
    let fold = Fold::new(base, number, shared.partitions)?.standing_by();
    let seconds = (shared.world.now() - started).as_secs_f64();
    tracing::info!(partition = number, seconds, "standing by");
    Ok(fold)
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
