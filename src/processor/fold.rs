//! Outcomes folded on a base: how a state is made of what the log says.
//!
//! Only an outcome that `follows` the last one counts; a copy is skipped. A takeover's fold ends at
//! a hole, for what comes after it is decided again. A standby, who decides nothing, waits behind a
//! hole for the outcome that fills it.

use std::collections::HashSet;

use foldhash::fast::FixedState;

use super::Failure;
use super::batch::{House, Touched, touched};
use crate::cold::base::Base;
use crate::ledger::chain::{self, Place};
use crate::ledger::{Outcome, Partition, PartitionId, RULES_KNOWN, SeenMap};
use crate::log::reader::Found;
use crate::wire::outcome::{OutcomeBody, hash};
use crate::wire::record::{CLAIM_KEY, GENESIS_KEY};
use crate::wire::{Decoder, Hex, LegRecord, MarkerBody, Subject};

/// Outcomes folded on a base.
pub(super) struct Fold {
    pub(super) partition: Partition,
    decoder: Decoder,
    /// The watermark X: legs and what was touched count since then.
    base: Option<u64>,
    /// What must be reached on the log: the watermark, and what the state holds already.
    whole: Option<u64>,
    /// The last outcome that counted.
    last: Option<u64>,
    pub(super) hash: Option<Hex<32>>,
    /// Where on `outcomes` the last outcome is that counted.
    pub(super) position: u64,
    /// Where to go on reading.
    pub(super) from: u64,
    /// Whether it waits behind a hole, or ends there.
    waits: bool,
    legs: Vec<LegRecord>,
    touched: HashSet<Subject, FixedState>,
    house: House,
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
            return Ok(Self::at(Partition::new(number, count), None, 0));
        };
        let watermark = marker.command_offset;
        known(marker.rules)?;
        let hash = base.journal_hash.map(Hex);
        let cut = marker
            .to_cut()
            .map_err(|e| Failure::BadOutcome(watermark, e.to_string()))?;
        let mut seen = SeenMap::default();
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
        let mut fold = Self::at(partition, last, from);
        fold.base = Some(watermark);
        fold.whole = Some(watermark);
        fold.hash = hash.filter(|_| base.journal.map(|(_, journaled)| journaled) == last);
        Ok(fold)
    }

    /// Goes on with `partition` behind the outcome of command `last`, from position `from`.
    pub(super) fn at(partition: Partition, last: Option<u64>, from: u64) -> Self {
        Self {
            house: House::new(&partition),
            partition,
            decoder: Decoder::new(),
            base: None,
            whole: None,
            last,
            hash: None,
            position: from,
            from,
            waits: false,
            legs: Vec::new(),
            touched: HashSet::default(),
            failure: None,
        }
    }

    /// What an owner ends with: its last outcome is at `position` and has `hash`.
    pub(super) fn left(partition: Partition, house: House, hash: Hex<32>, position: u64) -> Self {
        let last = partition.applied();
        let mut fold = Self::at(partition, last, position);
        fold.house = house;
        fold.hash = Some(hash);
        fold.standing_by()
    }

    /// Goes on as a standby's.
    pub(super) fn standing_by(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Whether what was touched since `marker` is all there: an ended hold whose snapshot cold may
    /// lack can be forgotten here.
    pub(super) fn has_all_since(&self, marker: &MarkerBody) -> bool {
        self.house.has_all_since(marker.at.0)
    }

    /// Ends a standby's fold: what is read next is for a takeover from watermark `marker`. Of what
    /// the state holds beyond it only the legs are read again, and what was touched.
    pub(super) fn since(mut self, marker: &MarkerBody) -> Self {
        let watermark = Some(marker.command_offset);
        self.waits = false;
        self.base = watermark;
        self.whole = self.whole.max(self.last).max(watermark);
        if watermark < self.last {
            self.last = watermark;
            self.hash = None;
            self.position = marker.position;
            self.from = marker.position;
        }
        self
    }

    /// Whether the log gave all that the base and the state hold.
    pub(super) fn is_whole(&self) -> bool {
        self.last >= self.whole && (self.whole.is_none() || self.hash.is_some())
    }

    /// Lets go of what a standby does not need.
    pub(super) fn keep_house(&mut self) {
        self.partition.take_touched();
        self.partition.take_touched_holds();
        self.house.keep(&mut self.partition);
    }

    /// The last outcome that counted.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Why nothing more can be folded.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// The legs since the watermark, in order.
    pub(super) fn take_legs(&mut self) -> Vec<LegRecord> {
        std::mem::take(&mut self.legs)
    }

    /// The present state of what was touched since the watermark.
    pub(super) fn take_touched(&mut self, epoch: u64) -> Vec<Touched> {
        self.partition.take_touched();
        self.partition.take_touched_holds();
        let subjects = std::mem::take(&mut self.touched).into_iter();
        subjects
            .filter_map(|subject| touched(&self.partition, subject, epoch))
            .collect()
    }

    /// Counts everything as touched that was changed after command `since`: what cold may lack.
    pub(super) fn touch_since(&mut self, since: Option<u64>) {
        let later = |offset: u64| since.is_none_or(|since| offset > since);
        let balances = self.partition.balances();
        let balances = balances.filter(|(_, balance)| later(balance.offset));
        let holds = self.partition.holds().iter();
        let holds = holds.filter(|(_, hold)| later(hold.offset));
        let subjects = balances.map(|(id, _)| Subject::Balance(id));
        self.touched
            .extend(subjects.chain(holds.map(|(id, _)| Subject::Hold(id))));
    }

    /// Takes one record of `outcomes`; whether to go on.
    pub(super) fn take(&mut self, found: Found<'_>) -> bool {
        self.from = found.offset + 1;
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
        if let Some(failure) = self.take_failure() {
            return Err(failure);
        }
        match (self.is_whole(), self.whole) {
            (false, Some(base)) => Err(Failure::Torn {
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
            Place::Hole | Place::Fork => return Ok(self.waits || self.last < self.whole),
        }
        known(body.rules.unwrap_or_default())?;
        assert!(
            self.hash.is_none_or(|hash| hash == body.prev),
            "the chain of outcomes breaks at {position}"
        );
        let outcome = body.to_ledger(&mut self.decoder).map_err(bad)?;
        match self.partition.applied() {
            Some(applied) if outcome.offset <= applied => self.partition.remember(&outcome),
            Some(_) | None => self.partition.fold(&outcome),
        }
        if !self.waits && self.base.is_none_or(|base| outcome.offset > base) {
            self.touch(&outcome);
            self.legs.extend(body.legs);
        }
        self.last = Some(body.offset);
        self.hash = Some(hash(value));
        self.position = position;
        Ok(true)
    }

    fn touch(&mut self, outcome: &Outcome) {
        let balances = outcome.effects.entries.iter().map(|entry| entry.balance);
        self.touched.extend(balances.map(Subject::Balance));
        let hold = outcome.effects.hold.as_deref();
        self.touched.extend(hold.map(|(id, _)| Subject::Hold(*id)));
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
    use crate::wire::outcome::NO_HASH;
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

    /// A standby decides nothing, so what fills the hole comes from others.
    #[test]
    fn a_standby_waits_behind_a_hole() {
        let (values, markers) = history(7);
        let fold = Fold::new(base(&markers[2], Some((3, 2)), None), 0, 1).unwrap();
        let mut fold = fold.standing_by();
        assert!(!fold.is_whole(), "the end of the chain is not known");
        for (position, at) in [2, 3, 5, 6, 4, 5].into_iter().enumerate() {
            assert!(fold.one(position as u64, &values[at]).unwrap());
        }
        assert_eq!((fold.last, fold.position), (Some(5), 5));
        assert!(fold.is_whole());
    }

    /// The state of a standby, at command 5, is taken over from a watermark before or behind it.
    #[test]
    fn a_takeover_goes_on_where_a_standby_is() {
        let (values, markers) = history(9);
        for (watermark, read) in [(3, 3..9), (5, 6..9), (7, 6..9)] {
            let base = base(&markers[0], Some((1, 0)), Some(hash(&values[0]).0));
            let mut fold = Fold::new(base, 0, 1).unwrap().standing_by();
            for (value, offset) in values[..6].iter().zip(0..) {
                fold.take(Found {
                    offset,
                    key: b"",
                    value,
                });
            }
            let mut fold = fold.since(&markers[watermark]);
            assert_eq!(fold.from, read.start, "from {watermark}");
            for offset in read {
                let value = &values[usize::try_from(offset).unwrap()];
                assert!(fold.take(Found {
                    offset,
                    key: b"",
                    value
                }));
            }
            let fold = fold.ended().unwrap();
            assert_eq!((fold.last, fold.position), (Some(8), 8));
            assert_eq!(fold.partition.cut(), markers[8].to_cut().ok());
        }
    }

    /// The copies that the standby has counted stand before the position of the marker's.
    #[test]
    fn a_standby_that_the_log_does_not_confirm_is_of_no_use() {
        let (values, markers) = history(6);
        let base = base(&markers[0], Some((1, 0)), Some(hash(&values[0]).0));
        let mut fold = Fold::new(base, 0, 1).unwrap().standing_by();
        for (value, offset) in values.iter().zip(0..) {
            fold.take(Found {
                offset,
                key: b"",
                value,
            });
        }
        let mut fold = fold.since(&markers[2]);
        for at in [2, 3] {
            assert!(fold.one(7, &values[at]).unwrap());
        }
        let refused = fold.ended().err();
        assert!(matches!(
            refused,
            Some(Failure::Torn {
                folded: Some(3),
                base: 5
            })
        ));
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
