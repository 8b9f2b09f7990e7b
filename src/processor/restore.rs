//! Taking a partition over: claim, one consistent read of cold, fold the rest of `outcomes`.
//!
//! The order matters and was explored exhaustively. The claim comes first: its offset is the
//! epoch, and the end up to which is folded. Cold is read after it, outcomes after cold. Only an
//! outcome that `follows` the last folded one counts; a copy is skipped, a hole ends the fold.

use std::sync::Arc;

use super::batch::{Subject, Touched, touched};
use super::finish::send_legs;
use super::hot::Hot;
use super::ports::{Outbox, World};
use super::{Failure, Shared};
use crate::cold::base::Base;
use crate::ledger::chain::{self, Place};
use crate::ledger::{Cut, Partition, PartitionId, RULES_KNOWN, SeenMap};
use crate::log::producer::Append;
use crate::log::reader::{Found, Stretch};
use crate::telemetry::failpoint::{self, Point};
use crate::wire::outcome::{NO_HASH, OutcomeBody, hash};
use crate::wire::record::{CLAIM_KEY, ClaimBody, GENESIS_KEY};
use crate::wire::{Decoder, Hex, LegRecord, Time};

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

/// Takes `number` over.
pub(super) async fn take_over<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
) -> Result<Restored<W>, Failure> {
    let started = shared.world.now();
    let epoch = claim(shared, number).await?;
    failpoint::pass(Point::AfterClaim);
    let mut hot = Hot::new(shared, number, epoch);
    hot.claim(epoch).await?;
    let base = shared.world.base(number).await?;
    let accepted = base.marker.as_ref().map(|marker| marker.command_offset);
    let mut fold = fold(shared, number, base, epoch).await?;
    hot.saw_decided(decided_since(shared, number, epoch).await?);
    send_legs(shared, number, &fold.legs, "sent-again")
        .await?
        .wait()
        .await?;
    let balances = fold.partition.take_touched().into_iter();
    let holds = fold.partition.take_touched_holds().into_iter();
    let subjects = balances
        .map(Subject::Balance)
        .chain(holds.map(Subject::Hold));
    let touched: Vec<Touched> = subjects
        .filter_map(|subject| touched(&fold.partition, subject, epoch))
        .collect();
    let cut = fold.partition.cut();
    if let Some(cut) = &cut {
        let at = (cut.command_offset, cut.log_time_ms);
        hot.install(touched.iter().cloned(), accepted, at).await?;
    }
    let next = fold.last.map_or(0, |last| last + 1);
    check_commands(shared, number, next).await?;
    let seconds = (shared.world.now() - started).as_secs_f64();
    shared
        .metrics
        .stage
        .with_label_values(&["takeover"])
        .observe(seconds);
    tracing::info!(
        partition = number,
        epoch,
        next,
        seconds,
        legs = fold.legs.len(),
        "partition taken over"
    );
    Ok(Restored {
        partition: fold.partition,
        hash: fold.hash.unwrap_or(NO_HASH),
        epoch,
        hot,
        touched,
        accepted,
        cut,
        position: fold.position,
        next,
    })
}

