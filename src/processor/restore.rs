//! Taking a partition over: claim, one consistent read of cold, fold the rest of `outcomes`.
//!
//! The order matters and was explored exhaustively. The claim comes first: its offset is the
//! epoch, and the end up to which is folded. Cold is read after it, outcomes after cold. Only an
//! outcome that `follows` the last folded one counts; a copy is skipped, a hole ends the fold.
//!
//! A standby has folded the same outcomes before the claim ([`super::standby`]). Then cold is asked
//! for its watermark alone, and what is folded is what came since. Where cold does not answer, the
//! log alone may tell ([`super::alone`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Touched;
use super::finish::send_legs;
use super::fold::Fold;
use super::hot::Hot;
use super::ports::{Outbox, World};
use super::standby::Warm;
use super::waits::{self, For};
use super::{Failure, Shared, alone};
use crate::cold::base::Base;
use crate::ledger::{Cut, Partition, PartitionId};
use crate::log::producer::Append;
use crate::log::reader::{Found, Stretch};
use crate::telemetry::failpoint::{self, Point};
use crate::telemetry::health;
use crate::wire::outcome::{NO_HASH, OutcomeBody};
use crate::wire::record::{CLAIM_KEY, ClaimBody};
use crate::wire::{Hex, LegRecord, MarkerBody, Time};

/// How often cold is asked again while the log is read in its place.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A partition ready to go on.
pub(super) struct Restored<W: World> {
    pub(super) partition: Partition,
    /// The hash of the last outcome.
    pub(super) hash: Hex<32>,
    pub(super) epoch: u64,
    pub(super) hot: Hot<W>,
    /// Balances touched since the watermark.
    pub(super) touched: Vec<Touched>,
    pub(super) accepted: Option<u64>,
    pub(super) cut: Option<Cut>,
    /// Where on `outcomes` the last folded outcome is.
    pub(super) position: u64,
    /// The first command to decide.
    pub(super) next: u64,
}

/// Takes `number` over; `warm` is what a standby has of it.
pub(super) async fn take_over<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
    warm: Option<Warm>,
) -> Result<Restored<W>, Failure> {
    let mut phases = Phases::new(shared);
    let claimed = claim(shared, number);
    let epoch = waits::taking_over(shared, number, For::Kafka, claimed).await?;
    phases.ended("claim");
    failpoint::pass(Point::AfterClaim);
    let mut hot = Hot::new(shared, number, epoch);
    let known = hot.claim(epoch).await?;
    phases.ended("hot");
    let state = state(shared, number, warm, (epoch, known), &mut phases).await?;
    let State {
        mut fold,
        accepted,
        from,
    } = state;
    shared.metrics.bases.with_label_values(&[from]).inc();
    hot.saw_decided(decided_since(shared, number, epoch).await?);
    let legs = fold.take_legs();
    let sent = send_again(shared, number, &legs);
    waits::taking_over(shared, number, For::Kafka, sent).await?;
    phases.ended("legs");
    let touched = fold.take_touched(epoch);
    let cut = fold.partition.cut();
    if let Some(cut) = &cut {
        let at = (cut.command_offset, cut.log_time_ms);
        hot.install(touched.iter().cloned(), accepted, at).await?;
    }
    let next = fold.last().map_or(0, |last| last + 1);
    check_commands(shared, number, next).await?;
    phases.ended("install");
    tracing::info!(
        partition = number,
        epoch,
        next,
        from,
        legs = legs.len(),
        touched = touched.len(),
        seconds = phases.total(),
        phases = phases.text,
        "partition taken over"
    );
    Ok(Restored {
        hash: fold.hash.unwrap_or(NO_HASH),
        epoch,
        hot,
        touched,
        accepted,
        cut,
        position: fold.position,
        next,
        partition: fold.partition,
    })
}

/// What a takeover goes on from.
struct State {
    fold: Fold,
    /// The watermark of cold, or a command before it: what was changed since is published again.
    accepted: Option<u64>,
    /// What it was made of.
    from: &'static str,
}

