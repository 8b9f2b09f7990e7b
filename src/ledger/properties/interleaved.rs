//! Many commands at once: partitions take turns in any order, legs wait, come twice, and owners
//! start again. What an answer is then depends on the order; what must hold does not.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::sample::Index;

use super::desk::Desk;
use super::plan::{ASSETS, Submit, openings, submit};
use crate::ledger::rules::RULES_OWN_TRANSIT;
use crate::ledger::tests::names::asset;
use crate::ledger::{Asset, BalanceId, Decision, Direction, PartitionId, Rejection, Step};
use crate::wire::{Decoder, OutcomeBody};

#[derive(Clone, Debug)]
enum Action {
    Submit(Submit),
    Again(Index, Option<u16>),
    /// A partition decides its next record.
    Turn(Index),
    /// A leg arrives.
    Deliver(Index, Index),
    /// A leg that has arrived before comes again.
    Duplicate(Index, Index, Index),
    /// The rules of a partition are raised to the latest.
    Raise(Index),
    /// Cold reaches the present of a partition.
    Marker(Index),
    /// A new owner takes the partition; how much of the outcomes it knows.
    Takeover(Index, Index),
}

fn action() -> impl Strategy<Value = Action> {
    let one = any::<Index>;
    let via = prop::option::weighted(0.2, any::<u16>());
    prop_oneof![
        6 => submit().prop_map(Action::Submit),
        1 => (one(), via).prop_map(|(which, via)| Action::Again(which, via)),
        12 => one().prop_map(Action::Turn),
        8 => (one(), one()).prop_map(|(from, to)| Action::Deliver(from, to)),
        1 => (one(), one(), one()).prop_map(|(f, t, leg)| Action::Duplicate(f, t, leg)),
        1 => one().prop_map(Action::Raise),
        1 => one().prop_map(Action::Marker),
        1 => (one(), one()).prop_map(|(who, known)| Action::Takeover(who, known)),
    ]
}

fn act(desk: &mut Desk, action: &Action) {
    let count = desk.book.count;
    let partition = |which: &Index| PartitionId::try_from(which.index(count.into())).unwrap();
    match action {
        Action::Submit(submit) => {
            desk.submit(submit);
        }
        Action::Again(which, via) => {
            if !desk.asked.is_empty() {
                desk.again(which.index(desk.asked.len()), *via);
            }
        }
        Action::Turn(who) => {
            desk.cluster.turn(partition(who));
        }
        Action::Deliver(from, to) => {
            desk.cluster.deliver(partition(from), partition(to));
        }
        Action::Duplicate(from, to, leg) => {
            let (from, to) = (partition(from), partition(to));
            let arrived = desk.cluster.node(from).appended[usize::from(to)];
            if arrived > 0 {
                desk.cluster.carry(from, to, leg.index(arrived));
            }
        }
        Action::Raise(who) => desk.cluster.raise(partition(who)),
        Action::Marker(who) => desk.cluster.node_mut(partition(who)).checkpoint(),
        Action::Takeover(who, known) => {
            let node = desk.cluster.node_mut(partition(who));
            let outcomes = node.outcomes.len();
            node.restart(known.index(outcomes + 1));
        }
    }
}

/// What the pair of mirrors shows is what the legs carry that were sent and not yet applied.
fn check_wire(desk: &Desk) {
    let count = desk.book.count;
    let ways = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    for (from, to) in ways.filter(|(from, to)| from != to) {
        for asset in ASSETS.map(asset) {
            for own in [false, true] {
                let ledger = own.then_some(&*desk.book.ledger);
                let mirror = |at: PartitionId| {
                    let id = BalanceId::transit((from, to), at, ledger, &asset);
                    let balance = desk.cluster.node(at).partition.balance(id);
                    balance.map_or(0, |balance| balance.state.posted)
                };
                let kind = (own, &asset);
                let out = carried(desk, (from, to), kind, false);
                let back = carried(desk, (to, from), kind, true);
                let shown = mirror(from) + mirror(to);
                assert_eq!(shown, out + back, "{from}>{to} {asset} {ledger:?}");
            }
        }
    }
}

/// What goes out, or comes back, in legs that are not applied yet.
fn carried(
    desk: &Desk,
    (from, to): (PartitionId, PartitionId),
    (own, asset): (bool, &Asset),
    back: bool,
) -> i128 {
    let received = desk.cluster.node(to).partition.received[usize::from(from)];
    let legs = &desk.cluster.node(from).legs[usize::from(to)];
    let waiting = legs.iter().filter(|leg| leg.number > received);
    let kind = waiting.filter(|leg| (leg.rules >= RULES_OWN_TRANSIT) == own);
    let counted = kind.filter(|leg| matches!(leg.step, Step::Unwind { .. }) == back);
    let money = counted.flat_map(|leg| leg.step.carried());
    let sum = money.filter(|money| money.asset == *asset);
    sum.map(|money| money.amount).sum()
}

/// At rest: nothing on the wire, nothing reserved, and every balance is the sum of its entries.
fn check_rest(desk: &Desk) {
    check_wire(desk);
    let mut folded: HashMap<BalanceId, (u64, i128)> = HashMap::new();
    let mut decoder = Decoder::new();
    for node in &desk.cluster.nodes {
        for bytes in &node.outcomes {
            let body = OutcomeBody::parse(bytes).unwrap();
            for entry in body.to_ledger(&mut decoder).unwrap().effects.entries {
                let (version, posted) = folded.entry(entry.balance).or_default();
                *version += 1;
                *posted += match entry.direction {
                    Direction::Debit | Direction::Post | Direction::Force => -entry.amount,
                    Direction::Credit | Direction::Settle => entry.amount,
                    Direction::Open
                    | Direction::Configure
                    | Direction::Reserve
                    | Direction::Release
                    | Direction::Hold
                    | Direction::Void => 0,
                };
            }
        }
    }
    let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
    for node in &desk.cluster.nodes {
        for (id, balance) in node.partition.balances() {
            let state = balance.state;
            assert_eq!((state.held, state.incoming), (0, 0), "{id} at rest");
            assert_eq!(folded[&id], (state.version, state.posted), "L3: {id}");
            *sums.entry(balance.asset).or_default() += state.posted;
        }
        let sent = node.partition.sent.iter().zip(&node.appended);
        assert!(
            sent.into_iter()
                .all(|(sent, arrived)| *sent == *arrived as u64)
        );
    }
    assert!(sums.values().all(|sum| *sum == 0), "L1: {sums:?}");
}

/// Every question has one answer, and one content of a reference has the say (L4).
fn check_answers(desk: &Desk) {
    let reused = Decision::Rejected(Rejection::ReferenceReused);
    let mut decided = HashMap::new();
    for (ticket, (home, json)) in desk.asked.iter().enumerate() {
        let answer = desk.answer(ticket);
        if answer != reused {
            let reference = (home, json["reference"].as_str().unwrap());
            let first = decided.entry(reference).or_insert((json, answer));
            assert_eq!(*first, (json, answer), "L4: {reference:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn money_is_conserved_whatever_the_order(
        count in 1_u16..5,
        openings in openings(),
        actions in prop::collection::vec(action(), 1..120),
    ) {
        let mut desk = Desk::new(count);
        for submit in &openings {
            desk.submit(submit);
        }
        desk.cluster.drain();
        for action in &actions {
            act(&mut desk, action);
            check_wire(&desk);
        }
        desk.cluster.drain();
        check_rest(&desk);
        check_answers(&desk);
    }
}
