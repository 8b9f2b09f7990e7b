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
