//! Transit: for each pair of partitions the two mirrors show exactly the money on the wire.
//!
//! What a sender's mirror shows must be what its legs carry, and what a receiver's mirror shows
//! must be what the legs up to the last one it received carry; the difference is on the wire. The
//! receiver's side is taken earlier than every sender's, so no leg is received before it was sent.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::report::{Check, Finding};
use crate::ledger::amount::{decimal_of, minor_of, within};
use crate::ledger::id::{TRANSIT_LEDGER, transit_account};
use crate::ledger::{Asset, Partition, PartitionId};
use crate::wire::LegRecord;
use crate::wire::leg::LegBody;

/// Legs to one destination that may be on the wire, and can be told one by one.
const TAIL_MAX: usize = 1 << 20;

type Sums = BTreeMap<Asset, i128>;

/// The legs of one partition to another.
#[derive(Clone, Debug, Default)]
struct Sent {
    /// The last leg before the tail, and what the legs up to it carried.
    before: u64,
    below: Sums,
    /// Later legs that carry money: number, asset, amount.
    tail: VecDeque<(u64, Asset, i128)>,
    last: u64,
}

/// Money that left a partition, and money that came to it.
#[derive(Clone, Debug)]
pub(super) struct Shore {
    partition: PartitionId,
    sent: Vec<Sent>,
    /// The last leg received from each partition, and what the mirrors then showed.
    received: Option<(Vec<u64>, Vec<Sums>)>,
}

impl Shore {
    /// Starts with the legs that `base` has sent, all of them in its past.
    pub(super) fn new(base: &Partition) -> Self {
        let (mirrors, (numbers, _)) = (mirrors(base), counters(base));
        let sent = (0..).zip(numbers).map(|(to, last)| Sent {
            before: last,
            below: shown(&mirrors, (base.id(), to)),
            tail: VecDeque::new(),
            last,
        });
        Self {
            partition: base.id(),
            sent: sent.collect(),
            received: None,
        }
    }

    /// Counts a leg of the partition's next outcome.
    pub(super) fn send(&mut self, leg: &LegRecord) -> Result<(), String> {
        let body: LegBody<'_> =
            serde_json::from_str(leg.value.get()).map_err(|error| error.to_string())?;
        if (body.from, body.to, body.number) != (self.partition, leg.to, leg.number) {
            return Err("names another way or number inside".to_owned());
        }
        let sent = self.sent.get_mut(usize::from(leg.to));
        let sent = sent.ok_or_else(|| "goes to a partition that is not there".to_owned())?;
        sent.last = leg.number;
        for money in &body.carried {
            let asset = Asset::parse(&money.asset).map_err(|error| error.to_string())?;
            let amount = minor_of(money.amount.0, asset.scale());
            let amount = amount.map_err(|error| error.to_string())?;
            sent.tail.push_back((leg.number, asset, amount));
        }
        while sent.tail.len() > TAIL_MAX
            && let Some((number, asset, amount)) = sent.tail.pop_front()
        {
            sent.before = number;
            *sent.below.entry(asset).or_default() += amount;
        }
        Ok(())
    }

    /// Takes the receiver's side, once.
    pub(super) fn receive(&mut self, state: &Partition) {
        self.received.get_or_insert_with(|| {
            let (mirrors, (_, numbers)) = (mirrors(state), counters(state));
            let sums = (0..state.count()).map(|from| shown(&mirrors, (from, state.id())));
            (numbers, sums.collect())
        });
    }

    /// Checks the sender's side against the partition's own mirrors.
    pub(super) fn finish(&self, state: &Partition, check: &mut Check) {
        let mirrors = mirrors(state);
        for (to, sent) in (0..).zip(&self.sent) {
            let shown = shown(&mirrors, (self.partition, to));
            let carried = sent.up_to(sent.last).unwrap_or_default();
            for asset in both(&shown, &carried) {
                check.examined += 1;
                let (shows, carries) = (sum(&shown, asset), sum(&carried, asset));
                if shows != carries {
                    let what = format!(
                        "transit to {to} shows {}, its legs carry {}",
                        money(shows, asset),
                        money(carries, asset)
                    );
                    check.miss(Finding::new(self.partition, what).at(state.applied()));
                }
            }
        }
    }
}