/// The state up to the claim at `epoch`. `known` is the watermark of cold as hot has it.
async fn state<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
    warm: Option<Warm>,
    (epoch, known): (u64, Option<u64>),
    phases: &mut Phases<'_, W>,
) -> Result<State, Failure> {
    if let Some(warm) = warm
        && let Some((fold, accepted)) = on_standby(shared, number, warm, epoch, phases).await?
    {
        return Ok(State {
            fold,
            accepted: Some(accepted),
            from: "standby",
        });
    }
    let cold = shared.world.base(number);
    let cold = waits::taking_over(shared, number, For::Postgres, cold).await;
    let (base, accepted, from) = match cold {
        Ok(base) => from_cold(base),
        Err(cold) => without_cold(shared, number, (epoch, known), cold).await?,
    };
    phases.ended(from);
    if let Some(marker) = &base.marker {
        same_log(shared, marker)?;
    }
    let mut fold = fold_on(shared, number, base, epoch).await?;
    if from == "log" {
        fold.touch_since(accepted);
    }
    phases.ended("fold");
    Ok(State {
        fold,
        accepted,
        from,
    })
}

/// A base, the watermark of cold as far as it is known, and what it was made of.
type Read = (Base, Option<u64>, &'static str);

fn from_cold(base: Base) -> Read {
    let accepted = base.marker.as_ref().map(|marker| marker.command_offset);
    (base, accepted, "cold")
}

/// What the log alone tells, unless cold answers again before that is read.
async fn without_cold<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
    (epoch, known): (u64, Option<u64>),
    cold: sqlx::Error,
) -> Result<Read, Failure> {
    let waits = "postgres does not answer: taking the partition over from the log alone";
    tracing::warn!(partition = number, %cold, waits);
    (shared.report)(
        &format!("partition-{number}"),
        health::State::waiting(waits),
    );
    tokio::select! {
        biased;
        base = cold_again(&shared.world, number) => Ok(from_cold(base)),
        base = alone::base(shared, number, epoch, known) => match base {
            Ok(base) => Ok((base, known, "log")),
            Err(log) => {
                let log = Box::new(log);
                Err(Failure::NoBase { cold, log })
            }
        },
    }
}

/// Asks cold until it answers.
async fn cold_again<W: World>(world: &W, number: PartitionId) -> Base {
    loop {
        world.sleep(ASK_AGAIN).await;
        if let Ok(base) = world.base(number).await {
            return base;
        }
    }
}

/// What a standby has, folded up to the claim at `epoch`, with the watermark of cold: where cold
/// does not answer, the one that was seen last, for it never moves back. `None` if it is of no use.
async fn on_standby<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
    warm: Warm,
    epoch: u64,
    phases: &mut Phases<'_, W>,
) -> Result<Option<(Fold, u64)>, Failure> {
    let Warm {
        fold, watermark, ..
    } = warm;
    let marker = shared.world.marker(number);
    let marker = match waits::taking_over(shared, number, For::Postgres, marker).await {
        Ok(marker) => marker,
        Err(error) => {
            tracing::warn!(partition = number, %error, "postgres does not answer; its watermark is the one seen last");
            watermark
        }
    };
    phases.ended("watermark");
    let Some(marker) = marker.filter(|marker| fold.has_all_since(marker)) else {
        return Ok(None);
    };
    same_log(shared, &marker)?;
    let fold = read(shared, number, fold.since(&marker), epoch).await;
    phases.ended("fold");
    match fold {
        Ok(fold) => Ok(Some((fold, marker.command_offset))),
        // Copies may stand where the marker's writer did not: then cold has to tell.
        Err(failure) => {
            tracing::warn!(partition = number, %failure, "the standby was of no use");
            Ok(None)
        }
    }
}

/// Refuses a marker of another log.
pub(super) fn same_log<W>(shared: &Shared<W>, marker: &MarkerBody) -> Result<(), Failure> {
    match marker.generation == shared.generation {
        true => Ok(()),
        false => Err(Failure::OtherGeneration(marker.generation)),
    }
}

/// Folds the outcomes after `base`, up to the claim at `epoch`.
async fn fold_on<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
    base: Base,
    epoch: u64,
) -> Result<Fold, Failure> {
    let fold = Fold::new(base, number, shared.partitions)?;
    read(shared, number, fold, epoch).await
}

/// Folds outcomes up to the claim at `epoch`. Where the chain ends in the base is known without its
/// record if the journal ends there too: so a partition that was quiet for longer than `outcomes`
/// keeps records can still be taken over. If more than that was trimmed, what comes next does not
/// follow.
async fn read<W: World>(
    shared: &Shared<W>,
    number: PartitionId,
    mut fold: Fold,
    epoch: u64,
) -> Result<Fold, Failure> {
    let topic = shared.topics.outcomes.clone();
    if fold.hash.is_some() {
        fold.from = fold.from.max(shared.world.bounds(&topic, number).await?.0);
    }
    let stretch = Stretch {
        topic,
        partition: number,
        from: fold.from,
        end: epoch,
    };
    let fold = shared.world.read(stretch, fold, Fold::take).await?;
    fold.ended()
}

