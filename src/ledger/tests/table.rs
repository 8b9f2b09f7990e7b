//! A test as a table: `event | decision`, one line each, `#` starts a comment.
//!
//! | event | does |
//! |---|---|
//! | `r1: alice > bob 5.00, bob.1 > carl 1 EUR/2 expect alice=3` | a transfer; `r1:` names the reference |
//! | `open alice floor -5 ceiling none asset EUR` | opens a balance |
//! | `set alice floor none status frozen expect alice=3` | configures it |
//! | `… dated 30` | at the end of a transfer or reversal: it takes effect at second 30 |
//! | `close 60` | closes what takes effect before second 60 |
//! | `… bob > @fees 1 …` | a striped account by its name |
//! | `stripe @fees:USD 1 5.00` | what its stripe in partition 1 has, or `none` |
//! | `via 1 …` | the same, sent to partition 1 |
//! | `h: hold alice > bob 5 for 15m` | the same, held, and known as `h` |
//! | `post h`, `post h 2.00 EUR/2`, `void h`, `tick h` | posts, voids, or expires it if it is due |
//! | `reverse r1`, `reverse r1 2.00 EUR/2 force` | moves back what `r1` has moved, or a part |
//! | `reverse r1 as hold`, `reverse r1 as transfer` | the same, calling it what it is not |
//! | `reversed r1 1.00 0` | what home counts as reversed, of every posting |
//! | `hold h 1 open 5.00 0.50` | what partition 1 keeps of it: its state, and the rest of every posting |
//! | `leg 0>1` | the next leg from 0 to 1 arrives; `again 0>1 2` sends the second one again |
//! | `genesis 1`, `junk 1` | a genesis record, or no JSON at all, arrives at partition 1 |
//! | `at 60` | the next records are of second 60 |
//! | `marker 1`, `takeover 1 7` | cold reaches partition 1's present; a new owner knows 7 outcomes |
//! | `drain` | everything arrives and is decided |
//! | `= alice 5.00 v3 incoming 1.00 frozen` | looks at a balance; `= alice none` if there is none |
//! | `wire 0>1 5.00` | what the pair of mirrors shows that all ledgers share |
//! | `wire 0>1 5.00 own reserved 2.00` | what the ledger's own pair shows, and what holds reserve of the way |
//! | `raise 1 3` | a record raises the rules of partition 1 |
//!
//! A decision is `[replay] status [reason] [on NAME vN][, STEP P>Q]…`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::message::Message;
use super::names::{Book, asset, options};
use super::rehearsed::Rehearsed;
use crate::ledger::amount::{decimal_of, parse};
use crate::ledger::stripes::stripes;
use crate::ledger::{Asset, BalanceId, Outcome, PartitionId, TransactionId, partition_of};
use crate::wire::Time;

/// Runs `table` in a cluster of `partitions`.
#[track_caller]
pub(super) fn check(partitions: PartitionId, table: &str) {
    let mut run = Run {
        book: Book::new(partitions),
        cluster: Cluster::new(partitions),
        names: HashMap::new(),
        tickets: 0,
        originals: HashMap::new(),
        rehearsed: None,
    };
    for line in table.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (event, expected) = line.split_once('|').unwrap_or((line, ""));
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        let got = run.event(event.trim(), &expected);
        assert_eq!(got, expected, "\nin: {line}");
    }
}

struct Run {
    book: Book,
    cluster: Cluster,
    /// Every balance that was named so far.
    names: HashMap<BalanceId, String>,
    tickets: u64,
    /// Id, deciding balance and command of every transfer and hold.
    originals: HashMap<String, (TransactionId, BalanceId, Value)>,
    /// The last ticket, if nothing else was on the way beside it, and what its rehearsal said.
    rehearsed: Option<(u64, Rehearsed)>,
}

