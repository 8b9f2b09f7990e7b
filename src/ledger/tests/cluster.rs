//! A cluster in memory: partitions that send each other legs.

use std::collections::HashMap;

use super::message::Message;
use super::node::Node;
use crate::ledger::{Balance, BalanceId, Outcome, PartitionId, RULES_KNOWN};

/// Partitions and what lies between them.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// The log time of the next record.
    pub(crate) clock_ms: i64,
    /// The answer to every command that has one, by its ticket.
    pub(crate) answers: HashMap<u64, Outcome>,
}

impl Cluster {
    /// `count` partitions, each with its first record decided.
    pub(crate) fn new(count: PartitionId) -> Self {
        let nodes = (0..count).map(|id| Node::new(id, count)).collect();
        let mut cluster = Self {
            nodes,
            clock_ms: 0,
            answers: HashMap::new(),
        };
        for id in 0..count {
            cluster.append(id, Message::genesis());
            cluster.turn(id).unwrap();
        }
        cluster
    }

    pub(crate) fn count(&self) -> PartitionId {
        PartitionId::try_from(self.nodes.len()).unwrap()
    }

    pub(crate) fn node(&self, id: PartitionId) -> &Node {
        &self.nodes[usize::from(id)]
    }

    pub(crate) fn node_mut(&mut self, id: PartitionId) -> &mut Node {
        &mut self.nodes[usize::from(id)]
    }

    pub(crate) fn append(&mut self, to: PartitionId, message: Message) {
        let at_ms = self.clock_ms;
        self.node_mut(to).log.push((at_ms, message));
    }

    /// Raises the rules of `id` to the latest, and before that of all partitions to those before
    /// them: as an operator does who is interrupted.
    pub(crate) fn raise(&mut self, id: PartitionId) {
        for to in 0..self.count() {
            self.append(to, Message::rules(RULES_KNOWN - 1));
        }
        self.append(id, Message::rules(RULES_KNOWN));
    }

    /// Decides the next record of `id`, if there is one.
    pub(crate) fn turn(&mut self, id: PartitionId) -> Option<Outcome> {
        let outcome = self.node_mut(id).turn()?;
        let command = outcome.command.as_ref().filter(|_| outcome.answers());
        if let Some(reply) = command.and_then(|command| command.note.reply.as_ref()) {
            let ticket = u64::from_be_bytes(reply.correlation[..].try_into().unwrap());
            let twice = self.answers.insert(ticket, outcome.clone());
            assert_eq!(twice, None, "asked once and answered again by {outcome:?}");
        }
        Some(outcome)
    }

    /// Appends leg `index` of those sent from one partition to another.
    pub(crate) fn carry(&mut self, from: PartitionId, to: PartitionId, index: usize) {
        let leg = self.node(from).sent[usize::from(to)][index].clone();
        self.append(to, leg);
    }

    /// Appends the next leg that was not appended before, if there is one.
    pub(crate) fn deliver(&mut self, from: PartitionId, to: PartitionId) -> bool {
        let index = self.node(from).appended[usize::from(to)];
        if index == self.node(from).sent[usize::from(to)].len() {
            return false;
        }
        self.carry(from, to, index);
        self.node_mut(from).appended[usize::from(to)] += 1;
        true
    }

    /// Delivers and decides until nothing is left; returns what was decided.
    pub(crate) fn drain(&mut self) -> Vec<(PartitionId, Outcome)> {
        let mut decided = Vec::new();
        let mut before = usize::MAX;
        while before != decided.len() {
            before = decided.len();
            for id in 0..self.count() {
                while let Some(outcome) = self.turn(id) {
                    decided.push((id, outcome));
                }
                for to in 0..self.count() {
                    while self.deliver(id, to) {}
                }
            }
            let waiting = |node: &Node| node.outcomes.len() < node.log.len();
            if self.nodes.iter().any(waiting) {
                before = usize::MAX;
            }
        }
        decided
    }

    /// Whether everything that was sent is decided.
    pub(super) fn is_quiet(&self) -> bool {
        self.nodes.iter().all(|node| {
            let sent = node.sent.iter().map(Vec::len);
            node.outcomes.len() == node.log.len() && sent.eq(node.appended.iter().copied())
        })
    }

    /// The balance, wherever it is.
    pub(crate) fn balance(&self, id: BalanceId) -> Option<Balance> {
        self.nodes
            .iter()
            .find_map(|node| node.partition.balance(id))
    }
}
