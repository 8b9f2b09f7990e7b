//! Whatever is lost, late, doubled or out of order: there is the true state, or none.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::ledger::{Partition, Record, Setting};
use crate::wire::outcome::NO_HASH;

const ACCOUNTS: u8 = 4;
const HORIZON_SECONDS: u64 = 100;

fn id(account: u8) -> Uuid {
    let asset = crate::ledger::Asset::parse("USD").unwrap();
    BalanceId::of("default/main", &format!("a{account}"), &asset, "default").uuid()
}

/// What a command does, by a number drawn for it.
fn command(number: usize, drawn: (u8, u8, u8)) -> String {
    let (kind, one) = (drawn.0 % 8, drawn.1 % ACCOUNTS);
    let other = (one + 1 + drawn.2 % (ACCOUNTS - 1)) % ACCOUNTS;
    let (kind, key, body) = match kind {
        0 => (
            "open",
            "open",
            json!({"account": format!("a{one}"), "asset": "USD", "floor": "-1000"}),
        ),
        1 => (
            "configure",
            "configure",
            json!({"balance": id(one), "asset": "USD", "floor": format!("-{}", 500 + u32::from(drawn.2))}),
        ),
        _ => (
            "transfer",
            "postings",
            json!([{"source": id(one), "destination": id(other), "amount": "1.00",
                    "asset": "USD"}]),
        ),
    };
    let mut body = json!({key: body, "type": kind, "ledger": "main"});
    body["reference"] = json!(format!("r{number}"));
    if drawn.0 > 200 && kind == "transfer" {
        body["hold"] = json!({"expires_in": "1h"});
    }
    body.to_string()
}

/// A history: what was decided, the state after each command, and markers.
struct History {
    outcomes: Vec<Vec<u8>>,
    states: Vec<Partition>,
    markers: Vec<MarkerBody>,
}

fn history(drawn: &[(u8, u8, u8)]) -> History {
    let mut partition = Partition::new(0, 1);
    let mut decoder = Decoder::new();
    let setting = Setting {
        generation: Uuid::from_u128(7),
        horizon_seconds: HORIZON_SECONDS,
    };
    let (mut prev, mut all) = (NO_HASH, Vec::new());
    let opens = (0..ACCOUNTS).map(|account| (0, account, 0));
    let commands: Vec<_> = opens.chain(drawn.iter().copied()).collect();
    for offset in 0..=commands.len() {
        let record = match offset.checked_sub(1) {
            None => Record::Genesis(setting),
            Some(at) => {
                let text = command(at, commands[at]);
                let parsed = decoder.parse(text.as_bytes(), None, None).unwrap();
                Record::Command(Arc::new(parsed))
            }
        };
        let at_ms = i64::try_from(offset).unwrap() * 10_000;
        let outcome = partition.apply(offset as u64, at_ms, &record);
        let mut value = Vec::new();
        prev = OutcomeBody::of(&outcome, 0, prev).seal(&mut value).unwrap();
        let marker = MarkerBody::of(&partition.cut().unwrap(), 0, offset as u64, 1);
        all.push((value, partition.clone(), marker));
    }
    let mut history = History {
        outcomes: Vec::new(),
        states: Vec::new(),
        markers: Vec::new(),
    };
    for (value, state, marker) in all {
        history.outcomes.push(value);
        history.states.push(state);
        history.markers.push(marker);
    }
    history
}

/// Gives `sift` the snapshots of the state after command `at`.
fn published(sift: &mut Sift, history: &History, at: usize, lost: &[bool]) {
    let state = &history.states[at];
    let mut lost = lost.iter().cycle();
    let mut balances: Vec<_> = state.balances().collect();
    balances.sort_unstable_by_key(|(id, _)| *id);
    for (id, balance) in balances {
        let value = serde_json::to_vec(&BalanceBody::of(id, &balance, 0, 1)).unwrap();
        give(sift, Sift::snapshot, (b"balance:", &value), lost.next());
    }
    let mut holds: Vec<_> = state.holds().iter().collect();
    holds.sort_unstable_by_key(|(id, _)| *id);
    for (id, hold) in holds {
        let value = serde_json::to_vec(&HoldBody::snapshot(id, hold, 0, 1)).unwrap();
        give(sift, Sift::snapshot, (b"hold:", &value), lost.next());
    }
}