/// Sends every leg since the watermark again, in order.
async fn send_again<W: World>(
    shared: &Shared<W>,
    number: PartitionId,
    legs: &[LegRecord],
) -> Result<(), Failure> {
    if legs.is_empty() {
        return Ok(());
    }
    let producer = shared.world.outbox()?;
    let sent = send_legs(shared, &producer, number, (legs, "sent-again")).await?;
    sent.wait().await?;
    Ok(())
}

/// How long each phase of a takeover takes.
struct Phases<'a, W> {
    shared: &'a Shared<W>,
    started: Instant,
    lapped: Instant,
    /// For the log: milliseconds by phase.
    text: String,
}

impl<'a, W: World> Phases<'a, W> {
    fn new(shared: &'a Shared<W>) -> Self {
        let now = shared.world.now();
        Self {
            shared,
            started: now,
            lapped: now,
            text: String::new(),
        }
    }

    fn ended(&mut self, phase: &str) {
        let now = self.shared.world.now();
        let lap = now - self.lapped;
        self.lapped = now;
        let seconds = &self.shared.metrics.takeover;
        seconds
            .with_label_values(&[phase])
            .observe(lap.as_secs_f64());
        let gap = if self.text.is_empty() { "" } else { " " };
        self.text += &format!("{gap}{phase}={}ms", lap.as_millis());
    }

    fn total(&self) -> f64 {
        let seconds = (self.lapped - self.started).as_secs_f64();
        let stage = &self.shared.metrics.stage;
        stage.with_label_values(&["takeover"]).observe(seconds);
        seconds
    }
}

/// Whether `commands` still holds everything from `next` on.
async fn check_commands<W: World>(
    shared: &Shared<W>,
    number: PartitionId,
    next: u64,
) -> Result<(), Failure> {
    let (low, _) = shared.world.bounds(&shared.topics.commands, number).await?;
    match next < low {
        true => Err(Failure::CommandsTrimmed { needed: next, low }),
        false => Ok(()),
    }
}

/// Appends a claim record: its offset is the epoch.
pub(super) async fn claim<W: World>(
    shared: &Shared<W>,
    partition: PartitionId,
) -> Result<u64, Failure> {
    let body = ClaimBody {
        partition,
        instance: shared
            .options
            .instance
            .clone()
            .unwrap_or_else(|| "unnamed".to_owned()),
        generation: shared.generation,
        at: Time(shared.world.clock_ms()),
    };
    let value = serde_json::to_vec(&body).expect("a claim is plain JSON");
    let append = Append {
        topic: &shared.topics.outcomes,
        partition: Some(i32::from(partition)),
        key: CLAIM_KEY.as_bytes(),
        value: &value,
        headers: None,
    };
    Ok(shared.world.outbox()?.append_one(append).await?)
}

/// The last command that owners before this one decided after its claim at `epoch`, as far as
/// `outcomes` has it now. Nearly always there is nothing behind the claim, and nothing is read.
pub(super) async fn decided_since<W: World>(
    shared: &Shared<W>,
    partition: PartitionId,
    epoch: u64,
) -> Result<Option<u64>, Failure> {
    let (_, end) = shared
        .world
        .bounds(&shared.topics.outcomes, partition)
        .await?;
    match end > epoch + 1 {
        true => decided(shared, partition, epoch + 1, end).await,
        false => Ok(None),
    }
}

/// The last command that `outcomes` holds a decision on, from position `from` up to `epoch`.
pub(super) async fn decided<W: World>(
    shared: &Shared<W>,
    partition: PartitionId,
    from: u64,
    epoch: u64,
) -> Result<Option<u64>, Failure> {
    let stretch = Stretch {
        topic: shared.topics.outcomes.clone(),
        partition,
        from,
        end: epoch,
    };
    let latest = |decided: &mut Option<u64>, found: Found<'_>| {
        let body = OutcomeBody::parse(found.value).ok();
        *decided = (*decided).max(body.map(|body| body.offset));
        true
    };
    Ok(shared.world.read(stretch, None, latest).await?)
}
