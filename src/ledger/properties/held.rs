//! Holds against a naive oracle: one map of balances, one list of holds, and no partitions. Every
//! command is rehearsed first, and must then do just that.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::ledger::id::TRANSIT_LEDGER;
use crate::ledger::rehearsal::Rehearsal;
use crate::ledger::tests::cluster::Cluster;
use crate::ledger::tests::message::{Message, SETTING};
use crate::ledger::tests::names::{Book, asset};
use crate::ledger::tests::rehearsed::Rehearsed;
use crate::ledger::{BalanceId, Hold, PartitionId, TransactionId, partition_of};
use crate::wire::Decoder;

const ACCOUNTS: usize = 4;
const FLOOR: i64 = -40;
const CEILING: i64 = 60;

/// Source, destination, cents.
type Move = (usize, usize, i64);

#[derive(Clone, Debug)]
enum Action {
    Hold(Vec<Move>, Option<i64>),
    Transfer(Move),
    Post(Index, Option<i64>),
    Void(Index),
    Tick(Index),
    /// Seconds pass.
    Wait(i64),
}

/// What else happens where commands are not run to their end one after the other.
#[derive(Clone, Debug)]
enum Step {
    Act(Action),
    Turn(Index),
    Deliver(Index, Index),
    /// The rules of a partition are raised to the latest.
    Raise(Index),
    Marker(Index),
    Takeover(Index, Index),
}