/// Folds the outcomes after `base` up to the claim at `epoch`. Where the chain ends in the base is
/// known without its record if the journal ends there too: so a partition that was quiet for longer
/// than `outcomes` keeps records can still be taken over. If more than that was trimmed, what comes
/// next does not follow.
async fn fold<W: World>(
    shared: &Shared<W>,
    number: PartitionId,
    base: Base,
    epoch: u64,
) -> Result<Fold, Failure> {
    if let Some(marker) = &base.marker
        && marker.generation != shared.generation
    {
        return Err(Failure::OtherGeneration(marker.generation));
    }
    let mut fold = Fold::new(base, number, shared.partitions)?;
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

/// Outcomes folded on a base.
pub(super) struct Fold {
    pub(super) partition: Partition,
    decoder: Decoder,
    /// The watermark of the base.
    base: Option<u64>,
    /// The last outcome that counted.
    last: Option<u64>,
    pub(super) hash: Option<Hex<32>>,
    /// Where on `outcomes` the last outcome is that counted.
    pub(super) position: u64,
    /// Where to start reading.
    pub(super) from: u64,
    legs: Vec<LegRecord>,
    failure: Option<Failure>,
}

impl Fold {
    /// Starts from the marker that cold accepted. References may be older there than balances,
    /// where the journal is behind: then the fold starts earlier, for them alone.
    pub(super) fn new(
        base: Base,
        number: PartitionId,
        count: PartitionId,
    ) -> Result<Self, Failure> {
        let Some(marker) = base.marker else {
            return Ok(Self::at(Partition::new(number, count), None, None, 0));
        };
        let watermark = marker.command_offset;
        known(marker.rules)?;
        let hash = base.journal_hash.map(Hex);
        let cut = marker
            .to_cut()
            .map_err(|e| Failure::BadOutcome(watermark, e.to_string()))?;
        let mut seen = SeenMap::default();
        seen.reserve(base.seen.len());
        for (key, mark) in base.seen {
            seen.insert(key, mark);
        }
        let partition = Partition::from_cut(number, &cut, base.balances, base.holds, seen);
        assert!(
            partition.cut().as_ref() == Some(&cut),
            "S1: cold is not the cut that its marker says, as of {watermark}"
        );
        let (last, from) = match base.journal {
            Some((_, journaled)) if journaled >= watermark => (Some(watermark), marker.position),
            Some((position, journaled)) => (Some(journaled), position.min(marker.position)),
            None => (None, 0),
        };
        let mut fold = Self::at(partition, Some(watermark), last, from);
        fold.hash = hash.filter(|_| base.journal.map(|(_, journaled)| journaled) == last);
        Ok(fold)
    }

    pub(super) fn at(
        partition: Partition,
        base: Option<u64>,
        last: Option<u64>,
        from: u64,
    ) -> Self {
        Self {
            partition,
            decoder: Decoder::new(),
            base,
            last,
            hash: None,
            position: from,
            from,
            legs: Vec::new(),
            failure: None,
        }
    }

    /// Takes one record of `outcomes`; whether to go on.
    pub(super) fn take(&mut self, found: Found<'_>) -> bool {
        if found.key == CLAIM_KEY.as_bytes() || found.key == GENESIS_KEY.as_bytes() {
            return true;
        }
        match self.one(found.offset, found.value) {
            Ok(on) => on,
            Err(failure) => {
                self.failure = Some(failure);
                false
            }
        }
    }

    /// What was folded, unless that is no state to go on from.
    pub(super) fn ended(mut self) -> Result<Self, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match (self.base, self.last) {
            (Some(base), folded) if folded.is_none_or(|folded| folded < base) => {
                Err(Failure::Torn { folded, base })
            }
            (Some(base), _) if self.hash.is_none() => Err(Failure::Torn {
                folded: self.last,
                base,
            }),
            _ => Ok(self),
        }
    }

    /// Folds one outcome; whether to go on. A hole ends the fold, but not before the base: what
    /// the base holds is on the log a second time, behind the hole.
    fn one(&mut self, position: u64, value: &[u8]) -> Result<bool, Failure> {
        let bad = |error: crate::wire::Invalid| Failure::BadOutcome(position, error.to_string());
        let body = OutcomeBody::parse(value).map_err(bad)?;
        match chain::place(self.last, body.offset, body.follows) {
            Place::Next => {}
            Place::Copy => {
                if self.last == Some(body.offset) && self.hash.is_none() {
                    self.hash = Some(hash(value));
                    self.position = position;
                }
                return Ok(true);
            }
            Place::Hole | Place::Fork => return Ok(self.last < self.base),
        }
        known(body.rules.unwrap_or_default())?;
        assert!(
            self.hash.is_none_or(|hash| hash == body.prev),
            "the chain of outcomes breaks at {position}"
        );
        let outcome = body.to_ledger(&mut self.decoder).map_err(bad)?;
        match self.base {
            Some(base) if outcome.offset <= base => self.partition.remember(&outcome),
            Some(_) | None => {
                self.partition.fold(&outcome);
                self.legs.extend(body.legs);
            }
        }
        self.last = Some(body.offset);
        self.hash = Some(hash(value));
        self.position = position;
        Ok(true)
    }
}

