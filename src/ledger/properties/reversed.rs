//! Reversals in any order of partitions, with owners that start again. The oracle agrees on every
//! outcome (that is the nodes' own doing); here, that no interleaving gives back more than was
//! moved, that what the balances have follows from who was applied, and that reversing everything
//! leaves nothing moved. What is left to reverse in the end is rehearsed first.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::ledger::tests::cluster::Cluster;
use crate::ledger::tests::message::{Message, SETTING};
use crate::ledger::tests::names::{Book, asset};
use crate::ledger::tests::rehearsed::Rehearsed;
use crate::ledger::{BalanceId, Decision, PartitionId, TransactionId, partition_of};

const ACCOUNTS: usize = 4;

/// Source, destination, cents.
type Move = (usize, usize, i64);

#[derive(Clone, Debug)]
enum Step {
    Transfer(Vec<Move>),
    /// Which transfer, how many cents, whether by force.
    Reverse(Index, Option<i64>, bool),
    Turn(Index),
    Deliver(Index, Index),
    Marker(Index),
    Takeover(Index, Index),
    /// A ceiling comes or goes, so that a later stop may refuse.
    Ceiling(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let one = any::<Index>;
    let moves = (0..ACCOUNTS, 1..ACCOUNTS, 1_i64..15)
        .prop_map(|(source, step, cents)| (source, (source + step) % ACCOUNTS, cents));
    let cents = prop::option::weighted(0.7, 1_i64..12);
    prop_oneof![
        3 => prop::collection::vec(moves, 1..4).prop_map(Step::Transfer),
        4 => (one(), cents, any::<bool>())
            .prop_map(|(of, cents, force)| Step::Reverse(of, cents, force)),
        10 => one().prop_map(Step::Turn),
        8 => (one(), one()).prop_map(|(from, to)| Step::Deliver(from, to)),
        1 => one().prop_map(Step::Marker),
        1 => (one(), one()).prop_map(|(who, known)| Step::Takeover(who, known)),
        1 => (0..ACCOUNTS, any::<bool>()).prop_map(|(who, on)| Step::Ceiling(who, on)),
    ]
}

/// A transfer that was asked for.
struct Original {
    id: TransactionId,
    key: BalanceId,
    json: Value,
    moves: Vec<Move>,
    ticket: u64,
}

/// A reversal that was asked for.
struct Reversal {
    of: usize,
    cents: Option<i64>,
    ticket: u64,
}

struct World {
    book: Book,
    cluster: Cluster,
    tickets: u64,
    originals: Vec<Original>,
    reversals: Vec<Reversal>,
}

impl World {
    fn new(count: PartitionId) -> Self {
        let mut world = Self {
            book: Book::new(count),
            cluster: Cluster::new(count),
            tickets: 0,
            originals: Vec::new(),
            reversals: Vec::new(),
        };
        for who in 0..ACCOUNTS {
            let limits = json!({"asset": "USD", "floor": "-0.40"});
            let name = world.name(who);
            let open = world.book.open(&format!("open-{who}"), &name, limits);
            world.send(world.id(who), &open);
        }
        world.cluster.drain();
        world
    }

    fn name(&self, who: usize) -> String {
        format!("a{who}.{}", who % usize::from(self.book.count))
    }

    fn id(&self, who: usize) -> BalanceId {
        self.book.id(&self.name(who), &asset("USD"))
    }

    fn send(&mut self, key: BalanceId, json: &Value) -> u64 {
        self.tickets += 1;
        let to = partition_of(key, self.book.count);
        self.cluster
            .append(to, Message::command(self.tickets, key, json));
        self.tickets
    }

    fn transfer(&mut self, moves: &[Move]) {
        let posting = |(source, destination, cents): &Move| {
            json!({
                "source": self.id(*source).uuid(), "destination": self.id(*destination).uuid(),
                "amount": money(*cents), "asset": "USD",
            })
        };
        let postings: Vec<Value> = moves.iter().map(posting).collect();
        let reference = format!("t{}", self.tickets);
        let json = self.book.transfer(&reference, &postings, json!({}));
        let key = self.id(moves[0].0);
        let home = partition_of(key, self.book.count);
        let offset = self.cluster.node(home).log.len() as u64;
        let ticket = self.send(key, &json);
        self.originals.push(Original {
            id: TransactionId::new(home, offset, SETTING.generation),
            key,
            json,
            moves: moves.to_vec(),
            ticket,
        });
    }

    fn reverse(&mut self, which: &Index, cents: Option<i64>, force: bool) {
        if self.originals.is_empty() {
            return;
        }
        let of = which.index(self.originals.len());
        let json = self.reversal(of, cents, force);
        let ticket = self.send(self.originals[of].key, &json);
        self.reversals.push(Reversal { of, cents, ticket });
    }

