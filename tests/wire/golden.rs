//! The bytes of every record, as they always were. `STEELYARD_BLESS=1 cargo test` writes them
//! anew; a difference in review is a format that older binaries may not read.

use std::collections::BTreeSet;
use std::path::Path;

use steelyard::ledger::{Decision, Direction, Partition, Record};
use steelyard::log::topics::SCHEMAS;
use steelyard::wire::outcome;
use steelyard::wire::record::{ClaimBody, GENESIS_KEY, Headers, Raw};
use steelyard::wire::{
    BalanceBody, CommandBody, Decoder, HoldBody, LegBody, MarkerBody, OutcomeBody,
};

use super::scenario::{Sealed, Written, play, play_raised, recognizer, sealed_headers};

/// Compares `lines` with the golden file of that name.
fn check(name: &str, lines: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("STEELYARD_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (line, golden)) in lines.iter().zip(golden.lines()).enumerate() {
        assert_eq!(line, golden, "{name}:{}", number + 1);
    }
    assert_eq!(
        text.lines().count(),
        golden.lines().count(),
        "lines of {name}"
    );
}

fn seals(written: &Written) -> Vec<String> {
    let line = |leg: &Sealed| format!("{} {}", leg.seal, leg.key);
    written.legs.iter().map(line).collect()
}

fn legs(written: &Written) -> Vec<String> {
    written.legs.iter().map(|leg| leg.value.clone()).collect()
}

#[test]
fn every_record_is_written_as_it_always_was() {
    check_all("", play());
    check_all("raised/", play_raised());
}

fn check_all(folder: &str, written: &Written) {
    let check = |name: &str, lines: &[String]| check(&format!("{folder}{name}"), lines);
    check("commands.jsonl", &written.commands);
    check("outcomes.0.jsonl", &written.outcomes[0]);
    check("outcomes.1.jsonl", &written.outcomes[1]);
    check("legs.jsonl", &legs(written));
    check("seals.txt", &seals(written));
    check("snapshots.jsonl", &written.snapshots);
    check("holds.jsonl", &written.holds);
    check("markers.jsonl", &written.markers);
    check("genesis.json", std::slice::from_ref(&written.genesis));
    check("claim.json", std::slice::from_ref(&written.claim));
}

#[test]
fn every_kind_of_record_is_among_them() {
    let written = play();
    let (mut decisions, mut directions) = (BTreeSet::new(), BTreeSet::new());
    let mut replays = 0;
    for line in written.outcomes.iter().flatten() {
        let body = OutcomeBody::parse(line.as_bytes()).unwrap();
        let decision = body.decision().unwrap();
        decisions.insert(match decision {
            Decision::Ignored(ignored) => ignored.slug(),
            Decision::Applied
            | Decision::Held
            | Decision::Posted
            | Decision::Voided
            | Decision::Expired
            | Decision::Forwarded
            | Decision::Rejected(_)
            | Decision::Returned(_) => decision.status(),
        });
        directions.extend(body.entries.iter().map(|entry| entry.direction.to_string()));
        replays += usize::from(body.replay_of.is_some());
    }
    let expected = [
        "applied",
        "dead-letter",
        "expired",
        "forgotten",
        "forwarded",
        "genesis",
        "held",
        "known-leg",
        "leg-gap",
        "misrouted",
        "not-due",
        "posted",
        "rejected",
        "returned",
        "voided",
    ];
    assert_eq!(decisions, BTreeSet::from(expected));
    let expected: BTreeSet<String> = Direction::ALL.map(|it| it.slug().to_owned()).into();
    assert_eq!(directions, expected);
    assert_eq!(replays, 5);
    let step = |leg: &Sealed| {
        let body: LegBody<'_> = serde_json::from_str(&leg.value).unwrap();
        body.step.to_string()
    };
    let steps: BTreeSet<String> = written.legs.iter().map(step).collect();
    let expected = [
        "forward", "give", "question", "release", "settle", "take", "unwind", "visit",
    ];
    assert_eq!(steps, expected.map(str::to_owned).into());
}

/// Whose money it is shows in every leg that may move some, and in no other.
#[test]
fn by_later_rules_a_leg_says_so() {
    let rules = |leg: &Sealed| {
        let body: LegBody<'_> = serde_json::from_str(&leg.value).unwrap();
        (body.step.to_string(), body.rules)
    };
    let said: BTreeSet<_> = play_raised().legs.iter().map(rules).collect();
    let moves = ["give", "release", "settle", "take", "unwind", "visit"];
    let moves = moves.map(|step| (step.to_owned(), Some(3)));
    let mut expected = BTreeSet::from(moves);
    expected.insert(("question".to_owned(), None));
    assert_eq!(said, expected);
    assert!(play().legs.iter().all(|leg| rules(leg).1.is_none()));
}

#[test]
fn every_record_fits_its_schema() {
    [play(), play_raised()].into_iter().for_each(fits);
}

