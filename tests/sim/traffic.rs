//! What clients put on the log: opens, transfers, changes of limits; and what they should not.

use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};
use steelyard::ledger::{Asset, BalanceId, PartitionId, partition_of};
use steelyard::wire::leg;
use steelyard::wire::record::{CORRELATION_HEADER, REPLY_TOPIC_HEADER};

use crate::chance::Chance;
use crate::check;
use crate::log::{PREFIX, Rec, Topic};
use crate::world::World;

const LEDGER: &str = "default/main";
const ASSETS: [&str; 2] = ["USD/2", "JPY/0"];
/// More than any balance holds, all together.
const HUGE: &str = "9999999999999999999999999999";

pub(crate) struct Traffic {
    accounts: u64,
    assets: u64,
    /// Commands that clients still want to send.
    pub(crate) left: u64,
    sent: Vec<(PartitionId, Rec)>,
    references: u64,
    /// Accounts that were never asked to be opened.
    unopened: Vec<(u64, u64)>,
}

impl Traffic {
    pub(crate) fn new(chance: &mut Chance, commands: u64) -> Self {
        let (accounts, assets) = (chance.between(2, 12), chance.between(1, 2));
        let all = (0..accounts).flat_map(|who| (0..assets).map(move |asset| (who, asset)));
        Self {
            accounts,
            assets,
            left: commands,
            sent: Vec::new(),
            references: 0,
            unopened: all.collect(),
        }
    }

    /// A client sends a record, good or bad.
    pub(crate) fn send(&mut self, world: &mut World) {
        self.left -= 1;
        let roll = world.chance.below(100);
        match roll {
            0..4 if !self.sent.is_empty() => self.again(world),
            4..6 => self.poison(world),
            6..8 => self.leg(world),
            _ => {
                let body = self.command(world);
                self.submit(world, &body);
            }
        }
    }

    fn command(&mut self, world: &mut World) -> Value {
        if let Some((who, asset)) = self.unopened.pop() {
            return self.open(world, who, asset);
        }
        match world.chance.below(20) {
            0 => {
                let who = world.chance.below(self.accounts);
                let asset = world.chance.below(self.assets);
                self.open(world, who, asset)
            }
            1 | 2 => self.configure(world),
            _ => self.transfer(world),
        }
    }

    fn submit(&mut self, world: &mut World, body: &Value) {
        let key = decider(body);
        let home = partition_of(key, world.count);
        let partition = match world.chance.one_in(20) {
            true => PartitionId::try_from(world.chance.below(world.count.into())).unwrap(),
            false => home,
        };
        let correlation = self.references.to_be_bytes();
        let headers = world.chance.one_in(4).then(|| {
            let reply_to = format!("{PREFIX}.replies");
            OwnedHeaders::new()
                .insert(Header {
                    key: CORRELATION_HEADER,
                    value: Some(&correlation[..]),
                })
                .insert(Header {
                    key: REPLY_TOPIC_HEADER,
                    value: Some(&reply_to),
                })
        });
        let rec = Rec {
            key: key.to_string().into(),
            value: body.to_string().into(),
            headers,
            at_ms: 0,
        };
        self.sent.push((partition, rec.clone()));
        world.write(Topic::Commands, partition, rec.key, rec.value, rec.headers);
    }

    /// A client that heard nothing sends its record once more.
    fn again(&mut self, world: &mut World) {
        let (partition, rec) = world.chance.pick(&self.sent).clone();
        world.reach("a client sends again");
        world.write(Topic::Commands, partition, rec.key, rec.value, rec.headers);
    }

    fn poison(&mut self, world: &mut World) {
        let partition = PartitionId::try_from(world.chance.below(world.count.into())).unwrap();
        let value = *world.chance.pick(&[
            "{",
            "",
            "[1]",
            "{\"reference\":\"x\",\"type\":\"transfer\"}",
        ]);
        world.write(
            Topic::Commands,
            partition,
            Bytes::from_static(b"junk"),
            value.into(),
            None,
        );
    }

    /// A leg that was sealed by somebody else, or that was there before.
    fn leg(&mut self, world: &mut World) {
        let partition = PartitionId::try_from(world.chance.below(world.count.into())).unwrap();
        let line = world.log.line(Topic::Commands, partition);
        let (low, end) = (line.low, line.end());
        let at = world.chance.between(low, end - 1);
        let Some(rec) = world.log.line(Topic::Commands, partition).get(at).cloned() else {
            return;
        };
        let copies = check::leg_of(&rec).is_some() && !world.chance.one_in(4);
        let headers = match copies {
            true => {
                world.reach("a leg is copied");
                rec.headers
            }
            false => {
                world.reach("a leg is forged");
                let seal = "00".repeat(32);
                let headers = OwnedHeaders::new()
                    .insert(Header {
                        key: leg::HEADER,
                        value: Some(leg::VERSION),
                    })
                    .insert(Header {
                        key: leg::SEAL_HEADER,
                        value: Some(&seal),
                    });
                Some(headers)
            }
        };
        world.write(Topic::Commands, partition, rec.key, rec.value, headers);
    }

