//! Transit: the mirrors of each pair of partitions show exactly the money that their legs carry.
//!
//! A leg takes money out of its sender and brings it to its receiver. One that goes out is shown by
//! the mirrors of its own way, one that comes back undoes the mirrors of the way it had come, so
//! the two ways between p and q are counted together: what p's mirrors of both show is what p has
//! sent to q less what p has received from q. Balances that are kept for one ledger and those that
//! all share are counted apart, as each leg tells which it means.
//!
//! Each partition's mirrors are taken where its outcomes ended when the audit began, and legs are
//! read beyond that: whatever a partition had received by then was sent by what is read.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::report::{Check, Finding};
use crate::ledger::amount::{decimal_of, minor_of, within};
use crate::ledger::id::{TRANSIT_LEDGER, transit_account, transit_ledger};
use crate::ledger::rules::RULES_OWN_TRANSIT;
use crate::ledger::{Asset, Partition, PartitionId};
use crate::wire::LegRecord;
use crate::wire::leg::LegBody;

/// Legs to one destination that may be on the wire, and can be told one by one.
const TAIL_MAX: usize = 1 << 20;

/// Money on a way: its asset, and the ledger whose own balances it passes, if any.
type Kind = (Asset, Option<Arc<str>>);
type Sums = BTreeMap<Kind, i128>;

/// The legs of one partition to another since the base.
#[derive(Clone, Debug, Default)]
struct Sent {
    /// The last leg of the base.
    base: u64,
    /// The last leg before the tail, and what the legs from the base up to it carried.
    before: u64,
    below: Sums,
    /// Later legs that carry money: number, kind, amount.
    tail: VecDeque<(u64, Kind, i128)>,
    last: u64,
}

/// How a partition stands to the others: leg counters, and what its mirrors show.
#[derive(Clone, Debug)]
struct Stand {
    sent: Vec<u64>,
    received: Vec<u64>,
    /// Per partition, both ways together.
    shown: Vec<Sums>,
}

/// Money that left a partition, and money that came to it.
#[derive(Clone, Debug)]
pub(super) struct Shore {
    partition: PartitionId,
    base: Stand,
    sent: Vec<Sent>,
    /// Where the partition stood when the audit began.
    taken: Option<Stand>,
}

