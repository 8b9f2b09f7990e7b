//! What is remembered of a reference, in as few bytes as those of one partition need.
//!
//! Offsets and times of one dedupe horizon lie close together. So they are written down by their
//! distance from the least of them, and how many bits that takes is agreed on for all. What does
//! not fit the frame asks for a wider one.

use super::outcome::Decision;
use super::seen::Seen;

/// Bytes of a fingerprint.
const FINGERPRINT: usize = 8;
/// Bits of a decision's place among those known.
const DECISION_BITS: u32 = 7;
/// What a new frame has room for at least: offsets, and seconds.
const ROOM: (u64, u64) = (1 << 22, 1 << 18);

#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    offset: Span,
    seconds: Span,
    /// Those that were remembered; there are fewer than 2^7 altogether.
    decisions: Vec<Decision>,
}

/// Numbers from `least` on that differ from it in the lower `bits`.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    least: u64,
    bits: u32,
}

/// The least and the greatest of some numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    offset: (u64, u64),
    seconds: (u64, u64),
}

impl Range {
    pub(super) fn of(seen: &Seen) -> Self {
        let seconds = u64::from(seen.at_seconds);
        Self {
            offset: (seen.offset, seen.offset),
            seconds: (seconds, seconds),
        }
    }

    #[must_use]
    pub(super) fn with(self, seen: &Seen) -> Self {
        let both = |(least, most): (u64, u64), one: u64| (least.min(one), most.max(one));
        Self {
            offset: both(self.offset, seen.offset),
            seconds: both(self.seconds, u64::from(seen.at_seconds)),
        }
    }
}

impl Span {
    /// Room for all of `least..=most`, and as much before and behind: what comes next asks for
    /// another frame only once there is twice as much of it.
    fn around((least, most): (u64, u64), room: u64) -> Self {
        let length = most.saturating_sub(least).max(room);
        let least = least.saturating_sub(length);
        let span = most.saturating_add(length).saturating_sub(least);
        let bits = u64::BITS.saturating_sub(span.leading_zeros());
        Self { least, bits }
    }

    fn write(self, number: u64) -> Option<u128> {
        let distance = u128::from(number.checked_sub(self.least)?);
        (distance >> self.bits == 0).then_some(distance)
    }

    fn read(self, bits: u128) -> u64 {
        let distance = bits & !(u128::MAX << self.bits);
        let distance = u64::try_from(distance).unwrap_or(u64::MAX);
        self.least.saturating_add(distance)
    }
}

impl Frame {
    /// A frame that `range` fits.
    pub(super) fn around(&self, range: Range) -> Self {
        let mut frame = Self {
            offset: Span::around(range.offset, ROOM.0),
            seconds: Span::around(range.seconds, ROOM.1),
            decisions: self.decisions.clone(),
        };
        // What is left of the last byte.
        let spare = (frame.width().saturating_sub(FINGERPRINT)).saturating_mul(8);
        let spare = u32::try_from(spare)
            .unwrap_or(0)
            .saturating_sub(frame.bits());
        frame.offset.bits = frame.offset.bits.saturating_add(spare);
        frame
    }

    /// How many bytes everything takes.
    pub(super) fn width(&self) -> usize {
        let bytes = usize::try_from(self.bits().div_ceil(8)).unwrap_or(0);
        FINGERPRINT.saturating_add(bytes)
    }

    fn bits(&self) -> u32 {
        let numbers = self.offset.bits.saturating_add(self.seconds.bits);
        numbers.saturating_add(DECISION_BITS)
    }

    /// The first [`Frame::width`] of these bytes, if it fits.
    pub(super) fn write(&mut self, seen: &Seen) -> Option<[u8; 24]> {
        let offset = self.offset.write(seen.offset)?;
        let seconds = self.seconds.write(seen.at_seconds.into())?;
        let numbers = (offset << self.seconds.bits) | seconds;
        let word = (numbers << DECISION_BITS) | self.decision(seen.decision);
        let mut bytes = [0; 24];
        bytes[..FINGERPRINT].copy_from_slice(&seen.fingerprint.to_le_bytes());
        bytes[FINGERPRINT..].copy_from_slice(&word.to_le_bytes());
        Some(bytes)
    }

    /// Reads what [`Frame::write`] wrote.
    pub(super) fn read(&self, bytes: &[u8]) -> Seen {
        let (fingerprint, numbers) = bytes.split_at(FINGERPRINT);
        let (mut low, mut word) = ([0; 8], [0; 16]);
        low.copy_from_slice(fingerprint);
        word[..numbers.len()].copy_from_slice(numbers);
        let word = u128::from_le_bytes(word);
        let place = usize::try_from(word & !(u128::MAX << DECISION_BITS)).unwrap_or(0);
        let seconds = self.seconds.read(word >> DECISION_BITS);
        let offset = self.offset.read(word >> DECISION_BITS >> self.seconds.bits);
        Seen {
            fingerprint: u64::from_le_bytes(low),
            offset,
            at_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            decision: self.decisions[place],
        }
    }

    fn decision(&mut self, decision: Decision) -> u128 {
        let mut known = self.decisions.iter();
        let place = known.position(|known| *known == decision);
        let place = place.unwrap_or_else(|| {
            self.decisions.push(decision);
            self.decisions.len().saturating_sub(1)
        });
        let place = u128::try_from(place).unwrap_or(u128::MAX);
        assert!(place >> DECISION_BITS == 0, "there are fewer decisions");
        place
    }
}