    fn reference(&mut self, world: &mut World) -> String {
        if self.references > 0 && world.chance.one_in(40) {
            return format!("r{}", world.chance.below(self.references));
        }
        self.references += 1;
        format!("r{}", self.references - 1)
    }

    fn open(&mut self, world: &mut World, who: u64, asset: u64) -> Value {
        let mut open = json!({"account": account(who), "asset": ASSETS[asset as usize]});
        match world.chance.below(6) {
            0 => open["floor"] = Value::Null,
            1 => open["floor"] = "-50".into(),
            2 => open["ceiling"] = "40".into(),
            _ => {}
        }
        json!({"reference": self.reference(world), "type": "open", "ledger": LEDGER, "open": open})
    }

    fn configure(&mut self, world: &mut World) -> Value {
        let asset = world.chance.below(self.assets);
        let world_itself = world.chance.one_in(20);
        let who = match world_itself {
            true => self.accounts,
            false => world.chance.below(self.accounts),
        };
        let id = self.id(who, asset);
        let mut set = json!({"balance": id.to_string()});
        match world.chance.below(7) {
            0 => set["status"] = "frozen".into(),
            1 => set["status"] = "debits-frozen".into(),
            2 => set["status"] = "credits-frozen".into(),
            3 => set["status"] = "closed".into(),
            4 => {
                set["floor"] = "0".into();
                set["asset"] = ASSETS[asset as usize].into();
            }
            5 => {
                set["ceiling"] = "30".into();
                set["asset"] = ASSETS[asset as usize].into();
            }
            _ => set["status"] = "open".into(),
        }
        json!({"reference": self.reference(world), "type": "configure", "ledger": LEDGER,
            "configure": set})
    }

    fn transfer(&mut self, world: &mut World) -> Value {
        let most = world.chance.between(1, 4);
        let mut postings = Vec::new();
        for _ in 0..world.chance.between(1, most) {
            let asset = world.chance.below(self.assets);
            let from = world.chance.below(self.accounts + 2).min(self.accounts);
            let to = (from + world.chance.between(1, self.accounts)) % (self.accounts + 1);
            let crossed = self.assets > 1 && from < self.accounts && world.chance.one_in(40);
            let amount = match world.chance.below(200) {
                0 => HUGE.to_owned(),
                _ => world.chance.between(1, 20).to_string(),
            };
            let named = if crossed { 1 - asset } else { asset };
            postings.push(json!({"source": self.side(world, from, asset),
                "destination": self.side(world, to, asset),
                "amount": amount, "asset": ASSETS[named as usize]}));
        }
        let mut body = json!({"reference": self.reference(world), "type": "transfer",
            "ledger": LEDGER, "postings": postings});
        if world.chance.one_in(20) {
            let id = decider(&body);
            let past = world.truth.iter().find_map(|truth| truth.past.get(&id));
            let seen = past.map_or(1, |past| past.len() as u64);
            let version = if world.chance.one_in(2) {
                seen
            } else {
                seen + 3
            };
            body["expect"] = json!({id.to_string(): version});
        }
        body
    }

    /// One side of a posting: a balance, or shares of several.
    fn side(&self, world: &mut World, who: u64, asset: u64) -> Value {
        let first = self.id(who, asset).to_string();
        if who == self.accounts || !world.chance.one_in(8) {
            return first.into();
        }
        world.reach("a split");
        let second = self.id((who + 1) % self.accounts, asset).to_string();
        let share = match world.chance.one_in(2) {
            true => json!({"balance": first, "percent": "33.3"}),
            false => json!({"balance": first, "amount": "1"}),
        };
        json!([share, {"balance": second, "remaining": true}])
    }

    /// The balance of an account; the last one is the world's.
    fn id(&self, who: u64, asset: u64) -> BalanceId {
        let asset = Asset::parse(ASSETS[asset as usize]).unwrap();
        match who == self.accounts {
            true => BalanceId::world(LEDGER, &asset),
            false => BalanceId::of(LEDGER, &account(who), &asset, "default"),
        }
    }
}

fn account(who: u64) -> String {
    format!("a{who}")
}

/// The balance whose partition decides.
fn decider(body: &Value) -> BalanceId {
    let id = match body["type"].as_str().unwrap() {
        "open" => {
            let asset = Asset::parse(body["open"]["asset"].as_str().unwrap()).unwrap();
            return BalanceId::of(
                LEDGER,
                body["open"]["account"].as_str().unwrap(),
                &asset,
                "default",
            );
        }
        "configure" => &body["configure"]["balance"],
        _ => match &body["postings"][0]["source"] {
            Value::Array(shares) => &shares[0]["balance"],
            one => one,
        },
    };
    BalanceId::new(id.as_str().unwrap().parse().unwrap())
}