impl Sent {
    /// What the legs up to `number` carried, if they can still be told apart.
    fn up_to(&self, number: u64) -> Option<Sums> {
        if number < self.before {
            return None;
        }
        let mut sums = self.below.clone();
        let tail = self.tail.iter().take_while(|(leg, _, _)| *leg <= number);
        for (_, asset, amount) in tail {
            *sums.entry(*asset).or_default() += amount;
        }
        Some(sums)
    }
}

/// Checks every pair of `shores`: what q has received of p's legs, and what is on the wire.
pub(super) fn pairs(shores: &[Shore], check: &mut Check) {
    for sender in shores {
        for receiver in shores
            .iter()
            .filter(|other| other.partition != sender.partition)
        {
            pair(sender, receiver, check);
        }
    }
}

fn pair(sender: &Shore, receiver: &Shore, check: &mut Check) {
    let (from, to) = (sender.partition, receiver.partition);
    let (Some(sent), Some((numbers, mirrors))) =
        (sender.sent.get(usize::from(to)), &receiver.received)
    else {
        return;
    };
    let number = numbers.get(usize::from(from)).copied().unwrap_or(0);
    if number > sent.last {
        let what = format!(
            "has received leg {number} from {from}, which has sent {}",
            sent.last
        );
        return check.miss(Finding::new(to, what));
    }
    let (Some(carried), Some(all)) = (sent.up_to(number), sent.up_to(sent.last)) else {
        let why = format!("legs from {from} to {to} have been on the wire since before the base");
        return check.cannot_tell(why);
    };
    let arrived = mirrors.get(usize::from(from)).cloned().unwrap_or_default();
    for asset in both(&arrived, &all) {
        check.examined += 1;
        let (shows, carries) = (-sum(&arrived, asset), sum(&carried, asset));
        if shows != carries {
            let what = format!(
                "transit from {from} shows {} received, legs 1 to {number} carry {}",
                money(shows, asset),
                money(carries, asset)
            );
            check.miss(Finding::new(to, what));
        }
        let wire = sum(&all, asset) - carries;
        if wire != 0 {
            let legs = sent.last - number;
            check.note(format!(
                "{from} to {to}: {} on the wire, {legs} legs",
                money(wire, asset)
            ));
        }
    }
}

/// Posted of the partition's transit balances, by way and asset.
fn mirrors(state: &Partition) -> BTreeMap<(PartitionId, PartitionId), Sums> {
    let here = state.id();
    let ways = (0..state.count()).flat_map(|other| [(here, other), (other, here)]);
    let ways: HashMap<String, (PartitionId, PartitionId)> = ways
        .map(|way| (transit_account(way.0, way.1), way))
        .collect();
    let mut mirrors: BTreeMap<_, Sums> = BTreeMap::new();
    for (_, balance) in state.balances() {
        if &*balance.ledger == TRANSIT_LEDGER
            && let Some(way) = ways.get(balance.account())
        {
            let sums = mirrors.entry(*way).or_default();
            *sums.entry(balance.asset).or_default() += balance.state.posted;
        }
    }
    mirrors
}

fn shown(
    mirrors: &BTreeMap<(PartitionId, PartitionId), Sums>,
    way: (PartitionId, PartitionId),
) -> Sums {
    mirrors.get(&way).cloned().unwrap_or_default()
}

/// The last legs sent to and received from each partition.
fn counters(state: &Partition) -> (Vec<u64>, Vec<u64>) {
    let none = || vec![0; usize::from(state.count())];
    state
        .cut()
        .map_or_else(|| (none(), none()), |cut| (cut.sent, cut.received))
}

fn sum(sums: &Sums, asset: Asset) -> i128 {
    sums.get(&asset).copied().unwrap_or(0)
}

fn both(one: &Sums, other: &Sums) -> BTreeSet<Asset> {
    one.keys().chain(other.keys()).copied().collect()
}

fn money(minor: i128, asset: Asset) -> String {
    match within(minor) {
        true => format!("{} {asset}", decimal_of(minor, asset.scale())),
        false => format!("{minor} minor units of {asset}"),
    }
}
