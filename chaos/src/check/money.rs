//! Conservation, every balance as the sum of the payments that were applied and of what was posted
//! of holds, and what is reserved on it as the sum of what open holds have left.
//!
//! The sums are made from the commands' postings alone, without the core.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, ensure};
use steelyard::ledger::id::{TRANSIT_LEDGER, transit_ledger};
use uuid::Uuid;

use super::replay::Expected;
use crate::drive::book::Verdict;

/// # Errors
/// The first asset, pair of partitions or balance that does not add up.
pub fn check(expected: &Expected) -> Result<()> {
    let mut sums: BTreeMap<String, i128> = BTreeMap::new();
    for (_, balance) in expected.partitions.iter().flat_map(|it| it.balances()) {
        let sum = sums.entry(balance.asset.as_str().to_owned()).or_default();
        *sum += balance.state.posted;
    }
    for (asset, sum) in sums {
        ensure!(sum == 0, "{asset} sums up to {sum} minor units");
    }
    on_the_wire(expected)?;
    let mut moved: HashMap<Uuid, i128> = expected.holds.moved().clone();
    for (reference, decision) in &expected.decisions {
        if decision.verdict != Verdict::Applied {
            continue;
        }
        let key = (reference.clone(), decision.fingerprint);
        for (balance, minor) in expected.payments.get(&key).into_iter().flatten() {
            *moved.entry(*balance).or_default() += minor;
        }
    }
    let balances = expected.partitions.iter().flat_map(|it| it.balances());
    for (id, balance) in balances.filter(|(_, it)| *it.ledger != *TRANSIT_LEDGER) {
        let sum = moved.remove(&id.uuid()).unwrap_or(0);
        ensure!(
            balance.state.posted == sum,
            "{} ({id}) has {} minor units, but its applied payments add up to {sum}",
            balance.account(),
            balance.state.posted
        );
    }
    reserved(expected)
}

/// How many transit balances are kept for one ledger alone.
pub fn own_ways(expected: &Expected) -> usize {
    let balances = expected.partitions.iter().flat_map(|it| it.balances());
    let ways = balances.filter(|(_, it)| *it.ledger == *TRANSIT_LEDGER);
    ways.filter(|(_, way)| transit_ledger(way.key()).is_some())
        .count()
}

fn reserved(expected: &Expected) -> Result<()> {
    let reserved = expected.holds.reserved(&expected.partitions);
    let balances = expected.partitions.iter().flat_map(|it| it.balances());
    for (id, balance) in balances {
        let must = reserved.get(&id.uuid()).copied().unwrap_or_default();
        let is = (balance.state.held, balance.state.incoming);
        ensure!(
            is == must,
            "{} ({id}) has {is:?} minor units held and coming, open holds have {must:?} there",
            balance.account()
        );
    }
    Ok(())
}

/// Every leg that was sent has arrived.
fn on_the_wire(expected: &Expected) -> Result<()> {
    let cuts: Vec<_> = expected.partitions.iter().map(|it| it.cut()).collect();
    for (from, sender) in cuts.iter().enumerate() {
        for (to, receiver) in cuts.iter().enumerate() {
            let sent = sender.as_ref().and_then(|cut| cut.sent.get(to));
            let received = receiver.as_ref().and_then(|cut| cut.received.get(from));
            ensure!(
                sent == received,
                "of the legs from {from} to {to}, {sent:?} were sent and {received:?} arrived"
            );
        }
    }
    Ok(())
}