impl Run {
    fn event(&mut self, event: &str, expected: &str) -> String {
        let words: Vec<&str> = event.split_whitespace().collect();
        let outcome = match words[0] {
            "at" => {
                self.rehearsed = None;
                self.cluster.clock_ms = words[1].parse::<i64>().unwrap() * 1000;
                return String::new();
            }
            "drain" => {
                self.cluster.drain();
                if let Some((ticket, rehearsed)) = self.rehearsed.take() {
                    rehearsed.check(&self.cluster, ticket);
                }
                return String::new();
            }
            "marker" => {
                self.cluster.node_mut(number(words[1])).checkpoint();
                return String::new();
            }
            "takeover" => {
                let known = words[2].parse().unwrap();
                self.cluster.node_mut(number(words[1])).restart(known);
                return String::new();
            }
            "=" => return self.look(&words[1..]),
            "wire" => return self.wire(words[1], words[2], &words[3..]),
            "stripe" => return self.stripe(words[1], words[2], words[3]),
            "hold" if words[2].parse::<u16>().is_ok() => return self.hold(&words[1..]),
            "reversed" => return self.reversed(words[1], &words[2..]),
            "tick" => {
                let (hold, balance, _) = &self.originals[words[1]];
                let (hold, balance) = (*hold, *balance);
                let target = json!({"hold": hold.uuid(), "balance": balance.uuid()});
                let json = json!({
                    "reference": words[1], "type": "expire", "ledger": self.book.ledger,
                    "expire": target,
                });
                self.record(hold.home(), Message::tick(balance, &json))
            }
            "leg" => {
                let (from, to) = pair(words[1]);
                assert!(self.cluster.deliver(from, to), "no leg to deliver");
                self.cluster.turn(to)
            }
            "again" => {
                let (from, to) = pair(words[1]);
                let number: usize = words[2].parse().unwrap();
                self.cluster.carry(from, to, number - 1);
                self.cluster.turn(to)
            }
            "genesis" => self.record(number(words[1]), Message::genesis()),
            "junk" => self.record(number(words[1]), Message::junk()),
            "raise" => self.record(number(words[1]), Message::rules(words[2].parse().unwrap())),
            "via" => self.command(Some(number(words[1])), &words[2..]),
            _ => self.command(None, &words),
        };
        self.decision(&outcome.unwrap(), expected)
    }

    fn record(&mut self, to: PartitionId, message: Message) -> Option<Outcome> {
        self.rehearsed = None;
        self.cluster.append(to, message);
        self.cluster.turn(to)
    }

    fn command(&mut self, via: Option<PartitionId>, words: &[&str]) -> Option<Outcome> {
        self.tickets += 1;
        let (reference, words) = match words[0].strip_suffix(':') {
            Some(reference) => (reference.to_owned(), &words[1..]),
            None => (format!("line-{}", self.tickets), words),
        };
        let (key, json) = match words[0] {
            "open" => {
                let limits = options(&words[2..]);
                let held_in = asset(limits.get("asset").and_then(Value::as_str).unwrap_or("USD"));
                let key = self.id(words[1], &held_in);
                (key, self.book.open(&reference, words[1], limits))
            }
            "set" => self.configure(&reference, words),
            "post" | "void" => self.resolve(&reference, words),
            "reverse" => self.reverse(&reference, words),
            "hold" => {
                let until = words.iter().position(|word| *word == "for");
                let (words, expires) = words.split_at(until.unwrap_or(words.len()));
                let (key, mut json) = self.transfer(&reference, &words[1..]);
                json["hold"] = match expires.get(1) {
                    Some(span) => json!({"expires_in": span}),
                    None => json!({}),
                };
                (key, json)
            }
            "close" => self.close(&reference, number(words[1]).into()),
            _ => self.transfer(&reference, words),
        };
        let to = via.unwrap_or_else(|| partition_of(key, self.cluster.count()));
        // An edge reads back what was asked for in truth.
        let rehearses = self.cluster.is_quiet() && !words.contains(&"as");
        let rehearsed = rehearses.then(|| Rehearsed::of(&self.cluster, &json));
        let outcome = self.record(to, Message::command(self.tickets, key, &json))?;
        if let Some(rehearsed) = rehearsed {
            match self.cluster.is_quiet() {
                true => rehearsed.check(&self.cluster, self.tickets),
                false => self.rehearsed = Some((self.tickets, rehearsed)),
            }
        }
        if let (Some(id), true) = (outcome.transaction, json.get("postings").is_some()) {
            self.originals.insert(reference, (id, key, json));
        }
        Some(outcome)
    }

    fn resolve(&mut self, reference: &str, words: &[&str]) -> (BalanceId, Value) {
        let (hold, balance, _) = &self.originals[words[1]];
        let balance = *balance;
        let mut part = json!({"hold": hold.uuid(), "balance": balance.uuid()});
        if let Some(amount) = words.get(2) {
            part["amount"] = json!(amount);
            part["asset"] = json!(words.get(3).unwrap_or(&"USD"));
        }
        let mut json = json!({
            "reference": reference, "type": words[0], "ledger": self.book.ledger,
        });
        json[words[0]] = part;
        (balance, json)
    }