fn action() -> impl Strategy<Value = Action> {
    let one = || {
        (0..ACCOUNTS, 1..ACCOUNTS, 1_i64..15)
            .prop_map(|(source, step, cents)| (source, (source + step) % ACCOUNTS, cents))
    };
    let hold = (
        prop::collection::vec(one(), 1..4),
        prop::option::of(1_i64..60),
    );
    let which = any::<Index>;
    let cents = prop::option::weighted(0.7, 1_i64..20);
    prop_oneof![
        5 => hold.prop_map(|(moves, seconds)| Action::Hold(moves, seconds)),
        2 => one().prop_map(Action::Transfer),
        5 => (which(), cents).prop_map(|(which, cents)| Action::Post(which, cents)),
        2 => which().prop_map(Action::Void),
        2 => which().prop_map(Action::Tick),
        2 => (0_i64..25).prop_map(Action::Wait),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let one = any::<Index>;
    prop_oneof![
        6 => action().prop_map(Step::Act),
        10 => one().prop_map(Step::Turn),
        8 => (one(), one()).prop_map(|(from, to)| Step::Deliver(from, to)),
        1 => one().prop_map(Step::Raise),
        1 => one().prop_map(Step::Marker),
        1 => (one(), one()).prop_map(|(who, known)| Step::Takeover(who, known)),
    ]
}

/// A cluster with open accounts, and what was asked of it.
struct World {
    book: Book,
    cluster: Cluster,
    asked: u64,
    /// What was asked last.
    last: Value,
    holds: Vec<(TransactionId, BalanceId)>,
}

impl World {
    fn new(count: PartitionId) -> Self {
        let mut world = Self {
            book: Book::new(count),
            cluster: Cluster::new(count),
            asked: 0,
            last: Value::Null,
            holds: Vec::new(),
        };
        for who in 0..ACCOUNTS {
            let limits = json!({"asset": "USD", "floor": money(FLOOR), "ceiling": money(CEILING)});
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
        self.asked += 1;
        self.last = json.clone();
        let to = partition_of(key, self.book.count);
        self.cluster
            .append(to, Message::command(self.asked, key, json));
        self.asked
    }

    /// Sends what the action asks; its ticket, if somebody waits for an answer.
    fn act(&mut self, action: &Action) -> Option<u64> {
        let reference = format!("r{}", self.asked);
        match action {
            Action::Wait(seconds) => self.cluster.clock_ms += seconds * 1000,
            Action::Hold(moves, seconds) => {
                let mut json = self.moves(&reference, moves);
                let terms = seconds.map(|seconds| json!({"expires_in": format!("{seconds}s")}));
                json["hold"] = terms.unwrap_or(json!({}));
                let key = self.id(moves[0].0);
                let home = partition_of(key, self.book.count);
                let offset = self.cluster.node(home).log.len() as u64;
                let generation = crate::ledger::tests::message::SETTING.generation;
                self.holds
                    .push((TransactionId::new(home, offset, generation), key));
                return Some(self.send(key, &json));
            }
            Action::Transfer(one) => {
                let json = self.moves(&reference, std::slice::from_ref(one));
                return Some(self.send(self.id(one.0), &json));
            }
            Action::Post(which, cents) => {
                let (key, mut part) = self.target(which)?;
                if let Some(cents) = cents {
                    part["amount"] = json!(money(*cents));
                    part["asset"] = json!("USD");
                }
                return Some(self.send(key, &self.on_hold(&reference, "post", &part)));
            }
            Action::Void(which) => {
                let (key, part) = self.target(which)?;
                return Some(self.send(key, &self.on_hold(&reference, "void", &part)));
            }
            Action::Tick(which) => {
                let (key, part) = self.target(which)?;
                let tick = Message::tick(key, &self.on_hold(&reference, "expire", &part));
                self.cluster
                    .append(partition_of(key, self.book.count), tick);
            }
        }
        None
    }

    fn step(&mut self, step: &Step) {
        let count = usize::from(self.book.count);
        let partition = |which: &Index| PartitionId::try_from(which.index(count)).unwrap();
        match step {
            Step::Act(action) => {
                self.act(action);
            }
            Step::Turn(who) => {
                self.cluster.turn(partition(who));
            }
            Step::Deliver(from, to) => {
                self.cluster.deliver(partition(from), partition(to));
            }
            Step::Raise(who) => self.cluster.raise(partition(who)),
            Step::Marker(who) => self.cluster.node_mut(partition(who)).checkpoint(),
            Step::Takeover(who, known) => {
                let node = self.cluster.node_mut(partition(who));
                let outcomes = node.outcomes.len();
                node.restart(known.index(outcomes + 1));
            }
        }
    }

    fn target(&self, which: &Index) -> Option<(BalanceId, Value)> {
        let at = which.index(self.holds.len().max(1));
        let (hold, key) = self.holds.get(at)?;
        Some((*key, json!({"hold": hold.uuid(), "balance": key.uuid()})))
    }

    fn on_hold(&self, reference: &str, kind: &str, part: &Value) -> Value {
        json!({"reference": reference, "type": kind, "ledger": self.book.ledger, kind: part})
    }

    fn moves(&self, reference: &str, moves: &[Move]) -> Value {
        let posting = |(source, destination, cents): &Move| {
            json!({
                "source": self.id(*source).uuid(), "destination": self.id(*destination).uuid(),
                "amount": money(*cents), "asset": "USD",
            })
        };
        let postings: Vec<Value> = moves.iter().map(posting).collect();
        self.book.transfer(reference, &postings, json!({}))
    }

    fn state(&self, who: usize) -> (i128, i128, i128) {
        let state = self.cluster.balance(self.id(who)).unwrap().state;
        (state.posted, state.held, state.incoming)
    }
}

fn money(cents: i64) -> String {
    crate::ledger::amount::decimal_of(cents.into(), 2).to_string()
}

#[derive(Clone, Debug, Default)]
struct Naive {
    now: i64,
    /// Posted, held, incoming.
    accounts: [(i64, i64, i64); ACCOUNTS],
    holds: Vec<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    /// With what is left of each.
    moves: Vec<Move>,
    due: Option<i64>,
    end: Option<&'static str>,
}

impl Naive {
    /// Why the action is refused, if it is.
    fn act(&mut self, action: &Action) -> Option<&'static str> {
        let before = self.clone();
        let refused = match action {
            Action::Wait(seconds) => {
                self.now += seconds;
                None
            }
            Action::Hold(moves, seconds) => self.hold(moves, *seconds),
            Action::Transfer((source, destination, cents)) => {
                self.accounts[*source].0 -= cents;
                self.accounts[*destination].0 += cents;
                self.broken()
            }
            Action::Post(which, cents) => self.post(which, *cents),
            Action::Void(which) => self.end(which, "hold-voided"),
            Action::Tick(which) => {
                let at = which.index(self.holds.len().max(1));
                let hold = self.holds.get(at)?;
                let due = hold.end.is_none() && hold.due.is_some_and(|due| due <= self.now);
                due.then(|| self.release(at, "hold-expired"));
                None
            }
        };
        if refused.is_some() {
            let holds = before.holds;
            *self = Self { holds, ..before };
            if let Action::Hold(..) = action {
                let (moves, due, end) = (Vec::new(), None, Some("hold-not-found"));
                self.holds.push(Held { moves, due, end });
            }
        }
        refused
    }

    fn broken(&self) -> Option<&'static str> {
        let low = |(posted, held, _): &(i64, i64, i64)| posted - held < FLOOR;
        let high = |(posted, _, incoming): &(i64, i64, i64)| posted + incoming > CEILING;
        if self.accounts.iter().any(low) {
            return Some("insufficient-funds");
        }
        self.accounts.iter().any(high).then_some("ceiling-exceeded")
    }

    fn hold(&mut self, moves: &[Move], seconds: Option<i64>) -> Option<&'static str> {
        for (source, destination, cents) in moves {
            self.accounts[*source].1 += cents;
            self.accounts[*destination].2 += cents;
        }
        let due = seconds.map(|seconds| self.now + seconds);
        let (moves, end) = (moves.to_vec(), None);
        self.holds.push(Held { moves, due, end });
        self.broken()
    }

    fn refusal(&self, at: usize) -> Option<&'static str> {
        let hold = &self.holds[at];
        let late = hold.due.is_some_and(|due| due <= self.now);
        hold.end.or(late.then_some("hold-expired"))
    }

    fn post(&mut self, which: &Index, cents: Option<i64>) -> Option<&'static str> {
        let at = which.index(self.holds.len());
        if let Some(refused) = self.refusal(at) {
            return Some(refused);
        }
        let left: i64 = self.holds[at].moves.iter().map(|(.., rest)| rest).sum();
        let mut cents = cents.unwrap_or(left);
        if cents > left {
            return Some("post-exceeds-hold");
        }
        for (source, destination, rest) in &mut self.holds[at].moves {
            let taken = cents.min(*rest);
            (cents, *rest) = (cents - taken, *rest - taken);
            let from = &mut self.accounts[*source];
            (from.0, from.1) = (from.0 - taken, from.1 - taken);
            let to = &mut self.accounts[*destination];
            (to.0, to.2) = (to.0 + taken, to.2 - taken);
        }
        let spent = self.holds[at].moves.iter().all(|(.., rest)| *rest == 0);
        self.holds[at].end = spent.then_some("hold-spent");
        None
    }

    fn end(&mut self, which: &Index, end: &'static str) -> Option<&'static str> {
        let at = which.index(self.holds.len());
        let refused = self.refusal(at);
        if refused.is_none() {
            self.release(at, end);
        }
        refused
    }

    fn release(&mut self, at: usize, end: &'static str) {
        for (source, destination, rest) in std::mem::take(&mut self.holds[at].moves) {
            self.accounts[source].1 -= rest;
            self.accounts[destination].2 -= rest;
        }
        self.holds[at].end = Some(end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_oracle_agrees_on_holds(
        count in 1_u16..5,
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let (mut world, mut naive) = (World::new(count), Naive::default());
        for action in &actions {
            let ticket = world.act(action);
            let rehearsed = ticket.map(|_| Rehearsed::of(&world.cluster, &world.last));
            world.cluster.drain();
            if let Some((ticket, rehearsed)) = ticket.zip(rehearsed) {
                rehearsed.check(&world.cluster, ticket);
            }
            if ticket.is_none() && !matches!(action, Action::Wait(_) | Action::Tick(_)) {
                continue;
            }
            let expected = naive.act(action);
            if let Some(ticket) = ticket {
                let answer = &world.cluster.answers[&ticket].decision;
                let both_limits = ["insufficient-funds", "ceiling-exceeded"];
                match expected.filter(|expected| both_limits.contains(expected)) {
                    Some(_) => prop_assert!(both_limits.contains(&answer.reason().unwrap())),
                    None => prop_assert_eq!(answer.reason(), expected, "{:?}", action),
                }
            }
            for who in 0..ACCOUNTS {
                let (posted, held, incoming) = naive.accounts[who];
                let expected = (posted.into(), held.into(), incoming.into());
                prop_assert_eq!(world.state(who), expected, "{} after {:?}", who, action);
            }
        }
    }

    /// Whoever reads holds earlier than balances, and each in the middle of things, is told so or
    /// can try what he likes: nothing breaks.
    #[test]
    fn what_was_read_at_several_moments_is_played_or_refused(
        count in 1_u16..5,
        before in prop::collection::vec(action(), 1..12),
        after in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(count);
        for action in &before {
            world.act(action);
            world.cluster.drain();
        }
        let kept = world.holds.iter().filter_map(|(id, balance)| {
            let holds = world.cluster.node(id.home()).partition.holds();
            Some((*id, *balance, holds.get(*id)?.clone()))
        });
        let kept: Vec<(TransactionId, BalanceId, Hold)> = kept.collect();
        for step in &after {
            world.step(step);
            let nodes = world.cluster.nodes.iter();
            let known = nodes.flat_map(|node| node.partition.balances());
            let known = known.filter(|(_, balance)| &*balance.ledger != TRANSIT_LEDGER);
            let known = known.map(|(id, balance)| (id, balance.clone()));
            let now = world.cluster.clock_ms;
            let mut rehearsal = Rehearsal::new((count, SETTING), now, known, BTreeMap::new());
            if !kept.iter().all(|(id, _, hold)| rehearsal.keep(*id, hold)) {
                continue;
            }
            for (at, (id, balance, _)) in kept.iter().enumerate() {
                let target = json!({"hold": id.uuid(), "balance": balance.uuid()});
                for what in ["post", "void"] {
                    let json = world.on_hold(&format!("{what}-{at}"), what, &target);
                    let text = json.to_string();
                    let command = Decoder::of(count).parse(text.as_bytes(), None, None);
                    prop_assert!(rehearsal.play(Arc::new(command.unwrap())).is_some());
                }
            }
        }
    }

    /// In any order of partitions, with owners that start again: every node checks L1 to L7 after
    /// each record; in the end nothing is on the wire, and what is reserved is what holds have.
    #[test]
    fn holds_are_whole_whatever_the_order(
        count in 1_u16..5,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(count);
        for step in &steps {
            world.step(step);
        }
        world.cluster.drain();
        let mut rests: BTreeMap<BalanceId, (i128, i128)> = BTreeMap::new();
        for (id, _) in &world.holds {
            let holds = world.cluster.node(id.home()).partition.holds();
            for part in holds.get(*id).iter().flat_map(|hold| &hold.parts) {
                rests.entry(part.source).or_default().0 += part.rest;
                rests.entry(part.destination).or_default().1 += part.rest;
            }
        }
        let reserved: i128 = rests.values().map(|(held, _)| held).sum();
        let nodes = world.cluster.nodes.iter();
        let ways = nodes.flat_map(|node| node.partition.balances());
        let ways = ways.filter(|(_, balance)| &*balance.ledger == TRANSIT_LEDGER);
        let ways: i128 = ways.map(|(_, way)| way.state.incoming).sum();
        prop_assert!(ways <= reserved, "{} of the ways for {}", ways, reserved);
        let mut sum = 0;
        for who in 0..ACCOUNTS {
            let (posted, held, incoming) = world.state(who);
            sum += posted;
            let expected = rests.get(&world.id(who)).copied().unwrap_or_default();
            prop_assert_eq!((held, incoming), expected, "{} at rest", who);
            prop_assert!(posted - held >= FLOOR.into() && posted + incoming <= CEILING.into());
        }
        prop_assert_eq!(sum, 0, "L1: nothing is left on the wire");
    }
}