fn give(
    sift: &mut Sift,
    take: fn(&mut Sift, Found<'_>) -> bool,
    (key, value): (&[u8], &[u8]),
    lost: Option<&bool>,
) {
    let offset = 0;
    let found = Found { offset, key, value };
    assert!(lost == Some(&true) || take(sift, found));
}

proptest! {
    /// Whatever snapshots are lost, late or too new, and in whatever order outcomes stand of
    /// which the first ones are gone: there is the true state, or none.
    #[test]
    fn what_is_told_is_true(
        drawn in prop::collection::vec(any::<(u8, u8, u8)>(), 1..40),
        covers in any::<prop::sample::Index>(),
        flushes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::collection::vec(any::<bool>(), 1..6)), 0..4),
        gone in any::<prop::sample::Index>(),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let history = history(&drawn);
        let length = history.outcomes.len();
        let covers = covers.index(length);
        let mut sift = Sift::new(history.markers[covers].clone(), 0);
        for (at, lost) in &flushes {
            published(&mut sift, &history, at.index(length), lost);
        }
        let mut order: Vec<usize> = (gone.index(covers + 1)..length).collect();
        for at in &twice {
            let at = at.index(order.len());
            order.push(order[at]);
            order.swap(at, 0);
        }
        for at in order {
            give(&mut sift, Sift::outcome, (b"", &history.outcomes[at]), None);
        }
        let truth = &history.states[covers];
        if let Ok(told) = sift.told() {
            let reaches = told.has_all_references().is_ok();
            let balances: HashMap<BalanceId, Balance> = told.balances.into_iter().collect();
            let expected: HashMap<_, _> = truth.balances().collect();
            prop_assert_eq!(balances, expected);
            let holds: HashMap<TransactionId, Hold> = told.holds.into_iter().collect();
            let expected = truth.holds().iter().map(|(id, hold)| (id, hold.clone()));
            prop_assert_eq!(holds, expected.collect::<HashMap<_, _>>());
            let seen: HashMap<SeenKey, Seen> = told.seen.into_iter().collect();
            let at_ms = truth.log_time_ms();
            for (key, known) in truth_seen(&history, covers) {
                let counts = i64::from(known.at_seconds) * 1000 >= at_ms - 100_000;
                prop_assert!(!(reaches && counts) || seen.get(&key) == Some(&known));
            }
        }
    }

    /// With all snapshots as of the marker nothing is needed but outcomes over the horizon.
    #[test]
    fn all_snapshots_and_the_horizon_are_enough(
        drawn in prop::collection::vec(any::<(u8, u8, u8)>(), 15..40),
    ) {
        let history = history(&drawn);
        let covers = history.outcomes.len() - 1;
        let mut sift = Sift::new(history.markers[covers].clone(), 0);
        published(&mut sift, &history, covers, &[false]);
        for value in &history.outcomes[covers - 12..] {
            give(&mut sift, Sift::outcome, (b"", value), None);
        }
        let told = sift.told().unwrap();
        prop_assert!(told.has_all_references().is_ok());
    }
}

/// A snapshot that claims to be of c, or before, and says more than the log has decided.
#[test]
fn what_nobody_decided_is_no_base() {
    let history = history(&[(2, 0, 0), (2, 1, 1)]);
    let covers = history.outcomes.len() - 1;
    for ahead in [0, 1] {
        let mut sift = Sift::new(history.markers[covers].clone(), 0);
        published(&mut sift, &history, covers, &[false]);
        let mut balances = history.states[covers].balances();
        let (id, mut balance) = balances.next().unwrap();
        balance.state.version += ahead;
        let value = serde_json::to_vec(&BalanceBody::of(id, &balance, 0, 1)).unwrap();
        give(&mut sift, Sift::snapshot, (b"balance:", &value), None);
        for value in &history.outcomes {
            give(&mut sift, Sift::outcome, (b"", value), None);
        }
        assert_eq!(sift.told().is_ok(), ahead == 0);
    }
}

/// Everything that was decided up to `covers`, as outcomes say it.
fn truth_seen(history: &History, covers: usize) -> HashMap<SeenKey, Seen> {
    let mut decoder = Decoder::new();
    let outcomes = history.outcomes[..=covers].iter().map(|value| {
        let body = OutcomeBody::parse(value).unwrap();
        body.to_ledger(&mut decoder).unwrap()
    });
    let marks = outcomes.filter_map(|outcome| Some((outcome.effects.mark?, outcome.at_ms)));
    marks
        .map(|(mark, at_ms)| (mark.key, mark.seen(at_ms)))
        .collect()
}