    fn reverse(&mut self, reference: &str, words: &[&str]) -> (BalanceId, Value) {
        let (words, date) = dated(words);
        let (words, expect) = self.expect(words);
        let (id, key, original) = &self.originals[words[1]];
        let mut original = original.clone();
        let called = words.iter().position(|word| *word == "as");
        let (words, called) = words.split_at(called.unwrap_or(words.len()));
        match called.get(1) {
            Some(&"hold") => original["hold"] = json!({}),
            Some(_) => drop(original.as_object_mut().unwrap().remove("hold")),
            None => {}
        }
        let mut part = json!({"transaction": id.uuid(), "original": original});
        let forced = words.last() == Some(&"force");
        part["force"] = json!(forced);
        let words = &words[..words.len() - usize::from(forced)];
        if let Some(amount) = words.get(2) {
            part["amount"] = json!(amount);
            part["asset"] = json!(words.get(3).unwrap_or(&"USD"));
        }
        let mut json = json!({"reference": reference, "type": "reverse",
            "ledger": self.book.ledger, "reverse": part, "expect": expect});
        if let Some(date) = date {
            json["effective_at"] = date;
        }
        (*key, json)
    }

    fn reversed(&self, name: &str, amounts: &[&str]) -> String {
        let id = self.originals[name].0;
        let holds = self.cluster.node(id.home()).partition.holds();
        let parts = holds.get(id).map_or(&[][..], |hold| &hold.parts);
        let reversed = parts.iter().map(|part| {
            decimal_of(part.reversed, part.asset.scale())
                .normalize()
                .to_string()
        });
        assert_eq!(reversed.collect::<Vec<_>>(), amounts, "reversed of {name}");
        String::new()
    }

    /// Compares what a partition keeps of a hold with what the words say of it.
    fn hold(&self, words: &[&str]) -> String {
        let holds = self.cluster.node(number(words[1])).partition.holds();
        let hold = holds.get(self.originals[words[0]].0).unwrap();
        assert_eq!(hold.stage.slug(), words[2], "{hold:?}");
        let rests = hold.parts.iter();
        let rests: Vec<_> = rests
            .map(|part| decimal_of(part.rest, part.asset.scale()).to_string())
            .collect();
        assert_eq!(rests, words[3..], "{hold:?}");
        String::new()
    }

    fn configure(&mut self, reference: &str, words: &[&str]) -> (BalanceId, Value) {
        let (words, expect) = self.expect(words);
        let mut change = options(&words[2..]);
        let limits = change.get("floor").or(change.get("ceiling"));
        if limits.is_some() && change.get("asset").is_none() {
            change["asset"] = json!("USD");
        }
        let key = self.id(words[1], &asset("USD"));
        let json = self.book.configure(reference, words[1], change, expect);
        (key, json)
    }

    fn close(&mut self, reference: &str, second: i64) -> (BalanceId, Value) {
        let before = Time(second * 1000).to_string();
        let ledger = &self.book.ledger;
        let key = BalanceId::period(ledger);
        let json = json!({"reference": reference, "type": "close-period", "ledger": ledger,
            "close_period": {"before": before}});
        (key, json)
    }

    fn transfer(&mut self, reference: &str, words: &[&str]) -> (BalanceId, Value) {
        let (words, date) = dated(words);
        let (words, expect) = self.expect(words);
        let mut postings = Vec::new();
        let (mut key, mut first) = (None, None);
        for posting in words.join(" ").split(',') {
            let words: Vec<&str> = posting.split_whitespace().collect();
            assert_eq!(words[1], ">", "{posting}");
            let code = words.get(4).copied().unwrap_or("USD");
            for name in [words[0], words[2]] {
                let (name, held_in) = name.split_once(':').unwrap_or((name, code));
                let id = self.id(name, &asset(held_in));
                // What a striped account pays is decided where the other side is.
                if name != "world" && !name.starts_with('@') {
                    key.get_or_insert(id);
                }
                first.get_or_insert(id);
            }
            postings.push(self.book.posting(words[0], words[2], words[3], code));
        }
        let mut json = self.book.transfer(reference, &postings, expect);
        if let Some(date) = date {
            json["effective_at"] = date;
        }
        (key.or(first).unwrap(), json)
    }

