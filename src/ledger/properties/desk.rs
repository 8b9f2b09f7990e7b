//! Where random commands become JSON and get their answers.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::plan::{ASSETS, Expect, Intent, Move, STATUSES, Submit, WORLD};
use crate::ledger::tests::cluster::Cluster;
use crate::ledger::tests::message::Message;
use crate::ledger::tests::names::{Book, asset};
use crate::ledger::{BalanceId, Decision, PartitionId, partition_of};

/// A cluster, and everything that was asked of it.
pub(super) struct Desk {
    pub(super) book: Book,
    pub(super) cluster: Cluster,
    /// By ticket: the deciding partition, and the JSON.
    pub(super) asked: Vec<(PartitionId, Value)>,
    ids: HashMap<(usize, usize), BalanceId>,
}

impl Desk {
    pub(super) fn new(count: PartitionId) -> Self {
        let book = Book::new(count);
        let mut ids = HashMap::new();
        for who in 0..=WORLD {
            for (code, text) in ASSETS.iter().enumerate() {
                ids.insert((who, code), book.id(&name(who, count), &asset(text)));
            }
        }
        Self {
            cluster: Cluster::new(count),
            book,
            asked: Vec::new(),
            ids,
        }
    }

    pub(super) fn id(&self, who: usize, asset: usize) -> BalanceId {
        self.ids[&(who, asset)]
    }

    /// Sends a command; returns its ticket.
    pub(super) fn submit(&mut self, submit: &Submit) -> usize {
        let (key, json) = self.json(submit);
        self.ask(partition_of(key, self.book.count), key, json, submit.via)
    }

    /// Sends the command of an earlier ticket once more.
    pub(super) fn again(&mut self, ticket: usize, via: Option<u16>) -> usize {
        let (home, json) = self.asked[ticket].clone();
        let worlds = [0, 1].map(|asset| json!(self.id(WORLD, asset).to_string()));
        let key = match &json["type"] {
            kind if kind == "transfer" => {
                let posting = &json["postings"][0];
                let from_world = worlds.contains(&posting["source"]);
                posting[if from_world { "destination" } else { "source" }].as_str()
            }
            kind if kind == "configure" => json["configure"]["balance"].as_str(),
            _ => json["id"].as_str(),
        };
        let key = BalanceId::new(key.unwrap().parse().unwrap());
        self.ask(home, key, json, via)
    }

    fn ask(&mut self, home: PartitionId, key: BalanceId, json: Value, via: Option<u16>) -> usize {
        let ticket = self.asked.len();
        let to = via.map_or(home, |via| via % self.book.count);
        let mut body = json.clone();
        body.as_object_mut().unwrap().remove("id");
        let message = Message::command(ticket as u64, key, &body);
        self.cluster.append(to, message);
        self.asked.push((home, json));
        ticket
    }

    pub(super) fn answer(&self, ticket: usize) -> Decision {
        let answer = self.cluster.answers.get(&(ticket as u64));
        answer
            .unwrap_or_else(|| panic!("{ticket} has no answer"))
            .decision
    }

    fn json(&self, submit: &Submit) -> (BalanceId, Value) {
        let reference = format!("r{}", submit.reference);
        let count = self.book.count;
        match &submit.intent {
            Intent::Open {
                who,
                asset,
                floor,
                ceiling,
            } => {
                let limits = json!({
                    "asset": ASSETS[*asset], "floor": floor.map(money), "ceiling": ceiling.map(money),
                });
                let id = self.id(*who, *asset);
                let mut json = self.book.open(&reference, &name(*who, count), limits);
                json["id"] = json!(id.to_string());
                (id, json)
            }
            Intent::Set {
                who,
                floor,
                ceiling,
                status,
                expect,
            } => {
                let mut change = json!({"asset": ASSETS[0]});
                let limits = [("floor", floor), ("ceiling", ceiling)];
                for (name, limit) in limits.into_iter().filter(|(_, limit)| limit.is_some()) {
                    change[name] = json!(limit.flatten().map(money));
                }
                if let Some(status) = status {
                    change["status"] = json!(STATUSES[*status]);
                }
                let id = self.id(*who, 0);
                let expect = self.versions(expect.map(|expect| (id, expect)).into_iter());
                let name = name(*who, count);
                (id, self.book.configure(&reference, &name, change, expect))
            }
            Intent::Transfer(moves) => {
                let postings: Vec<Value> = moves.iter().map(|m| self.posting(m)).collect();
                let expected = moves.iter().filter_map(|m| {
                    let destination = self.id(m.destination, m.asset);
                    m.expect.map(|expect| (destination, expect))
                });
                let expect = self.versions(expected);
                let json = self.book.transfer(&reference, &postings, expect);
                (self.decider(&moves[0]), json)
            }
        }
    }

    /// The world pays where the other side is.
    fn decider(&self, m: &Move) -> BalanceId {
        match m.source {
            WORLD => self.id(m.destination, m.asset),
            _ => self.source(m),
        }
    }

    /// What the balances of an account in an asset have posted, the world's in all partitions.
    pub(super) fn posted(&self, who: usize, asset: usize) -> i128 {
        let nodes = self.cluster.nodes.iter();
        let all = nodes.flat_map(|node| node.partition.balances());
        let id = self.id(who, asset);
        let held_in = crate::ledger::tests::names::asset(ASSETS[asset]);
        let ours = all.filter(|(known, balance)| match who {
            WORLD => balance.account() == "@world" && balance.asset == held_in,
            _ => *known == id,
        });
        ours.map(|(_, balance)| balance.state.posted).sum()
    }

    fn source(&self, m: &Move) -> BalanceId {
        self.id(m.source, if m.crossed { 1 - m.asset } else { m.asset })
    }

    fn posting(&self, m: &Move) -> Value {
        let (source, destination) = (self.source(m), self.id(m.destination, m.asset));
        json!({
            "source": source.uuid(), "destination": destination.uuid(),
            "amount": money(m.cents), "asset": ASSETS[m.asset],
        })
    }

    /// Of a balance that is named twice, the last expectation counts.
    fn versions(&self, expected: impl Iterator<Item = (BalanceId, Expect)>) -> Value {
        let mut versions = json!({});
        for (id, expect) in expected {
            let balance = self.cluster.balance(id);
            let version = balance.map_or(0, |balance| balance.state.version);
            versions[id.to_string()] = match expect {
                Expect::Present => json!(version),
                Expect::Stale => json!(version + 1),
            };
        }
        versions
    }
}

/// The accounts are spread over the partitions.
fn name(who: usize, count: PartitionId) -> String {
    match who {
        WORLD => "world".to_owned(),
        _ => format!("a{who}.{}", who % usize::from(count)),
    }
}

fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}
