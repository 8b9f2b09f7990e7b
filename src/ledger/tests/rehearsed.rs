//! A rehearsal beforehand against what then happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::cluster::Cluster;
use super::message::SETTING;
use crate::ledger::id::TRANSIT_LEDGER;
use crate::ledger::rehearsal::Rehearsal;
use crate::ledger::{Balance, BalanceId, Command, Decision, Rejection, State, Status};
use crate::wire::Decoder;

/// What a rehearsal says will happen.
pub(crate) struct Rehearsed {
    decision: Decision,
    balances: BTreeMap<BalanceId, Shown>,
}

type Shown = (State, Option<i128>, Option<i128>, Status);

impl Rehearsed {
    /// Rehearses the command `json` with balances and holds as they are, as an ingress would that
    /// has read all of them.
    pub(crate) fn of(cluster: &Cluster, json: &Value) -> Self {
        let text = json.to_string();
        let command = Decoder::of(cluster.count()).parse(text.as_bytes(), None, None);
        let command = Arc::new(command.unwrap());
        let log_times = cluster
            .nodes
            .iter()
            .map(|node| node.partition.log_time_ms());
        let now = log_times.fold(cluster.clock_ms, i64::max);
        let mut closed = BTreeMap::new();
        for (ledger, before) in cluster.nodes.iter().flat_map(|it| &it.partition.closed) {
            let latest = closed.entry(ledger.clone()).or_insert(*before);
            *latest = (*latest).max(*before);
        }
        let known = balances(cluster);
        let mut rehearsal = Rehearsal::new((cluster.count(), SETTING), now, known, closed);
        for node in &cluster.nodes {
            let home = node.partition.id();
            let kept = node.partition.holds().iter();
            for (id, hold) in kept.filter(|(id, _)| id.home() == home) {
                assert!(rehearsal.keep(id, hold), "{hold:?} is not reserved");
            }
        }
        tell_original(cluster, &command, &mut rehearsal);
        let played = rehearsal.play(command).unwrap();
        for entry in &played.entries {
            let balance = rehearsal.balance(entry.balance).unwrap();
            assert!(&*balance.ledger != TRANSIT_LEDGER);
        }
        let shown = rehearsal.balances().map(|(id, it)| (id, shown(&it)));
        Self {
            decision: played.decided.1.decision,
            balances: shown.collect(),
        }
    }

    /// That it happened, unless the reference was decided before.
    pub(crate) fn check(&self, cluster: &Cluster, ticket: u64) {
        let happened = &cluster.answers[&ticket];
        let reused = happened.decision == Decision::Rejected(Rejection::ReferenceReused);
        if happened.replay_of.is_some() || reused {
            return;
        }
        // What else is on the wire is in no rehearsal.
        if happened.decision == Decision::Rejected(Rejection::AmountOverflow) {
            return;
        }
        assert_eq!(self.decision, happened.decision, "as it was rehearsed");
        let balances = balances(cluster).map(|(id, balance)| (id, shown(&balance)));
        let balances: BTreeMap<BalanceId, Shown> = balances.collect();
        assert_eq!(self.balances, balances, "as it was rehearsed");
    }
}

/// How what is to be reversed was answered.
fn tell_original(cluster: &Cluster, command: &Command, rehearsal: &mut Rehearsal) {
    let Some(reverse) = command.reverse() else {
        return;
    };
    let answers = cluster.answers.values();
    let of = Some(reverse.transaction);
    let mut answers = answers.filter(|it| it.transaction == of && it.replay_of.is_none());
    if let Some(answer) = answers.next() {
        let original = (reverse.transaction, &*reverse.original);
        rehearsal.remember(original, answer.at_ms, answer.decision);
    }
}

fn shown(balance: &Balance) -> Shown {
    (
        balance.state,
        balance.floor,
        balance.ceiling,
        balance.status,
    )
}

fn balances(cluster: &Cluster) -> impl Iterator<Item = (BalanceId, Balance)> {
    let nodes = cluster.nodes.iter();
    let all = nodes.flat_map(|node| node.partition.balances());
    all.filter(|(_, balance)| &*balance.ledger != TRANSIT_LEDGER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::tests::message::Message;
    use crate::ledger::tests::names::{Book, asset};
    use crate::ledger::{TransactionId, partition_of};

    const COUNT: u16 = 2;

    struct Held {
        cluster: Cluster,
        book: Book,
        id: TransactionId,
        sides: [BalanceId; 2],
    }

    /// Alice in partition 0 holds 5 for bob in partition 1.
    fn held() -> Held {
        let (mut cluster, book) = (Cluster::new(COUNT), Book::new(COUNT));
        let sides = ["alice", "bob.1"].map(|name| book.id(name, &asset("USD")));
        let mut send = |ticket: u64, key: BalanceId, json: Value| {
            let to = partition_of(key, COUNT);
            cluster.append(to, Message::command(ticket, key, &json));
            cluster.drain();
        };
        for (ticket, (name, key)) in (0..).zip(["alice", "bob.1"].into_iter().zip(sides)) {
            let terms = json!({"asset": "USD", "floor": null});
            send(ticket, key, book.open(&format!("open-{name}"), name, terms));
        }
        let posting = book.posting("alice", "bob.1", "5", "USD");
        let mut hold = book.transfer("h", &[posting], json!({}));
        hold["hold"] = json!({});
        send(2, sides[0], hold);
        let id = cluster.answers[&2].transaction.unwrap();
        Held {
            cluster,
            book,
            id,
            sides,
        }
    }

    impl Held {
        /// A rehearsal with balances as they were read, and whether the hold fits them.
        fn set(&self, read: impl Fn(BalanceId, &mut State)) -> (Rehearsal, bool) {
            let known = balances(&self.cluster).map(|(id, balance)| {
                let mut balance = balance.clone();
                read(id, &mut balance.state);
                (id, balance)
            });
            let log = (COUNT, SETTING);
            let mut rehearsal = Rehearsal::new(log, 0, known, BTreeMap::new());
            let home = &self.cluster.node(0).partition;
            let fits = rehearsal.keep(self.id, home.holds().get(self.id).unwrap());
            (rehearsal, fits)
        }
    }

    #[test]
    fn a_hold_that_balances_know_less_of_is_not_played() {
        let held = held();
        let [alice, bob] = held.sides;
        assert!(held.set(|_, _| {}).1);
        assert!(held.set(|_, state| state.held += 1).1, "other holds");
        let less = |side: BalanceId| {
            held.set(move |id, state| {
                if id == side {
                    state.held = (state.held - 1).max(0);
                    state.incoming = (state.incoming - 1).max(0);
                }
            })
        };
        assert!(!less(alice).1 && !less(bob).1);
    }

    /// What is held in a rehearsal is never taken for what is held in truth, though both logs
    /// begin at zero.
    #[test]
    fn a_rehearsed_hold_is_another_one() {
        let held = held();
        let (mut rehearsal, _) = held.set(|_, _| {});
        for at in 0..held.id.offset() + 2 {
            let posting = held.book.posting("alice", "bob.1", "1", "USD");
            let reference = format!("again-{at}");
            let mut json = held.book.transfer(&reference, &[posting], json!({}));
            json["hold"] = json!({});
            let text = json.to_string();
            let command = Decoder::of(COUNT).parse(text.as_bytes(), None, None);
            let played = rehearsal.play(Arc::new(command.unwrap())).unwrap();
            assert_eq!(played.decided.1.decision, Decision::Held);
            assert_ne!(played.decided.1.transaction, Some(held.id));
        }
    }
}
