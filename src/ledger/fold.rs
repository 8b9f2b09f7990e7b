//! The one place that writes a partition's state.
//!
//! A fresh decision and one read back from `outcomes` are folded alike, so an owner that restores
//! ends with the state of the owner that decided. The rules are asserted here, in release builds.

use super::asset::Asset;
use super::balance::{Balance, State};
use super::hold::Hold;
use super::id::{BalanceId, TransactionId};
use super::outcome::{Decision, Direction, Effects, Entry};
use super::partition::Partition;
use super::resident::Resident;
use super::route::partition_of;
use super::rules::Raise;

/// Folds the decision on command `offset` into `partition`.
///
/// # Panics
/// If a rule would be broken; nothing of the state may be used after that.
pub(super) fn fold(
    partition: &mut Partition,
    offset: u64,
    at_ms: i64,
    decision: Decision,
    effects: &Effects,
) {
    assert!(
        partition.applied.is_none_or(|applied| applied < offset),
        "P1: command {offset} comes after {:?}",
        partition.applied
    );
    let refused = matches!(decision, Decision::Rejected(_) | Decision::Ignored(_));
    assert!(
        !refused || (effects.entries.is_empty() && effects.hold.is_none()),
        "L6: a refused or ignored record changes no balance and no hold"
    );
    for entry in &effects.entries {
        fold_entry(partition, offset, decision, entry);
    }
    // Only these assets can have changed: the check costs as much as the decision, however many
    // assets there are.
    let mut sums = effects.entries.iter().map(|entry| &entry.asset);
    assert!(
        sums.all(|asset| partition.posted.get(asset).is_none_or(|sum| *sum == 0)),
        "L1: posted sums to {:?} after command {offset}",
        partition.posted
    );
    fold_hold(partition, effects);
    fold_legs(partition, effects);
    if let Some(mark) = effects.mark {
        partition.seen.insert(mark.key, mark.seen(at_ms));
    }
    if let Some(rules) = effects.rules {
        partition.rules.raise(Raise { rules, offset });
    }
    if let Some((ledger, before_ms)) = &effects.closed {
        let closed = partition.closed.entry(ledger.clone());
        let closed = closed.or_insert(*before_ms);
        *closed = (*closed).max(*before_ms);
    }
    if let Some(setting) = effects.setting {
        partition.setting = Some(setting);
    }
    partition.applied = Some(offset);
    partition.log_time_ms = partition.log_time_ms.max(at_ms);
}

/// Puts a balance of the base in its place.
pub(super) fn install(partition: &mut Partition, id: BalanceId, balance: Balance) {
    assert!(
        balance.state.sound(),
        "a stored balance {id} is out of bounds"
    );
    count(partition, &State::default(), &balance.state, &balance);
    let twin = partition.balances.find(id);
    assert!(twin.is_none(), "balance {id} stands twice in the base");
    partition.balances.add(id, balance);
}

fn fold_entry(partition: &mut Partition, offset: u64, decision: Decision, entry: &Entry) {
    let id = entry.balance;
    let balances = &mut partition.balances;
    let place = balances.find(id).unwrap_or_else(|| {
        assert!(entry.direction == Direction::Open, "{id} was never opened");
        balances.add(id, opened(entry))
    });
    if let Some(terms) = entry.terms.as_deref() {
        balances.bound(place, terms.floor, terms.ceiling, terms.status);
    }
    let balance = balances.at_mut(place);
    check_change(&balance.state(), entry);
    assert!(
        balance.class().asset == entry.asset,
        "balance {id} changes its asset"
    );
    if matches!(
        decision,
        Decision::Applied | Decision::Held | Decision::Forwarded
    ) {
        check_limits(balance, entry);
    }
    balance.set(entry.after, offset);
    let posted = partition.posted.entry(entry.asset).or_default();
    let sum = posted.checked_add(entry.direction.posted_change(entry.amount));
    *posted = sum.expect("a sum of bounded amounts fits");
    let version_sum = partition.version_sum.checked_add(1);
    partition.version_sum = version_sum.expect("versions fit 64 bits");
    partition.highest_offset = Some(offset);
    if partition.touched.last() != Some(&id) {
        partition.touched.push(id);
    }
}

