//! A broken rule stops the partition, by name: what is folded may come from another owner.

use std::sync::Arc;

use super::message::SETTING;
use super::names::Book;
use crate::ledger::amount::MAX;
use crate::ledger::{Decision, Direction, Outcome, Partition, Record, Rejection};
use crate::wire::Decoder;

/// A partition where alice has 10.00 and a floor of zero, and a transfer of 4.00 to bob that is
/// decided and not folded.
fn decided() -> (Partition, Outcome) {
    let book = Book::new(1);
    let mut partition = Partition::new(0, 1);
    partition.apply(0, 0, &Record::Genesis(SETTING));
    let none = serde_json::json!({});
    let posting = |source, destination, amount| book.posting(source, destination, amount, "USD");
    let commands = [
        book.open("r1", "alice", none.clone()),
        book.open("r2", "bob", none.clone()),
        book.transfer("r3", &[posting("world", "alice", "10")], none.clone()),
        book.transfer("r4", &[posting("alice", "bob", "4")], none),
    ];
    let mut decoder = Decoder::new();
    let mut decide = |partition: &mut Partition, offset: usize| {
        let json = commands[offset - 1].to_string();
        let command = decoder.parse(json.as_bytes(), None, None).unwrap();
        partition.apply(offset as u64, 0, &Record::Command(Arc::new(command)))
    };
    for offset in 1..4 {
        decide(&mut partition, offset);
    }
    let outcome = decide(&mut partition.clone(), 4);
    assert_eq!(outcome.decision, Decision::Applied);
    (partition, outcome)
}

fn fold(break_it: impl FnOnce(&mut Outcome)) {
    let (mut partition, mut outcome) = decided();
    break_it(&mut outcome);
    partition.fold(&outcome);
}

#[test]
fn what_was_decided_is_folded() {
    fold(|_| {});
}

#[test]
#[should_panic(expected = "P1")]
fn a_command_is_not_folded_twice() {
    fold(|outcome| outcome.offset = 3);
}

#[test]
#[should_panic(expected = "L1")]
fn a_debit_needs_its_credit() {
    fold(|outcome| outcome.effects.entries.truncate(1));
}

#[test]
#[should_panic(expected = "L2")]
fn no_debit_goes_below_the_floor() {
    fold(|outcome| {
        let debit = &mut outcome.effects.entries[0];
        debit.amount = 1001;
        debit.after.posted = -1;
    });
}

#[test]
#[should_panic(expected = "L3: balance")]
fn a_version_follows_the_one_before() {
    fold(|outcome| outcome.effects.entries[1].after.version += 1);
}

#[test]
#[should_panic(expected = "L3: posted")]
fn posted_follows_from_the_entry() {
    fold(|outcome| outcome.effects.entries[1].after.posted += 1);
}

#[test]
#[should_panic(expected = "L3: incoming")]
fn incoming_follows_from_the_entry() {
    fold(|outcome| outcome.effects.entries[1].after.incoming += 1);
}

#[test]
#[should_panic(expected = "L3: held of")]
fn held_follows_from_the_entry() {
    fold(|outcome| outcome.effects.entries[0].after.held += 1);
}

#[test]
#[should_panic(expected = "has a sign")]
fn an_amount_has_no_sign() {
    fold(|outcome| {
        let debit = &mut outcome.effects.entries[0];
        debit.amount = -400;
        debit.after.posted = 1400;
    });
}

#[test]
#[should_panic(expected = "out of bounds")]
fn a_balance_has_28_digits() {
    fold(|outcome| {
        let credit = &mut outcome.effects.entries[1];
        credit.amount = MAX + 1;
        credit.after.posted = MAX + 1;
    });
}

#[test]
#[should_panic(expected = "was never opened")]
fn a_balance_begins_with_its_opening() {
    fold(|outcome| outcome.effects.entries[1].balance = Book::new(1).id("carl", &usd()));
}

#[test]
#[should_panic(expected = "L3: balance")]
fn a_balance_is_opened_once() {
    fold(|outcome| {
        let entry = &mut outcome.effects.entries[1];
        (entry.direction, entry.amount, entry.after.version) = (Direction::Open, 0, 1);
        entry.after.posted = 0;
    });
}

#[test]
#[should_panic(expected = "changes its asset")]
fn a_balance_keeps_its_asset() {
    fold(|outcome| outcome.effects.entries[0].asset = super::names::asset("EUR"));
}

#[test]
#[should_panic(expected = "L6: a refused")]
fn a_rejection_has_no_entries() {
    fold(|outcome| outcome.decision = Decision::Rejected(Rejection::InsufficientFunds));
}

#[test]
#[should_panic(expected = "L6: leg 2 to 0")]
fn a_leg_follows_the_one_before() {
    fold(|outcome| outcome.effects.sent.push((0, 2)));
}

#[test]
#[should_panic(expected = "L6: leg 2 from 0")]
fn a_leg_is_received_after_the_one_before() {
    fold(|outcome| outcome.effects.received = Some((0, 2)));
}

fn usd() -> crate::ledger::Asset {
    super::names::asset("USD")
}
