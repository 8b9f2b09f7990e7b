//! A rehearsal beforehand against what then happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desk::Desk;
use crate::ledger::id::TRANSIT_LEDGER;
use crate::ledger::rehearsal::Rehearsal;
use crate::ledger::{Balance, BalanceId, Decision, Rejection};
use crate::wire::Decoder;

/// What a rehearsal says will happen.
pub(super) struct Rehearsed {
    decision: Decision,
    balances: Vec<(BalanceId, Option<Balance>)>,
}

impl Rehearsed {
    /// Rehearses the command of `ticket` with the balances as they are.
    pub(super) fn of(desk: &Desk, ticket: usize) -> Self {
        let mut json = desk.asked[ticket].1.clone();
        json.as_object_mut().unwrap().remove("id");
        let command =
            Decoder::of(desk.cluster.count()).parse(json.to_string().as_bytes(), None, None);
        let command = Arc::new(command.unwrap());
        let nodes = desk.cluster.nodes.iter();
        let all = nodes.flat_map(|node| node.partition.balances());
        let known = all.filter(|(_, balance)| &*balance.ledger != TRANSIT_LEDGER);
        let now = desk.cluster.clock_ms;
        let mut rehearsal = Rehearsal::new(desk.cluster.count(), now, known, BTreeMap::new());
        let played = rehearsal.play(command.clone()).unwrap();
        for entry in &played.entries {
            let balance = rehearsal.balance(entry.balance).unwrap();
            assert!(&*balance.ledger != TRANSIT_LEDGER);
        }
        let postings = command.postings().iter();
        let sides = postings.flat_map(|posting| [posting.source.id, posting.destination.id]);
        let named = sides.chain([command.decider()]);
        Self {
            decision: played.decided.1.decision,
            balances: named.map(|id| (id, rehearsal.balance(id))).collect(),
        }
    }

    /// That it happened, unless the reference was decided before.
    pub(super) fn check(&self, desk: &Desk, ticket: usize) {
        let happened = &desk.cluster.answers[&(ticket as u64)];
        let reused = happened.decision == Decision::Rejected(Rejection::ReferenceReused);
        if happened.replay_of.is_some() || reused {
            return;
        }
        assert_eq!(self.decision, happened.decision);
        for (id, expected) in &self.balances {
            let shown = |balance: &Balance| (balance.state, balance.floor, balance.status);
            let balance = desk.cluster.balance(*id);
            assert_eq!(
                expected.as_ref().map(shown),
                balance.as_ref().map(shown),
                "{id}"
            );
        }
    }
}