/// That the entry alone leads from `before` to what it says comes after.
fn check_change(before: &State, entry: &Entry) {
    let (id, after) = (entry.balance, &entry.after);
    assert!(entry.amount >= 0, "an entry of {id} has a sign");
    assert!(
        before.version.checked_add(1) == Some(after.version),
        "L3: balance {id} goes from version {} to {}",
        before.version,
        after.version
    );
    let posted = entry.direction.posted_change(entry.amount);
    assert!(
        before.posted.checked_add(posted) == Some(after.posted),
        "L3: posted of {id} does not follow from its entry"
    );
    let incoming = entry.direction.incoming_change(entry.amount);
    assert!(
        before.incoming.checked_add(incoming) == Some(after.incoming),
        "L3: incoming of {id} does not follow from its entry"
    );
    let held = entry.direction.held_change(entry.amount);
    assert!(
        before.held.checked_add(held) == Some(after.held),
        "L3: held of {id} does not follow from its entry"
    );
    assert!(after.sound(), "balance {id} is out of bounds");
}

fn check_limits(balance: &Resident, entry: &Entry) {
    match entry.direction {
        Direction::Debit | Direction::Hold => {
            assert!(
                entry.after.above(balance.class().floor),
                "L2: {} is below its floor",
                entry.balance
            );
        }
        Direction::Credit | Direction::Reserve => {
            assert!(
                entry.after.below(balance.class().ceiling),
                "L2: {} is over its ceiling",
                entry.balance
            );
        }
        Direction::Open
        | Direction::Configure
        | Direction::Settle
        | Direction::Release
        | Direction::Post
        | Direction::Void
        | Direction::Force => {}
    }
}

/// Puts the hold in its place; what entries did to held is what became of its rests (L7).
fn fold_hold(partition: &mut Partition, effects: &Effects) {
    let Some((id, after)) = effects.hold.as_deref() else {
        let mut held = effects.entries.iter();
        assert!(
            held.all(|entry| entry.direction.held_change(entry.amount) == 0),
            "L7: held changes without a hold"
        );
        return;
    };
    let before = partition.holds.get(*id);
    let version = before.map_or(0, |before| before.version);
    assert!(
        version.checked_add(1) == Some(after.version),
        "L3: hold {id} goes from version {version} to {}",
        after.version
    );
    for part in &after.parts {
        assert!(part.rest >= 0, "L7: hold {id} has a rest below zero");
        assert!(
            (0..=part.posted).contains(&part.reversed),
            "L8: {} is reversed of {} in {id}",
            part.reversed,
            part.posted
        );
    }
    let mut assets: Vec<Asset> = after.parts.iter().map(|part| part.asset).collect();
    assets.sort_unstable();
    assets.dedup();
    for asset in assets {
        let was = before.map_or(0, |before| held(partition, before, asset));
        let is = held(partition, after, asset);
        let entries = effects.entries.iter();
        let entries = entries.filter(|entry| entry.asset == asset);
        let moved = entries.map(|entry| entry.direction.held_change(entry.amount));
        assert!(
            was.checked_add(moved.sum()) == Some(is),
            "L7: held does not follow from the rests of hold {id}"
        );
    }
    put(partition, *id, after.clone());
}

fn put(partition: &mut Partition, id: TransactionId, hold: Hold) {
    partition.holds.insert(id, hold);
    if partition.touched_holds.last() != Some(&id) {
        partition.touched_holds.push(id);
    }
}

/// What is left of a hold on sources of this partition.
fn held(partition: &Partition, hold: &Hold, asset: Asset) -> i128 {
    let here = |id| partition_of(id, partition.count) == partition.id;
    hold.held_at(here, asset)
}

fn opened(entry: &Entry) -> Balance {
    let terms = entry.terms.as_deref();
    let terms = terms.expect("an opening entry carries its terms");
    terms.balance(entry.asset)
}

fn fold_legs(partition: &mut Partition, effects: &Effects) {
    if let Some((from, number)) = effects.received {
        let last = partition
            .received
            .get_mut(usize::from(from))
            .expect("a partition of the log");
        assert!(
            last.checked_add(1) == Some(number),
            "L6: leg {number} from {from} comes after {last}"
        );
        *last = number;
    }
    for (to, number) in &effects.sent {
        let last = partition
            .sent
            .get_mut(usize::from(*to))
            .expect("a partition of the log");
        assert!(
            last.checked_add(1) == Some(*number),
            "L6: leg {number} to {to} comes after {last}"
        );
        *last = *number;
    }
}

fn count(partition: &mut Partition, before: &State, after: &State, balance: &Balance) {
    let versions = after
        .version
        .checked_sub(before.version)
        .expect("versions grow");
    let version_sum = partition.version_sum.checked_add(versions);
    partition.version_sum = version_sum.expect("versions fit 64 bits");
    let posted = partition.posted.entry(balance.asset).or_default();
    *posted = posted
        .checked_add(after.posted)
        .expect("a sum of bounded amounts fits");
    partition.highest_offset = partition.highest_offset.max(Some(balance.offset));
}