impl Shore {
    /// Starts with the legs that `base` has sent and received, all of them in its past.
    pub(super) fn new(base: &Partition) -> Self {
        let stand = Stand::of(base);
        let sent = stand.sent.iter().map(|last| Sent {
            base: *last,
            before: *last,
            last: *last,
            ..Sent::default()
        });
        Self {
            partition: base.id(),
            sent: sent.collect(),
            base: stand,
            taken: None,
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
        let own = body.rules.is_some_and(|rules| rules >= RULES_OWN_TRANSIT);
        let ledger: Option<Arc<str>> = own.then(|| (*body.command.ledger).into());
        for money in &body.carried {
            let asset = Asset::parse(&money.asset).map_err(|error| error.to_string())?;
            let amount = minor_of(money.amount.0, asset.scale());
            let amount = amount.map_err(|error| error.to_string())?;
            sent.tail
                .push_back((leg.number, (asset, ledger.clone()), amount));
        }
        while sent.tail.len() > TAIL_MAX
            && let Some((number, kind, amount)) = sent.tail.pop_front()
        {
            sent.before = number;
            *sent.below.entry(kind).or_default() += amount;
        }
        Ok(())
    }

    /// Takes where the partition stands, once.
    pub(super) fn receive(&mut self, state: &Partition) {
        self.taken.get_or_insert_with(|| Stand::of(state));
    }
}

impl Stand {
    fn of(state: &Partition) -> Self {
        let none = || vec![0; usize::from(state.count())];
        let cut = state.cut();
        let (sent, received) = cut.map_or_else(|| (none(), none()), |cut| (cut.sent, cut.received));
        let (mirrors, here) = (mirrors(state), state.id());
        let shown = (0..state.count()).map(|other| {
            let mut sums = Sums::new();
            for way in [(here, other), (other, here)] {
                for (kind, posted) in mirrors.get(&way).into_iter().flatten() {
                    *sums.entry(kind.clone()).or_default() += posted;
                }
            }
            sums
        });
        Self {
            sent,
            received,
            shown: shown.collect(),
        }
    }
}

impl Sent {
    /// What the legs after number `from` up to `to` carried, if they can still be told apart.
    fn between(&self, from: u64, to: u64) -> Option<Sums> {
        let mut sums = match from {
            from if from == self.base && to >= self.before => self.below.clone(),
            from if from >= self.before => Sums::new(),
            _ => return None,
        };
        for (number, kind, amount) in &self.tail {
            if (from + 1..=to).contains(number) {
                *sums.entry(kind.clone()).or_default() += amount;
            }
        }
        Some(sums)
    }
}

/// Checks every pair of `shores`: what each has sent and received, and what is on the wire.
pub(super) fn pairs(shores: &[Shore], check: &mut Check) {
    for one in shores {
        let others = shores.iter().filter(|it| it.partition != one.partition);
        for other in others {
            pair(one, other, check);
        }
    }
}

/// Checks the mirrors of `one` for its ways to and from `other`.
fn pair(one: &Shore, other: &Shore, check: &mut Check) {
    let (here, there) = (one.partition, other.partition);
    let (at, back) = (usize::from(there), usize::from(here));
    let (Some(taken), Some(theirs)) = (&one.taken, &other.taken) else {
        return;
    };
    let received = taken.received[at];
    if received > other.sent[back].last {
        let last = other.sent[back].last;
        let what = format!("has received leg {received} from {there}, which has sent {last}");
        return check.miss(Finding::new(here, what));
    }
    let sent = one.sent[at].between(one.base.sent[at], taken.sent[at]);
    let arrived = other.sent[back].between(one.base.received[at], received);
    let (Some(sent), Some(arrived)) = (sent, arrived) else {
        return on_the_wire(one, other, check);
    };
    let (before, now) = (&one.base.shown[at], &taken.shown[at]);
    for kind in kinds(&[before, now, &sent, &arrived]) {
        check.examined += 1;
        let shows = sum(now, kind) - sum(before, kind);
        let carries = sum(&sent, kind) - sum(&arrived, kind);
        if shows != carries {
            let what = format!(
                "transit to and from {there} shows {}, its legs carry {}",
                money(shows, kind),
                money(carries, kind)
            );
            check.miss(Finding::new(here, what));
        }
    }
    let last = one.sent[at].last;
    let waiting = theirs.received[back].min(last);
    for (kind, amount) in one.sent[at].between(waiting, last).into_iter().flatten() {
        let legs = last - waiting;
        check.note(format!(
            "{here} to {there}: {} on the wire, {legs} legs",
            money(amount, &kind)
        ));
    }
}

/// Checks a pair where legs from before a base are gone: both sides' mirrors together must show
/// what is on the wire now, and nothing else.
fn on_the_wire(one: &Shore, other: &Shore, check: &mut Check) {
    let (here, there) = (one.partition, other.partition);
    let (Some(out), Some(back)) = (flying(one, other), flying(other, one)) else {
        let why = format!("legs between {here} and {there} are from before the base");
        return check.cannot_tell(why);
    };
    let side = |shore: &Shore, to: PartitionId| {
        shore
            .taken
            .as_ref()
            .and_then(|stand| stand.shown.get(usize::from(to)).cloned())
    };
    let shown = [
        side(one, there).unwrap_or_default(),
        side(other, here).unwrap_or_default(),
    ];
    for kind in kinds(&[&out, &back, &shown[0], &shown[1]]) {
        check.examined += 1;
        let shows = sum(&shown[0], kind) + sum(&shown[1], kind);
        let carries = sum(&out, kind) + sum(&back, kind);
        if shows != carries {
            let (shows, carries) = (money(shows, kind), money(carries, kind));
            let what = format!("with {there} transit shows {shows}, on the wire are {carries}");
            check.miss(Finding::new(here, what));
        }
    }
}

/// What the legs carry that `from` had sent and `to` had not received when the audit began; less
/// than nothing for legs that were sent and received after it.
fn flying(from: &Shore, to: &Shore) -> Option<Sums> {
    let (at, back) = (usize::from(to.partition), usize::from(from.partition));
    let sent = *from.taken.as_ref()?.sent.get(at)?;
    let received = *to.taken.as_ref()?.received.get(back)?;
    let legs = from.sent.get(at)?;
    match received <= sent {
        true => legs.between(received, sent),
        false => {
            let later = legs.between(sent, received)?;
            Some(
                later
                    .into_iter()
                    .map(|(kind, amount)| (kind, -amount))
                    .collect(),
            )
        }
    }
}

/// Posted of the partition's transit balances, by way.
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
            let kind = (balance.asset, transit_ledger(balance.key()).map(Into::into));
            let sums = mirrors.entry(*way).or_default();
            *sums.entry(kind).or_default() += balance.state.posted;
        }
    }
    mirrors
}