    fn reversal(&self, of: usize, cents: Option<i64>, force: bool) -> Value {
        let original = &self.originals[of];
        let mut part = json!({
            "transaction": original.id.uuid(), "original": original.json, "force": force,
        });
        if let Some(cents) = cents {
            part["amount"] = json!(money(cents));
            part["asset"] = json!("USD");
        }
        json!({
            "reference": format!("r{}", self.tickets), "type": "reverse",
            "ledger": self.book.ledger, "reverse": part,
        })
    }

    /// With nothing else on the way: what a rehearsal says is what is done.
    fn rehearse(&mut self, of: usize, cents: Option<i64>, force: bool) {
        let json = self.reversal(of, cents, force);
        let rehearsed = Rehearsed::of(&self.cluster, &json);
        let ticket = self.send(self.originals[of].key, &json);
        self.cluster.drain();
        rehearsed.check(&self.cluster, ticket);
    }

    fn step(&mut self, step: &Step) {
        let count = usize::from(self.book.count);
        let partition = |which: &Index| PartitionId::try_from(which.index(count)).unwrap();
        match step {
            Step::Transfer(moves) => self.transfer(moves),
            Step::Reverse(which, cents, force) => self.reverse(which, *cents, *force),
            Step::Turn(who) => {
                self.cluster.turn(partition(who));
            }
            Step::Deliver(from, to) => {
                self.cluster.deliver(partition(from), partition(to));
            }
            Step::Marker(who) => self.cluster.node_mut(partition(who)).checkpoint(),
            Step::Takeover(who, known) => {
                let node = self.cluster.node_mut(partition(who));
                let outcomes = node.outcomes.len();
                node.restart(known.index(outcomes + 1));
            }
            Step::Ceiling(who, on) => {
                let ceiling = if *on { json!("0.20") } else { Value::Null };
                let change = json!({"asset": "USD", "ceiling": ceiling});
                let (reference, name) = (format!("c{}", self.tickets), self.name(*who));
                let json = self.book.configure(&reference, &name, change, json!({}));
                self.send(self.id(*who), &json);
            }
        }
    }

    fn was_applied(&self, ticket: u64) -> bool {
        let answer = &self.cluster.answers[&ticket];
        answer.decision == Decision::Applied
    }

    /// What home counts as reversed, of every posting.
    fn reversed(&self, original: &Original) -> Vec<i128> {
        let holds = self.cluster.node(original.id.home()).partition.holds();
        let parts = holds.get(original.id).map_or(&[][..], |kept| &kept.parts);
        let mut reversed: Vec<i128> = parts.iter().map(|part| part.reversed).collect();
        reversed.resize(original.moves.len(), 0);
        reversed
    }
}

fn money(cents: i64) -> String {
    crate::ledger::amount::decimal_of(cents.into(), 2).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_more_goes_back_than_was_moved(
        count in 1_u16..5,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(count);
        for step in &steps {
            world.step(step);
        }
        world.cluster.drain();
        let mut expected: HashMap<usize, i128> = HashMap::new();
        for (at, original) in world.originals.iter().enumerate() {
            let done = world.was_applied(original.ticket);
            let reversed = world.reversed(original);
            let mut wanted: Option<i128> = Some(0);
            for reversal in world.reversals.iter().filter(|reversal| reversal.of == at) {
                if world.was_applied(reversal.ticket) {
                    prop_assert!(done, "a refused transfer was reversed");
                    let cents = reversal.cents.map(i128::from);
                    wanted = wanted.zip(cents).map(|(sum, cents)| sum + cents);
                }
            }
            let moved: i128 = original.moves.iter().map(|(.., cents)| i128::from(*cents)).sum();
            let sum: i128 = reversed.iter().sum();
            match wanted {
                Some(wanted) => prop_assert_eq!(sum, wanted, "reversed of {:?}", original.moves),
                // All that was left then, beside those that were refused later.
                None => prop_assert!(0 < sum && sum <= moved, "{sum} of {moved} is reversed"),
            }
            for ((source, destination, cents), back) in original.moves.iter().zip(reversed) {
                let net = if done { i128::from(*cents) } else { 0 } - back;
                *expected.entry(*source).or_default() -= net;
                *expected.entry(*destination).or_default() += net;
            }
        }
        for who in 0..ACCOUNTS {
            let state = world.cluster.balance(world.id(who)).unwrap().state;
            let expected = expected.get(&who).copied().unwrap_or(0);
            prop_assert_eq!((state.posted, state.held, state.incoming), (expected, 0, 0));
        }
        for of in 0..world.originals.len() {
            world.rehearse(of, Some(1), false);
            world.rehearse(of, None, of % 2 == 0);
        }
    }
}
