//! Chain, fold, versions, transit and once.

use super::world::{FIRST, World, day};
use crate::audit::once::{self, Once};
use crate::audit::report::{Check, Verdict};
use crate::audit::scan::{Scan, Scanned};
use crate::audit::transit;
use crate::ledger::PartitionId;
use crate::wire::OutcomeBody;

fn scan(world: &World, partition: PartitionId) -> Scanned {
    let count = PartitionId::try_from(world.partitions.len()).unwrap();
    let mut scan = Scan::new(partition, count, u64::MAX);
    for (position, (key, value)) in (0..).zip(&world.outcomes[usize::from(partition)]) {
        scan.record(position, key.as_bytes(), value);
    }
    scan.finish()
}

/// All checks of a log, and over its partitions.
fn checks(world: &World) -> Vec<Check> {
    let count = PartitionId::try_from(world.partitions.len()).unwrap();
    let (mut checks, mut shores, mut all) = (Vec::new(), Vec::new(), Once::default());
    for partition in 0..count {
        let scanned = scan(world, partition);
        checks.extend(scanned.checks);
        shores.extend(scanned.shore);
        all.absorb(scanned.once);
    }
    let mut transit = Check::new("transit", "pairs");
    transit::pairs(&shores, &mut transit);
    all.finish();
    let twice = all.twice(3600, super::world::GENERATION);
    checks.extend([transit, once::check(&all, &twice)]);
    checks
}

/// The names of the checks that are broken, each once.
fn broken(world: &World) -> Vec<&'static str> {
    let checks = checks(world);
    let broken = checks.iter().filter(|c| c.verdict() == Verdict::Broken);
    let mut names: Vec<_> = broken.map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn said(world: &World, name: &str) -> String {
    let checks = checks(world);
    let mut named = checks.iter().filter(|check| check.name == name);
    let first = named.find_map(|check| check.first.as_ref()).unwrap();
    format!("{first} {}", first.history.join("; "))
}

/// The first command of a partition whose outcome has this text in it.
fn command(world: &World, partition: PartitionId, text: &str) -> u64 {
    let outcomes = world.outcomes[usize::from(partition)].iter().skip(FIRST);
    let mut numbered = (0..).zip(outcomes);
    let has = |value: &[u8]| String::from_utf8_lossy(value).contains(text);
    numbered.find(|(_, (_, value))| has(value)).unwrap().0
}

#[test]
fn a_day_is_clean() {
    let world = day();
    for check in checks(&world) {
        assert_eq!(check.verdict(), Verdict::Proved, "{check:?}");
    }
    let examined = |name: &str| -> u64 {
        let checks = checks(&world);
        let named = checks.iter().filter(|check| check.name == name);
        named.map(|check| check.examined).sum()
    };
    let records: usize = world.commands.iter().map(Vec::len).sum();
    assert_eq!(examined("chain"), records as u64);
    assert_eq!(examined("fold"), records as u64);
    assert_eq!(examined("once"), 10, "the repeat of pay-1 decides nothing");
    assert!(examined("transit") > 0);
}

#[test]
fn a_flipped_amount_breaks_fold_and_chain() {
    let mut world = day();
    let pay = command(&world, 0, "\"reference\":\"pay-1\"");
    world.edit(0, pay, "\"amount\":\"12.50\"", "\"amount\":\"12.51\"");
    assert_eq!(broken(&world), ["chain", "fold"]);
    assert!(
        said(&world, "fold").contains("posted of"),
        "{}",
        said(&world, "fold")
    );
    assert!(said(&world, "fold").contains(&format!("as of command {pay}")));
}

#[test]
fn money_out_of_nothing_breaks_l1() {
    let mut world = day();
    let pay = command(&world, 0, "\"reference\":\"pay-4\"");
    world.edit(0, pay, "\"amount\":\"1.00\"", "\"amount\":\"0.50\"");
    world.edit(0, pay, "\"posted\":\"16.75\"", "\"posted\":\"17.25\"");
    assert!(
        said(&world, "fold").contains("L1"),
        "{}",
        said(&world, "fold")
    );
}

#[test]
fn a_skipped_version_and_a_negative_reservation_break_versions() {
    let mut world = day();
    let pay = command(&world, 0, "\"reference\":\"pay-1\"");
    world.edit(0, pay, "\"version\":3", "\"version\":4");
    assert_eq!(broken(&world), ["chain", "versions"]);
    assert!(said(&world, "versions").contains("goes from version 2 to 4"));
    let mut world = day();
    world.edit(0, pay, "\"held\":\"0.00\"", "\"held\":\"-0.01\"");
    assert_eq!(broken(&world), ["chain", "versions"]);
}

#[test]
fn a_missing_outcome_and_a_wrong_hash_break_the_chain() {
    let mut world = day();
    world.outcomes[0].remove(FIRST + 2);
    assert_eq!(broken(&world), ["chain", "transit"]);
    assert!(said(&world, "chain").contains("the chain ends with command 1"));
    let mut world = day();
    let prev = world.outcomes[1][FIRST + 2].1.clone();
    let prev = String::from_utf8(prev).unwrap();
    let at = prev.find("\"prev\":\"").unwrap() + 8;
    let (hash, other) = (&prev[at..at + 8], "00000000");
    world.edit(1, 2, hash, other);
    assert_eq!(broken(&world), ["chain"]);
    assert!(said(&world, "chain").contains("names another outcome before it"));
}