/// The kinds of money in any of them.
fn kinds<'a>(sums: &[&'a Sums]) -> BTreeSet<&'a Kind> {
    sums.iter().flat_map(|sums| sums.keys()).collect()
}

fn sum(sums: &Sums, kind: &Kind) -> i128 {
    sums.get(kind).copied().unwrap_or(0)
}

fn money(minor: i128, (asset, ledger): &Kind) -> String {
    let amount = match within(minor) {
        true => format!("{} {asset}", decimal_of(minor, asset.scale())),
        false => format!("{minor} minor units of {asset}"),
    };
    match ledger {
        None => amount,
        Some(ledger) => format!("{amount} of {ledger}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{BalanceId, Record, Setting, partition_of};
    use crate::wire::leg;
    use crate::wire::{Decoder, Secret};

    /// Two partitions, what was gathered of them, and legs that have not arrived.
    struct Town {
        partitions: Vec<Partition>,
        shores: Vec<Shore>,
        offset: u64,
        waiting: VecDeque<LegRecord>,
    }

    impl Town {
        fn new() -> Self {
            let mut partitions: Vec<_> = (0..2).map(|id| Partition::new(id, 2)).collect();
            let setting = Setting {
                generation: uuid::Uuid::nil(),
                horizon_seconds: 600,
            };
            for partition in &mut partitions {
                partition.apply(0, 0, &Record::Genesis(setting));
            }
            Self {
                shores: partitions.iter().map(Shore::new).collect(),
                partitions,
                offset: 0,
                waiting: VecDeque::new(),
            }
        }

        fn decide(&mut self, at: PartitionId, record: &Record) {
            self.offset += 1;
            let at = usize::from(at);
            let outcome = self.partitions[at].apply(self.offset, 0, record);
            for leg in outcome.legs.iter().map(LegRecord::of) {
                self.shores[at].send(&leg).unwrap();
                self.waiting.push_back(leg);
            }
        }

        fn command(&mut self, json: &str) {
            let command = Decoder::new().parse(json.as_bytes(), None, None).unwrap();
            let home = partition_of(command.decider(), 2);
            self.decide(home, &Record::Command(Arc::new(command)));
        }

        fn arrive(&mut self) {
            let leg = self.waiting.pop_front().unwrap();
            let (secret, key) = (
                Secret::new("a secret of the tests").unwrap(),
                leg.key.to_string(),
            );
            let value = leg.value.get().as_bytes();
            let seal = hex::encode(secret.seal(key.as_bytes(), value).0);
            let (way, decoder) = ((leg.to, 2), &mut Decoder::new());
            let opened = leg::open(
                decoder,
                &secret,
                key.as_bytes(),
                value,
                seal.as_bytes(),
                way,
            );
            self.decide(leg.to, &Record::Leg(opened.unwrap()));
        }

        fn check(&self) -> (u64, Vec<String>) {
            let mut shores = self.shores.clone();
            for (shore, partition) in shores.iter_mut().zip(&self.partitions) {
                shore.receive(partition);
            }
            let mut check = Check::new("transit", "pairs");
            pairs(&shores, &mut check);
            (check.differences, check.notes)
        }
    }

    fn account(partition: PartitionId) -> (String, BalanceId) {
        let dollars = Asset::parse("USD").unwrap();
        let ids = (0..).map(|at| {
            let name = format!("account-{at}");
            let id = BalanceId::of("default/main", &name, &dollars, "default");
            (name, id)
        });
        let mut there = ids.filter(|(_, id)| partition_of(*id, 2) == partition);
        there.next().unwrap()
    }

    fn transfer(reference: &str) -> String {
        let (source, destination) = (account(0).1, account(1).1);
        format!(
            r#"{{"reference": "{reference}", "type": "transfer", "ledger": "main", "postings":
            [{{"source": "{source}", "destination": "{destination}", "amount": "5", "asset": "USD"}}]}}"#
        )
    }

    fn open(partition: PartitionId) -> String {
        let name = account(partition).0;
        format!(
            r#"{{"reference": "{name}", "type": "open", "ledger": "main",
            "open": {{"account": "{name}", "asset": "USD", "floor": null}}}}"#
        )
    }

    fn wire(way: &str) -> (u64, Vec<String>) {
        (0, vec![format!("{way}: 5.00 USD/2 on the wire, 1 legs")])
    }

    #[test]
    fn the_mirrors_agree_with_the_legs_on_every_way_there_and_back() {
        let mut town = Town::new();
        town.command(&open(0));
        town.command(&transfer("refused"));
        assert_eq!(town.check(), wire("0 to 1"));
        town.arrive();
        assert_eq!(town.check(), wire("1 to 0"));
        town.arrive();
        assert_eq!(town.check(), (0, Vec::new()));
        town.command(&open(1));
        town.command(&transfer("accepted"));
        town.arrive();
        assert_eq!(town.check(), (0, Vec::new()));
        let shores = town.partitions.iter().map(Shore::new).collect();
        let from_base = Town { shores, ..town };
        assert_eq!(from_base.check(), (0, Vec::new()));
    }

    /// By later rules the mirrors are those of the ledger, and what went before stays where it is.
    #[test]
    fn the_mirrors_of_a_ledger_agree_with_its_own_legs() {
        let mut town = Town::new();
        town.command(&open(0));
        town.command(&transfer("shared"));
        for (rules, partition) in [(2, 0), (2, 1), (3, 0)] {
            town.decide(partition, &Record::Rules(rules));
        }
        town.command(&transfer("own"));
        let both = "0 to 1: 5.00 USD/2 on the wire, 2 legs";
        let own = "0 to 1: 5.00 USD/2 of default/main on the wire, 2 legs";
        assert_eq!(town.check(), (0, vec![both.to_owned(), own.to_owned()]));
        town.arrive();
        let (differences, mut notes) = town.check();
        notes.sort();
        let back = "1 to 0: 5.00 USD/2 on the wire, 1 legs";
        let own = "0 to 1: 5.00 USD/2 of default/main on the wire, 1 legs";
        assert_eq!(
            (differences, notes),
            (0, vec![own.to_owned(), back.to_owned()])
        );
        // The sum of both kinds would not show it.
        town.shores[0].sent[1].tail[1].1.1 = None;
        assert!(town.check().0 > 0);
    }

    #[test]
    fn a_leg_that_is_not_shown_is_found() {
        let mut town = Town::new();
        town.command(&open(0));
        town.command(&transfer("refused"));
        town.shores[0].sent[1].tail.clear();
        assert_eq!(town.check().0, 1);
    }
}
