//! Legs carry money, so only a sealed leg is one: on its way, under its key, with its content.

use steelyard::ledger::PartitionId;
use steelyard::wire::leg::{HEADER, SEAL_HEADER};
use steelyard::wire::record::{Headers, Raw, Recognizer};
use steelyard::wire::{InvalidKind, Secret};

use super::scenario::{Sealed, account, play, recognizer, sealed_headers, secret};

/// The kind of refusal, if it is refused.
fn refused(leg: &Sealed, recognizer: &mut Recognizer) -> Option<InvalidKind> {
    let raw = Raw {
        offset: 1,
        key: Some(leg.key.as_bytes()),
        value: Some(leg.value.as_bytes()),
        headers: sealed_headers(leg),
    };
    recognizer.recognize(&raw).err().map(|invalid| invalid.kind)
}

fn at_home(leg: &Sealed) -> Option<InvalidKind> {
    refused(leg, &mut recognizer(leg.to))
}

fn first_leg() -> Sealed {
    play().legs[0].clone()
}

/// Sealed by someone who has the secret.
fn seal(mut leg: Sealed) -> Sealed {
    let seal = secret().seal(leg.key.as_bytes(), leg.value.as_bytes());
    leg.seal = serde_json::to_value(seal)
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();
    leg
}

const FORGED: Option<InvalidKind> = Some(InvalidKind::ForgedLeg);

#[test]
fn a_leg_as_it_was_sent_is_opened() {
    assert_eq!(at_home(&first_leg()), None);
}

#[test]
fn another_seal_or_none_is_forged() {
    let leg = first_leg();
    let seals = [
        "",
        "00",
        "not hex",
        &"0".repeat(64),
        &format!("{}00", leg.seal),
    ];
    for seal in seals {
        let forged = Sealed {
            seal: seal.to_owned(),
            ..leg.clone()
        };
        assert_eq!(at_home(&forged), FORGED, "{seal}");
    }
    let raw = Raw {
        offset: 1,
        key: Some(leg.key.as_bytes()),
        value: Some(leg.value.as_bytes()),
        headers: Headers::of([(HEADER, Some(&b"1"[..])), (SEAL_HEADER, None)].into_iter()),
    };
    let refused = recognizer(leg.to).recognize(&raw).unwrap_err();
    assert_eq!(
        (refused.kind, &*refused.field),
        (InvalidKind::ForgedLeg, SEAL_HEADER)
    );
}

#[test]
fn a_leg_without_its_header_is_no_command() {
    let leg = first_leg();
    let raw = Raw {
        offset: 1,
        key: Some(leg.key.as_bytes()),
        value: Some(leg.value.as_bytes()),
        headers: Headers::default(),
    };
    let refused = recognizer(leg.to).recognize(&raw).unwrap_err();
    assert_eq!(refused.kind, InvalidKind::MalformedRequest);
}

#[test]
fn another_secret_does_not_open_it() {
    let other = Secret::new("another secret of the tests").unwrap();
    let mut recognizer = Recognizer::new(other, Vec::new(), 1, 2);
    assert_eq!(refused(&first_leg(), &mut recognizer), FORGED);
}

#[test]
fn another_key_is_forged() {
    let leg = first_leg();
    for key in [
        account(1, 1).1.to_string(),
        leg.key.to_uppercase(),
        String::new(),
    ] {
        let forged = Sealed { key, ..leg.clone() };
        assert_eq!(at_home(&forged), FORGED, "{}", forged.key);
    }
}

#[test]
fn a_leg_of_another_way_is_forged() {
    let leg = first_leg();
    // replayed on the partition it came from
    assert_eq!(refused(&leg, &mut recognizer(0)), FORGED);
    // a seal that is right makes no way right that there is not
    let ways = [
        ("\"from\":0", "\"from\":2"),
        ("\"from\":0", "\"from\":1"),
        ("\"to\":1", "\"to\":0"),
        ("\"visit\"", "\"visited\""),
        ("\"step\":\"visit\"", "\"step\":\"unwind\""),
        ("00000000-0000-8008", "00000000-0000-4008"),
        (
            "\"amount\":\"7.00\"}],\"command\"",
            "\"amount\":\"0.00\"}],\"command\"",
        ),
        (
            "\"amount\":\"7.00\"}],\"command\"",
            "\"amount\":\"-7.00\"}],\"command\"",
        ),
    ];
    for (place, text) in ways {
        assert!(leg.value.contains(place), "{place}");
        let value = leg.value.replacen(place, text, 1);
        let way = seal(Sealed {
            value,
            ..leg.clone()
        });
        assert_eq!(at_home(&way), FORGED, "{place} → {text}");
    }
}

#[test]
fn every_bit_of_a_leg_is_sealed() {
    let leg = first_leg();
    let mut recognizer = recognizer(leg.to);
    let mut flip = |part: fn(&mut Sealed) -> &mut String| {
        let length = part(&mut leg.clone()).len();
        for at in 0..length * 7 {
            let mut forged = leg.clone();
            let text = part(&mut forged);
            let mut bytes = std::mem::take(text).into_bytes();
            bytes[at / 7] ^= 1 << (at % 7);
            *text = String::from_utf8(bytes).unwrap();
            // hex digits may be in upper case
            let same = forged.seal.eq_ignore_ascii_case(&leg.seal);
            let untouched = forged.key == leg.key && forged.value == leg.value && same;
            let expected = if untouched { None } else { FORGED };
            assert_eq!(refused(&forged, &mut recognizer), expected, "bit {at}");
        }
    };
    flip(|leg| &mut leg.seal);
    flip(|leg| &mut leg.key);
    flip(|leg| &mut leg.value);
}

#[test]
fn a_secret_has_a_length_and_is_not_shown() {
    assert!(Secret::new("fifteen bytes..").is_err());
    let secret = Secret::new("sixteen bytes...").unwrap();
    assert_eq!(format!("{secret:?}"), "Secret(masked)");
    let count: PartitionId = 2;
    let recognizer = Recognizer::new(secret, Vec::new(), 0, count);
    assert!(!format!("{recognizer:?}").contains("sixteen"));
}
