//! Commands of every kind at once, in any order of partitions: the [`node`](crate::ledger::tests)
//! asks the oracle after each record, so nothing is said here of what is right.
//!
//! Amounts that hardly fit, dates in closed periods, holds that expire while they walk, ticks and
//! posts of holds that are elsewhere: whatever an edge lets through.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::plan::STATUSES;
use crate::ledger::tests::cluster::Cluster;
use crate::ledger::tests::message::{Message, SETTING};
use crate::ledger::tests::names::{Book, asset};
use crate::ledger::{BalanceId, PartitionId, TransactionId, partition_of};
use crate::wire::Time;

const ACCOUNTS: usize = 4;
const ASSETS: [&str; 2] = ["USD/2", "EUR/2"];
/// All that 28 digits say.
const ALL: &str = "99999999999999999999999999.99";

/// A side of a posting: an account, the world, or fees by their name.
const WORLD: usize = ACCOUNTS;
const FEES: usize = ACCOUNTS + 1;
const PARTIES: usize = ACCOUNTS + 2;

#[derive(Clone, Debug)]
struct Move {
    source: usize,
    destination: usize,
    amount: String,
    asset: usize,
}

#[derive(Clone, Debug)]
enum Action {
    /// Postings; held for how long, if held; dated how far from now; expecting which version.
    Move(Vec<Move>, Option<Option<u32>>, Option<i64>, Option<u64>),
    /// How many cents, shared out on both sides.
    Split(u32, [Shares; 2]),
    Post(Index, Option<(String, usize)>, Option<i64>),
    Void(Index),
    /// Which transfer or hold; how much; whether by force; in one of ten, of another id.
    Reverse(Index, Option<(String, usize)>, bool),
    Tick(Index),
    Set(usize, &'static str, Value),
    /// Closes what is so many seconds before now.
    Close(i64),
    /// An earlier record once more, perhaps elsewhere.
    Again(Index, Option<u16>),
    /// An earlier record once more, with something written or said otherwise.
    Otherwise(Index, Index),
    /// Milliseconds pass.
    Wait(i64),
    Turn(Index),
    Deliver(Index, Index),
    Drain,
    /// The rules of a partition are raised to the latest.
    Raise(Index),
}

/// Percentages in units of 0.01, who has the first of them, and whether what is missing to all of it is
/// a percentage too or what remains.
type Shares = (Vec<u32>, usize, bool);

/// What a command may have beside what it does: the member, a value, and another way to write it.
const NOTES: [(&str, &str, &str); 4] = [
    ("description", "\"\"", "\"rent\""),
    (
        "metadata",
        r#"{"a": "1", "b": "2"}"#,
        r#"{"b": "2", "a": "1"}"#,
    ),
    ("metadata", r#"{"a": "2"}"#, "{}"),
    (
        "effective_at",
        "\"2026-11-18T08:00:00Z\"",
        "\"2026-11-18T09:00:00.000+01:00\"",
    ),
];

fn shares(most: usize) -> impl Strategy<Value = Shares> {
    let percents = prop::collection::vec(1_u32..4000, 0..most);
    (percents, 0..PARTIES, any::<bool>())
}

fn amount() -> impl Strategy<Value = String> {
    prop_oneof![
        30 => (1_u32..15).prop_map(|units| units.to_string()),
        1 => Just(ALL.to_owned()),
    ]
}

fn one_move() -> impl Strategy<Value = Move> {
    let asset = prop_oneof![5 => Just(0_usize), 1 => Just(1)];
    (0..PARTIES, 1..PARTIES, amount(), asset).prop_map(|(source, step, amount, asset)| Move {
        source,
        destination: (source + step) % PARTIES,
        amount,
        asset,
    })
}

/// Often as long as a hold lasts or the horizon is, or next to it.
fn wait() -> impl Strategy<Value = Action> {
    let seconds = prop_oneof![2 => 0_i64..25, 2 => Just(10), 1 => Just(590), 1 => Just(600)];
    let beside = prop_oneof![3 => Just(0_i64), 1 => Just(-1), 1 => Just(1)];
    (seconds, beside).prop_map(|(seconds, beside)| Action::Wait((seconds * 1000 + beside).max(0)))
}

fn set() -> impl Strategy<Value = Action> {
    let limit = || {
        prop_oneof![
            Just(json!(null)),
            (-40_i64..40).prop_map(|l| json!(l.to_string()))
        ]
    };
    let status = prop_oneof![3 => Just("open"), 2 => prop::sample::select(&STATUSES[..])];
    let change = prop_oneof![
        status.prop_map(|status| ("status", json!(status))),
        limit().prop_map(|limit| ("floor", limit)),
        limit().prop_map(|limit| ("ceiling", limit)),
    ];
    (0..ACCOUNTS, change).prop_map(|(who, (name, value))| Action::Set(who, name, value))
}

fn action() -> impl Strategy<Value = Action> {
    let one = any::<Index>;
    let moves = prop::collection::vec(one_move(), 1..4);
    let lasts = prop_oneof![1 => 1_u32..60, 2 => Just(10)];
    let hold = prop::option::weighted(0.7, prop::option::of(lasts));
    let dated = || prop::option::weighted(0.2, -60_i64..90);
    let expect = prop::option::weighted(0.1, 0_u64..6);
    let part = || prop::option::weighted(0.7, (amount(), 0..ASSETS.len()));
    let via = prop::option::of(any::<u16>());
    prop_oneof![
        12 => (moves, hold, dated(), expect).prop_map(|(m, h, d, e)| Action::Move(m, h, d, e)),
        4 => (1_u32..500, (shares(2), shares(3))).prop_map(|(of, (from, to))| Action::Split(of, [from, to])),
        6 => (one(), part(), dated()).prop_map(|(of, part, date)| Action::Post(of, part, date)),
        2 => one().prop_map(Action::Void),
        8 => (one(), part(), any::<bool>())
            .prop_map(|(which, part, force)| Action::Reverse(which, part, force)),
        3 => one().prop_map(Action::Tick),
        2 => set(),
        1 => (-20_i64..60).prop_map(Action::Close),
        2 => (one(), via).prop_map(|(which, via)| Action::Again(which, via)),
        6 => (one(), one()).prop_map(|(which, how)| Action::Otherwise(which, how)),
        3 => wait(),
        12 => one().prop_map(Action::Turn),
        10 => (one(), one()).prop_map(|(from, to)| Action::Deliver(from, to)),
        4 => Just(Action::Drain),
        1 => one().prop_map(Action::Raise),
    ]
}

struct World {
    book: Book,
    cluster: Cluster,
    /// Everything that was sent, and where to.
    sent: Vec<(PartitionId, BalanceId, Value)>,
    /// What may be a hold, and a balance of its home.
    holds: Vec<(TransactionId, BalanceId)>,
    /// Every transfer and hold that was sent, under the id that it has if it is the first of its
    /// reference.
    originals: Vec<(TransactionId, BalanceId, Value)>,
}

impl World {
    fn new(count: PartitionId) -> Self {
        let (book, cluster) = (Book::new(count), Cluster::new(count));
        let mut world = Self {
            book,
            cluster,
            sent: Vec::new(),
            holds: Vec::new(),
            originals: Vec::new(),
        };
        for who in 0..ACCOUNTS {
            for (code, text) in ASSETS.iter().enumerate() {
                let floor = [json!("-40"), json!(null)][who % 2].clone();
                let limits = json!({"asset": text, "floor": floor});
                let reference = format!("open-{who}-{code}");
                let open = world.book.open(&reference, &world.name(who), limits);
                world.send(world.id(who, code), open);
            }
        }
        world.cluster.drain();
        world
    }

    fn name(&self, who: usize) -> String {
        match who {
            WORLD => "world".to_owned(),
            FEES => "@fees".to_owned(),
            _ => format!("a{who}.{}", who % usize::from(self.book.count)),
        }
    }

    fn id(&self, who: usize, code: usize) -> BalanceId {
        self.book.id(&self.name(who), &asset(ASSETS[code]))
    }

    fn send(&mut self, key: BalanceId, json: Value) {
        let to = partition_of(key, self.book.count);
        self.deliver(to, key, json);
    }

    fn deliver(&mut self, to: PartitionId, key: BalanceId, json: Value) {
        let message = match json["type"].as_str() {
            Some("expire") => Message::tick(key, &json),
            _ => Message::command(self.sent.len() as u64, key, &json),
        };
        self.sent.push((to, key, json));
        self.cluster.append(to, message);
    }

    /// Some are used again, in another partition or for something else.
    fn reference(&self) -> String {
        format!("r{}", self.sent.len() % 50)
    }

    fn dated(&self, json: &mut Value, seconds: Option<i64>) {
        let date = seconds.map(|seconds| Time(self.cluster.clock_ms + seconds * 1000));
        if let Some(date) = date {
            json["effective_at"] = json!(date.to_string());
        }
    }

    fn moves(&mut self, action: &Action) {
        let Action::Move(moves, hold, date, expect) = action else {
            unreachable!("only for Move");
        };
        let postings = moves.iter().map(|one| {
            let (from, to) = (self.name(one.source), self.name(one.destination));
            self.book
                .posting(&from, &to, &one.amount, ASSETS[one.asset])
        });
        let postings: Vec<Value> = postings.collect();
        // What a striped account pays is decided where the other side is.
        let accounts = moves
            .iter()
            .flat_map(|one| [one.source, one.destination].map(|who| (who, one.asset)));
        let mut accounts = accounts.filter(|(who, _)| *who < ACCOUNTS);
        let first = accounts.next();
        let key = first.map_or(self.id(WORLD, 0), |(who, code)| self.id(who, code));
        let expected = expect.zip(first);
        let expect = expected.map(|(version, _)| json!({key.to_string(): version}));
        let expect = expect.unwrap_or(json!({}));
        let mut json = self.book.transfer(&self.reference(), &postings, expect);
        let to = partition_of(key, self.book.count);
        let offset = self.cluster.node(to).log.len() as u64;
        let id = TransactionId::new(to, offset, SETTING.generation);
        if let Some(seconds) = hold {
            let terms = seconds.map(|seconds| json!({"expires_in": format!("{seconds}s")}));
            json["hold"] = terms.unwrap_or(json!({}));
            self.holds.push((id, key));
        }
        self.dated(&mut json, *date);
        self.originals.push((id, key, json.clone()));
        self.send(key, json);
    }

    /// One side of a posting that is shared out.
    fn side(&self, (percents, first, rest): &Shares) -> Value {
        let balance = |step: usize| {
            let who = (first + step) % PARTIES;
            match who {
                FEES => json!("@fees"),
                _ => json!(self.id(who, 0).uuid()),
            }
        };
        let percent = |hundredths: u32| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let (mut left, mut list) = (10_000, Vec::new());
        for (step, hundredths) in percents.iter().enumerate() {
            let part = (*hundredths).min(left);
            left -= part;
            if part > 0 {
                list.push(json!({"balance": balance(step), "percent": percent(part)}));
            }
        }
        let last = balance(percents.len());
        match (rest, left) {
            (true, _) => list.insert(list.len() / 2, json!({"balance": last, "remaining": true})),
            (false, 0) => {}
            (false, _) => list.push(json!({"balance": last, "percent": percent(left)})),
        }
        list.into()
    }

    fn split(&mut self, cents: u32, [from, to]: &[Shares; 2]) {
        let first = from.1;
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let posting = json!({"source": self.side(from), "destination": self.side(to),
            "amount": amount, "asset": ASSETS[0]});
        let json = self.book.transfer(&self.reference(), &[posting], json!({}));
        // What a striped account pays is decided where the other side is.
        let key = match first {
            WORLD | FEES => self.id(to.1, 0),
            _ => self.id(first, 0),
        };
        let to = partition_of(key, self.book.count);
        let offset = self.cluster.node(to).log.len() as u64;
        let id = TransactionId::new(to, offset, SETTING.generation);
        self.originals.push((id, key, json.clone()));
        self.send(key, json);
    }

    /// An earlier record under the same reference: with a note, or with the other way to write it;
    /// with its amount written or its terms said otherwise.
    fn otherwise(&mut self, which: &Index, how: &Index) {
        let (to, key, mut json) = which.get(&self.sent).clone();
        let how = how.index(NOTES.len() + 3);
        match (NOTES.get(how), how.saturating_sub(NOTES.len())) {
            (Some((name, one, other)), _) => {
                let value: Value = serde_json::from_str(one).unwrap();
                let value = match json[*name] == value {
                    true => serde_json::from_str(other).unwrap(),
                    false => value,
                };
                json[*name] = value;
            }
            (None, 0) if json["hold"].is_object() => {
                json["hold"] = match json["hold"]["expires_in"] == "60s" {
                    true => json!({"expires_in": "1m"}),
                    false => json!({"expires_in": "60s"}),
                };
            }
            (None, 1) if json["reverse"].is_object() => {
                json["reverse"]["force"] = json!(json["reverse"]["force"] != true);
            }
            (None, _) => {
                let amount = json["postings"][0]["amount"].as_str().map(str::to_owned);
                if let Some(amount) = amount.filter(|amount| !amount.contains('.')) {
                    json["postings"][0]["amount"] = json!(format!("{amount}.00"));
                    json["postings"][0]["asset"] = json!("USD");
                }
            }
        }
        self.deliver(to, key, json);
    }

    fn reverse(&mut self, which: &Index, part: Option<&(String, usize)>, force: bool) {
        if self.originals.is_empty() {
            return;
        }
        let (mut id, key, original) = which.get(&self.originals).clone();
        if which.index(1 << 20).is_multiple_of(10) {
            id = which
                .get(&self.originals[..self.originals.len().div_ceil(2)])
                .0;
        }
        let mut part = match part {
            Some((amount, code)) => json!({"amount": amount, "asset": ASSETS[*code]}),
            None => json!({}),
        };
        part["transaction"] = json!(id.uuid());
        part["original"] = original;
        part["force"] = json!(force);
        let json = json!({"reference": self.reference(), "type": "reverse",
            "ledger": self.book.ledger, "reverse": part});
        self.send(key, json);
    }

    fn on_hold(&mut self, kind: &str, which: &Index, more: Value, date: Option<i64>) {
        if self.holds.is_empty() {
            return;
        }
        let (hold, key) = *which.get(&self.holds);
        let key = match which.index(1 << 20) % 10 {
            0 => self.id(which.index(ACCOUNTS), 0),
            _ => key,
        };
        let mut part = json!({"hold": hold.uuid(), "balance": key.uuid()});
        for (name, value) in more.as_object().into_iter().flatten() {
            part[name] = value.clone();
        }
        let ledger = match which.index(1 << 20) % 10 {
            1 => "acme/other",
            _ => &self.book.ledger,
        };
        let mut json = json!({"reference": self.reference(), "type": kind, "ledger": ledger});
        json[kind] = part;
        self.dated(&mut json, date);
        self.send(key, json);
    }

    fn act(&mut self, action: &Action) {
        let count = self.book.count;
        let partition = |which: &Index| PartitionId::try_from(which.index(count.into())).unwrap();
        match action {
            Action::Move(..) => self.moves(action),
            Action::Post(which, part, date) => {
                let part = part.as_ref();
                let more =
                    part.map(|(amount, code)| json!({"amount": amount, "asset": ASSETS[*code]}));
                self.on_hold("post", which, more.unwrap_or(json!({})), *date);
            }
            Action::Void(which) => self.on_hold("void", which, json!({}), None),
            Action::Reverse(which, part, force) => self.reverse(which, part.as_ref(), *force),
            Action::Tick(which) => self.on_hold("expire", which, json!({}), None),
            Action::Set(who, name, value) => {
                let change = json!({"asset": ASSETS[0], *name: value});
                let (reference, account) = (self.reference(), self.name(*who));
                let json = self.book.configure(&reference, &account, change, json!({}));
                self.send(self.id(*who, 0), json);
            }
            Action::Close(seconds) => {
                let before = Time(self.cluster.clock_ms - seconds * 1000).to_string();
                let json = json!({"reference": self.reference(), "type": "close-period",
                    "ledger": self.book.ledger, "close_period": {"before": before}});
                self.send(BalanceId::period(&self.book.ledger), json);
            }
            Action::Again(which, via) => {
                let (to, key, json) = which.get(&self.sent).clone();
                self.deliver(via.map_or(to, |via| via % count), key, json);
            }
            Action::Split(cents, sides) => self.split(*cents, sides),
            Action::Otherwise(which, how) => self.otherwise(which, how),
            Action::Wait(ms) => self.cluster.clock_ms += ms,
            Action::Turn(who) => {
                self.cluster.turn(partition(who));
            }
            Action::Deliver(from, to) => {
                self.cluster.deliver(partition(from), partition(to));
            }
            Action::Drain => {
                self.cluster.drain();
            }
            Action::Raise(who) => self.cluster.raise(partition(who)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_oracle_agrees_on_everything(
        count in 1_u16..5,
        actions in prop::collection::vec(action(), 1..120),
    ) {
        let mut world = World::new(count);
        for action in &actions {
            world.act(action);
        }
        world.cluster.drain();
    }
}
