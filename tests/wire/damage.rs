//! Damaged records: cut off anywhere, or with bits flipped. They are refused or read as something
//! else, and nothing panics.

use proptest::prelude::*;
use steelyard::wire::outcome::{self, OutcomeBody};
use steelyard::wire::record::{ClaimBody, Headers, Raw, genesis};
use steelyard::wire::{BalanceBody, Decoder, HoldBody, LegBody, MarkerBody};

use super::scenario::{Written, play, recognizer, sealed_headers};

/// Reads `bytes` as the record it was; true if something could be read.
type Read = fn(&[u8]) -> bool;

fn command(bytes: &[u8]) -> bool {
    Decoder::new().parse(bytes, None, None).is_ok()
}

fn outcome(bytes: &[u8]) -> bool {
    let Ok(body) = OutcomeBody::parse(bytes) else {
        return false;
    };
    let _ = body.decision();
    let _ = body.to_ledger(&mut Decoder::new());
    true
}

fn leg(bytes: &[u8]) -> bool {
    let body: Result<LegBody<'_>, _> = serde_json::from_slice(bytes);
    body.is_ok_and(|body| {
        let _ = Decoder::new().accept(&body.command, None, None);
        true
    })
}

fn snapshot(bytes: &[u8]) -> bool {
    let Ok(body) = BalanceBody::parse(bytes) else {
        return false;
    };
    let ledger = outcome::shared_ledger(&mut Decoder::new(), &body.ledger);
    let _ = body.to_ledger(ledger);
    true
}

fn hold(bytes: &[u8]) -> bool {
    HoldBody::parse(bytes).is_ok_and(|body| {
        let _ = body.to_ledger(&mut Decoder::new());
        true
    })
}

fn marker(bytes: &[u8]) -> bool {
    MarkerBody::parse(bytes).is_ok_and(|body| {
        let _ = body.to_cut();
        true
    })
}

fn claim(bytes: &[u8]) -> bool {
    serde_json::from_slice::<ClaimBody>(bytes).is_ok()
}

/// Every record of the day, and how it is read.
fn records(written: &Written) -> Vec<(Read, Vec<u8>)> {
    let mut records: Vec<(Read, Vec<u8>)> = Vec::new();
    let mut add = |read: Read, line: &String| records.push((read, line.clone().into_bytes()));
    written.commands.iter().for_each(|line| add(command, line));
    let outcomes = written.outcomes.iter().flatten();
    outcomes.for_each(|line| add(outcome, line));
    written
        .legs
        .iter()
        .for_each(|sealed| add(leg, &sealed.value));
    written
        .snapshots
        .iter()
        .for_each(|line| add(snapshot, line));
    written.holds.iter().for_each(|line| add(hold, line));
    written.markers.iter().for_each(|line| add(marker, line));
    add(|bytes| genesis(bytes).is_ok(), &written.genesis);
    add(claim, &written.claim);
    records
}

#[test]
fn a_record_that_is_cut_off_is_refused() {
    for (read, bytes) in records(play()) {
        assert!(read(&bytes));
        for length in 0..bytes.len() {
            assert!(
                !read(&bytes[..length]),
                "the first {length} bytes of {bytes:?}"
            );
        }
    }
}

#[test]
fn a_record_with_more_behind_it_is_refused() {
    for (read, mut bytes) in records(play()) {
        bytes.push(b' ');
        assert!(read(&bytes));
        bytes.push(b'x');
        assert!(!read(&bytes), "{bytes:?}");
    }
}

#[test]
fn a_flipped_bit_panics_nothing() {
    for (read, mut bytes) in records(play()) {
        for at in 0..bytes.len() {
            let flip = 1 << (at % 8);
            bytes[at] ^= flip;
            read(&bytes);
            bytes[at] ^= flip;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_damage_panics_anything(
        which: prop::sample::Index,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let records = records(play());
        let (read, mut bytes) = records[which.index(records.len())].clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(&bytes);
    }

    #[test]
    fn no_bytes_panic_the_recognizer(
        offset in 0_u64..2,
        key in prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            Just(b"genesis".to_vec()),
        ]),
        value in prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}\":,a-z0-9 .eE+-]{0,200}".prop_map(String::into_bytes),
        ]),
        sealed: bool,
    ) {
        let leg = &play().legs[0];
        let headers = if sealed { sealed_headers(leg) } else { Headers::default() };
        let raw = Raw { offset, key: key.as_deref(), value: value.as_deref(), headers };
        prop_assert!(recognizer(leg.to).recognize(&raw).is_err());
    }
}