#[test]
fn the_first_break_of_the_chain_is_named() {
    let mut world = day();
    let commands = [command(&world, 0, "\"reference\":\"pay-1\""), {
        let last = &world.outcomes[0].last().unwrap().1;
        OutcomeBody::parse(last).unwrap().offset
    }];
    for at in commands {
        world.edit(0, at, "\"status\":\"applied\"", "\"status\":\"forwarded\"");
    }
    let told = said(&world, "chain");
    assert!(
        told.contains("does not carry the hash of its bytes"),
        "{told}"
    );
    assert!(told.contains(&format!("command {}", commands[0])), "{told}");

    // Whoever seals the changed record again breaks the one after it.
    let mut world = day();
    let [pay, _] = commands;
    world.edit(0, pay, "\"amount\":\"12.50\"", "\"amount\":\"12.51\"");
    let records = &mut world.outcomes[0];
    let at = records
        .iter()
        .position(|(_, value)| OutcomeBody::parse(value).is_ok_and(|body| body.offset == pay));
    let value = &mut records[at.unwrap()].1;
    let text = value.clone();
    let mut body = OutcomeBody::parse(&text).unwrap();
    body.hash = None;
    value.clear();
    body.seal(value).unwrap();
    let told = said(&world, "chain");
    assert!(told.contains("names another outcome before it"), "{told}");
    assert!(told.contains(&format!("command {}", pay + 1)), "{told}");
}

#[test]
fn copies_are_skipped_and_must_be_the_same_bytes() {
    let mut world = day();
    let copies: Vec<_> = world.outcomes[0][FIRST + 1..FIRST + 4].to_vec();
    world.claim(0);
    world.outcomes[0].extend(copies.clone());
    assert_eq!(broken(&world), [""; 0]);
    let (key, mut value) = copies[1].clone();
    value.push(b' ');
    world.outcomes[0].push((key, value));
    assert_eq!(broken(&world), ["chain"]);
    assert!(said(&world, "chain").contains("differs from the first outcome"));
}

#[test]
fn a_hole_that_is_decided_again_is_no_difference() {
    let mut world = day();
    let lost = world.outcomes[0].remove(FIRST + 3);
    let ahead = world.outcomes[0].split_off(FIRST + 3);
    world.outcomes[0].push(ahead[0].clone());
    world.claim(0);
    world.outcomes[0].push(lost);
    world.outcomes[0].extend(ahead);
    assert_eq!(broken(&world), [""; 0]);
}

#[test]
fn money_on_the_wire_is_listed_and_a_changed_leg_is_found() {
    let mut world = World::new(2);
    let (alice, carol) = (world.open("alice", 0), world.open("carol", 1));
    world.transfer("in", world.world(), alice, "10.00");
    world.deliver();
    world.transfer("pay", alice, carol, "4.00");
    assert_eq!(broken(&world), [""; 0]);
    let notes: Vec<_> = checks(&world)
        .into_iter()
        .flat_map(|check| check.notes)
        .collect();
    assert_eq!(notes, ["0 to 1: 4.00 USD/2 on the wire, 1 legs"]);
    world.deliver();
    let pay = command(&world, 0, "\"reference\":\"pay\"");
    world.edit(
        0,
        pay,
        "\"carried\":[{\"asset\":\"USD/2\",\"amount\":\"4.00\"}]",
        "\"carried\":[{\"asset\":\"USD/2\",\"amount\":\"5.00\"}]",
    );
    assert!(broken(&world).contains(&"transit"));
    assert!(said(&world, "transit").contains("shows 4.00 USD/2, its legs carry 5.00"));
}

#[test]
fn a_leg_that_was_never_sent_is_found() {
    let mut world = day();
    let sent = command(&world, 1, "\"legs\":[");
    let at = FIRST + usize::try_from(sent).unwrap();
    world.outcomes[1].truncate(at);
    assert_eq!(broken(&world), ["transit"]);
    assert!(said(&world, "transit").contains("which has sent 0"));
}

#[test]
fn a_reference_with_two_transactions_is_found() {
    let mut world = World::new(2);
    let (alice, carol) = (world.open("alice", 0), world.open("carol", 1));
    let source = world.world();
    world.transfer("in-1", source, alice, "10.00");
    world.transfer("in-2", source, carol, "10.00");
    world.deliver();
    world.transfer("one", alice, source, "1.00");
    world.deliver();
    assert_eq!(broken(&world), [""; 0]);
    world.transfer("one", carol, source, "1.00");
    world.deliver();
    assert_eq!(broken(&world), ["once"]);
}

#[test]
fn what_cannot_be_read_is_found() {
    let mut world = day();
    let key = "none".to_owned();
    world.outcomes[0].push((key, b"{}".to_vec()));
    assert_eq!(broken(&world), ["chain"]);
}