fn fits(written: &Written) {
    let outcomes = written.outcomes.concat();
    let records = [
        ("command", &written.commands[..]),
        ("outcome", &outcomes),
        ("snapshot", &written.snapshots),
        ("hold", &written.holds),
        ("marker", &written.markers),
        ("genesis", std::slice::from_ref(&written.genesis)),
        ("claim", std::slice::from_ref(&written.claim)),
    ];
    for (name, lines) in records {
        let (_, schema) = SCHEMAS.iter().find(|(known, _)| *known == name).unwrap();
        let schema = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for line in lines {
            let value = serde_json::from_str(line).unwrap();
            assert!(validator.is_valid(&value), "{name}: {line}");
        }
    }
}

#[test]
fn what_was_written_is_read_and_written_again() {
    [play(), play_raised()].into_iter().for_each(is_read);
}

fn is_read(written: &Written) {
    let mut decoder = Decoder::new();
    for line in &written.commands {
        let command = decoder.parse(line.as_bytes(), None, None).unwrap();
        assert_eq!(&json(&CommandBody::of(&command)), line);
    }
    for line in written.outcomes.iter().flatten() {
        assert_eq!(&json(&OutcomeBody::parse(line.as_bytes()).unwrap()), line);
    }
    for line in &written.snapshots {
        let body = BalanceBody::parse(line.as_bytes()).unwrap();
        let ledger = outcome::shared_ledger(&mut decoder, &body.ledger);
        let (id, balance) = body.to_ledger(ledger).unwrap();
        let again = BalanceBody::of(id, &balance, body.partition, body.epoch);
        assert_eq!(&json(&again), line);
    }
    for line in &written.holds {
        let body = HoldBody::parse(line.as_bytes()).unwrap();
        let (id, hold) = body.to_ledger(&mut decoder).unwrap();
        let again = HoldBody {
            partition: body.partition,
            epoch: body.epoch,
            ..HoldBody::of(id, &hold)
        };
        assert_eq!(&json(&again), line);
    }
    for line in &written.markers {
        let body = MarkerBody::parse(line.as_bytes()).unwrap();
        let cut = body.to_cut().unwrap();
        let again = MarkerBody::of(&cut, body.partition, body.position, body.epoch);
        assert_eq!(&json(&again), line);
    }
    let claim: ClaimBody = serde_json::from_str(&written.claim).unwrap();
    assert_eq!(json(&claim), written.claim);
}

#[test]
fn every_leg_opens_where_it_goes() {
    for leg in play().legs.iter().chain(&play_raised().legs) {
        let raw = Raw {
            offset: 1,
            key: Some(leg.key.as_bytes()),
            value: Some(leg.value.as_bytes()),
            headers: sealed_headers(leg),
        };
        let record = recognizer(leg.to).recognize(&raw).unwrap();
        let Record::Leg(opened) = record else {
            panic!("{record:?} is no leg");
        };
        let command = opened.step.command();
        if command.kind() != "expire" {
            let reply = command.note.reply.as_ref().unwrap();
            assert_eq!(&*reply.correlation, b"\x00ticket\xff");
            assert_eq!((&*reply.topic, reply.partition), ("replies", Some(3)));
            assert!(command.note.trace.is_some());
        }
        let again = steelyard::wire::LegRecord::of(&opened);
        assert_eq!(again.value.get(), leg.value);
    }
}

#[test]
fn outcomes_are_a_chain_that_folds_to_the_marker_and_the_snapshots() {
    [play(), play_raised()].into_iter().for_each(folds);
}

fn folds(written: &Written) {
    let mut snapshots = Vec::new();
    for (id, outcomes) in (0..).zip(&written.outcomes) {
        let (mut partition, mut decoder) = (Partition::new(id, 2), Decoder::new());
        let mut prev = outcome::NO_HASH;
        for line in outcomes {
            let body = OutcomeBody::parse(line.as_bytes()).unwrap();
            assert_eq!(body.prev, prev);
            assert_eq!(body.follows, partition.applied());
            prev = outcome::hash(line.as_bytes());
            partition.fold(&body.to_ledger(&mut decoder).unwrap());
        }
        let marker = MarkerBody::of(&partition.cut().unwrap(), id, 99, 7);
        assert_eq!(json(&marker), written.markers[usize::from(id)]);
        let mut balances: Vec<_> = partition.balances().collect();
        balances.sort_by_key(|(id, _)| *id);
        let body = balances
            .into_iter()
            .map(|(b, state)| json(&BalanceBody::of(b, &state, id, 7)));
        snapshots.extend(body);
    }
    assert_eq!(snapshots, written.snapshots);
}

#[test]
fn a_genesis_record_counts_only_as_the_first() {
    let written = play();
    let at = |offset| {
        let raw = Raw {
            offset,
            key: Some(GENESIS_KEY.as_bytes()),
            value: Some(written.genesis.as_bytes()),
            headers: Headers::default(),
        };
        recognizer(0).recognize(&raw)
    };
    assert!(matches!(at(0), Ok(Record::Genesis(_))));
    assert!(at(1).is_err());
}

fn json<T: serde::Serialize>(body: &T) -> String {
    serde_json::to_string(body).unwrap()
}