    /// Splits `… expect NAME=VERSION …` off.
    fn expect<'w>(&mut self, words: &'w [&'w str]) -> (&'w [&'w str], Value) {
        let at = words.iter().position(|word| *word == "expect");
        let (words, expected) = words.split_at(at.unwrap_or(words.len()));
        let mut expect = json!({});
        for word in expected.iter().skip(1) {
            let (name, version) = word.split_once('=').unwrap();
            let id = self.id(name, &asset("USD"));
            expect[id.to_string()] = json!(version.parse::<u64>().unwrap());
        }
        (words, expect)
    }

    fn id(&mut self, name: &str, asset: &Asset) -> BalanceId {
        let id = self.book.id(name, asset);
        self.names.insert(id, name.to_owned());
        id
    }

    fn decision(&self, outcome: &Outcome, expected: &str) -> String {
        let mut words = Vec::new();
        words.extend(outcome.replay_of.map(|_| "replay".to_owned()));
        words.push(outcome.decision.status().to_owned());
        words.extend(outcome.decision.reason().map(str::to_owned));
        if let Some(detail) = outcome.detail.filter(|_| expected.contains(" on ")) {
            let name = self.names.get(&detail.balance).map_or("?", |name| name);
            words.push(format!("on {name}"));
            words.extend(detail.version.map(|version| format!("v{version}")));
        }
        let mut text = words.join(" ");
        for leg in &outcome.legs {
            text.push_str(&format!(", {} {}>{}", leg.step.slug(), leg.from, leg.to));
        }
        text
    }

    /// Compares a balance with what the words say of it; what they leave out is not looked at.
    fn look(&self, words: &[&str]) -> String {
        let (name, code) = words[0].split_once(':').unwrap_or((words[0], "USD"));
        let held_in = asset(code);
        let balance = self.cluster.balance(self.book.id(name, &held_in));
        assert_eq!(words[1] == "none", balance.is_none(), "{balance:?}");
        let Some(balance) = balance else {
            return String::new();
        };
        let state = balance.state;
        let mut words = words[1..].iter();
        assert_eq!(
            minor(words.next().unwrap(), &held_in),
            state.posted,
            "posted"
        );
        while let Some(word) = words.next() {
            match (*word, word.strip_prefix('v')) {
                ("held", _) => {
                    let held = minor(words.next().unwrap(), &held_in);
                    assert_eq!(held, state.held, "held");
                }
                ("incoming", _) => {
                    let incoming = minor(words.next().unwrap(), &held_in);
                    assert_eq!(incoming, state.incoming, "incoming");
                }
                (_, Some(version)) => assert_eq!(version, state.version.to_string()),
                (status, None) => assert_eq!(status, balance.status.slug()),
            }
        }
        String::new()
    }

    fn stripe(&self, name: &str, partition: &str, amount: &str) -> String {
        let (account, code) = name.split_once(':').unwrap();
        let stripes = stripes(
            &self.book.ledger,
            account,
            &asset(code),
            self.cluster.count(),
        );
        let id = stripes[usize::from(number(partition))].id;
        let node = self.cluster.node(number(partition));
        let posted = node.partition.balance(id).map(|balance| {
            assert_eq!((balance.floor, balance.ceiling), (None, None));
            balance.state.posted
        });
        let expected = (amount != "none").then(|| minor(amount, &asset(code)));
        assert_eq!(posted, expected, "the stripe {name} in {partition}");
        String::new()
    }

    fn wire(&self, way: &str, amount: &str, words: &[&str]) -> String {
        let ((from, to), dollars) = (pair(way), asset("USD"));
        let own = words.contains(&"own");
        let ledger = own.then_some(&*self.book.ledger);
        let mirror = |at| {
            let id = BalanceId::transit((from, to), at, ledger, &dollars);
            let balance = self.cluster.node(at).partition.balance(id);
            balance.map_or((0, 0), |it| (it.state.posted, it.state.incoming))
        };
        let (here, there) = (mirror(from), mirror(to));
        let text = |minor| decimal_of(minor, 2).to_string();
        assert_eq!(text(here.0 + there.0), amount, "on the wire {way}");
        let reserved = words.iter().position(|word| *word == "reserved");
        let reserved = reserved.map_or("0.00", |at| words[at + 1]);
        assert_eq!(text(here.1 + there.1), reserved, "reserved of {way}");
        String::new()
    }
}

/// Splits `… dated 30` off, with the time that it means.
fn dated<'w>(words: &'w [&'w str]) -> (&'w [&'w str], Option<Value>) {
    let at = words.iter().position(|word| *word == "dated");
    let (words, date) = words.split_at(at.unwrap_or(words.len()));
    let time = |second: &&str| Time(second.parse::<i64>().unwrap() * 1000).to_string();
    (words, date.get(1).map(|second| json!(time(second))))
}

fn pair(text: &str) -> (PartitionId, PartitionId) {
    let (from, to) = text.split_once('>').unwrap();
    (number(from), number(to))
}

fn number(text: &str) -> PartitionId {
    text.parse().unwrap()
}

fn minor(text: &str, asset: &Asset) -> i128 {
    crate::ledger::amount::minor_of(parse(text).unwrap(), asset.scale()).unwrap()
}