/// Refuses to go on from what was decided by rules that this binary does not know.
fn known(rules: u32) -> Result<(), Failure> {
    match rules <= RULES_KNOWN {
        true => Ok(()),
        false => Err(Failure::Rules { asked: rules }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Record, Setting};
    use crate::wire::MarkerBody;
    use uuid::Uuid;

    /// Outcomes of a partition in which nothing can be understood, and its markers.
    fn history(length: u64) -> (Vec<Vec<u8>>, Vec<MarkerBody>) {
        let setting = Setting {
            generation: Uuid::from_u128(7),
            horizon_seconds: 1,
        };
        let mut partition = Partition::new(0, 1);
        let (mut prev, mut values, mut markers) = (NO_HASH, Vec::new(), Vec::new());
        for offset in 0..length {
            let record = match offset {
                0 => Record::Genesis(setting),
                _ => Record::DeadLetter,
            };
            let outcome = partition.apply(offset, 5, &record);
            let mut value = Vec::new();
            prev = OutcomeBody::of(&outcome, 0, prev).seal(&mut value).unwrap();
            values.push(value);
            markers.push(MarkerBody::of(&partition.cut().unwrap(), 0, offset, 1));
        }
        (values, markers)
    }

    fn base(
        marker: &MarkerBody,
        journal: Option<(u64, u64)>,
        journal_hash: Option<[u8; 32]>,
    ) -> Base {
        Base {
            marker: Some(marker.clone()),
            balances: Vec::new(),
            holds: Vec::new(),
            journal,
            journal_hash,
            seen: Vec::new(),
        }
    }

    /// The journal has read up to a hole, and the base lies behind it: what fills the hole comes
    /// later on the log.
    #[test]
    fn a_hole_before_the_base_does_not_end_the_fold() {
        let (values, markers) = history(7);
        let mut fold = Fold::new(base(&markers[5], Some((3, 2)), None), 0, 1).unwrap();
        for (position, at) in [4, 5, 3, 4, 5, 6].into_iter().enumerate() {
            assert!(fold.one(10 + position as u64, &values[at]).unwrap());
        }
        assert_eq!((fold.last, fold.position), (Some(6), 15));
    }

    #[test]
    fn a_hole_after_the_base_ends_the_fold() {
        let (values, markers) = history(7);
        let mut fold = Fold::new(base(&markers[2], Some((3, 2)), None), 0, 1).unwrap();
        assert!(fold.one(2, &values[2]).unwrap());
        assert!(fold.one(3, &values[3]).unwrap());
        assert!(!fold.one(4, &values[5]).unwrap());
        assert_eq!((fold.last, fold.position), (Some(3), 3));
    }

    #[test]
    fn what_unknown_rules_have_decided_is_no_base() {
        let (values, markers) = history(3);
        let marker = MarkerBody {
            rules: RULES_KNOWN + 1,
            ..markers[2].clone()
        };
        let refused = Fold::new(base(&marker, None, None), 0, 1).err();
        assert!(matches!(refused, Some(Failure::Rules { asked }) if asked == RULES_KNOWN + 1));
        let mut fold = Fold::new(base(&markers[1], Some((2, 1)), None), 0, 1).unwrap();
        assert!(fold.one(1, &values[1]).unwrap());
        let text = String::from_utf8(values[2].clone()).unwrap();
        let raised = text.replacen('{', "{\"rules\":99,", 1);
        let refused = fold.one(2, raised.as_bytes()).err();
        assert!(matches!(refused, Some(Failure::Rules { asked: 99 })));
    }

    #[test]
    fn the_journal_knows_where_the_chain_ends_if_it_ends_there() {
        let (values, markers) = history(4);
        let last = hash(&values[2]);
        for (journaled, expected) in [(2, Some(last)), (3, None)] {
            let journal = Some((journaled + 1, journaled));
            let base = base(&markers[2], journal, Some(last.0));
            assert_eq!(Fold::new(base, 0, 1).unwrap().hash, expected);
        }
    }
}
