//! The bodies of clients' commands: opens, transfers, limits, periods, holds and what becomes of
//! them.

use serde_json::{Value, json};
use steelyard::ledger::{Asset, BalanceId, Stage, TransactionId};
use steelyard::wire::{CommandBody, Time};

use crate::chance::Chance;
use crate::world::{GENERATION, World};

pub(crate) const LEDGER: &str = "default/main";
const ASSETS: [&str; 3] = ["USD/2", "JPY/0", "BTC/8"];
/// As much as a balance can hold.
const HUGE: &str = "9999999999999999999999999999";
/// Accounts that are paid from and into without limits, a stripe in every partition.
const STRIPED: [&str; 2] = ["@world", "@fees"];

pub(crate) struct Commands {
    accounts: u64,
    assets: u64,
    references: u64,
    /// One posting in so many is of an amount that no two of fit anywhere.
    huge_one_in: u64,
    /// Accounts that were never asked to be opened.
    unopened: Vec<(u64, u64)>,
}

impl Commands {
    /// Of `few` accounts, or of as many as the run draws.
    pub(crate) fn new(chance: &mut Chance, few: bool) -> Self {
        let (accounts, assets) = match few {
            true => (chance.between(2, 4), 1),
            false => (chance.between(2, 12), chance.between(1, 3)),
        };
        let all = (0..accounts).flat_map(|who| (0..assets).map(move |asset| (who, asset)));
        Self {
            accounts,
            assets,
            references: 0,
            huge_one_in: *chance.pick(&[200, 200, 200, 10]),
            unopened: all.collect(),
        }
    }

    /// A new reference, seldom one that was used before.
    fn named(&mut self, world: &mut World, kind: &str, part: &str, body: Value) -> Value {
        let number = match self.references > 0 && world.chance.one_in(40) {
            true => world.chance.below(self.references),
            false => {
                self.references += 1;
                self.references - 1
            }
        };
        json!({"reference": format!("r{number}"), "type": kind, "ledger": LEDGER, part: body})
    }

    /// Opens an account that was not there before, while there are any.
    pub(crate) fn unopened(&mut self, world: &mut World) -> Option<Value> {
        let (who, asset) = self.unopened.pop()?;
        Some(self.open(world, who, asset))
    }

    pub(crate) fn reopen(&mut self, world: &mut World) -> Value {
        let who = world.chance.below(self.accounts);
        let asset = world.chance.below(self.assets);
        self.open(world, who, asset)
    }

    fn open(&mut self, world: &mut World, who: u64, asset: u64) -> Value {
        let mut open = json!({"account": account(who), "asset": ASSETS[asset as usize]});
        match world.chance.below(6) {
            0 | 1 => open["floor"] = Value::Null,
            2 => open["floor"] = "-50".into(),
            3 => open["ceiling"] = "40".into(),
            _ => {}
        }
        self.named(world, "open", "open", open)
    }

    pub(crate) fn configure(&mut self, world: &mut World) -> Value {
        let asset = world.chance.below(self.assets);
        let parsed = Asset::parse(ASSETS[asset as usize]).unwrap();
        let id = match world.chance.one_in(20) {
            true => BalanceId::world(LEDGER, &parsed),
            false => id(world.chance.below(self.accounts), asset),
        };
        let mut set = json!({"balance": id.to_string()});
        match world.chance.below(14) {
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
        self.named(world, "configure", "configure", set)
    }

    /// Closes what takes effect before some time; seldom before one to come.
    pub(crate) fn close_period(&mut self, world: &mut World) -> Value {
        let ago = i64::try_from(world.chance.below(60_000)).unwrap();
        let before = match world.chance.one_in(5) {
            true => world.clock_ms() + 3_000 + ago,
            false => world.clock_ms() - 3_000 - ago,
        };
        self.named(
            world,
            "close-period",
            "close_period",
            json!({"before": Time(before)}),
        )
    }

    pub(crate) fn transfer(&mut self, world: &mut World) -> Value {
        let postings = self.postings(world);
        self.named(world, "transfer", "postings", postings)
    }

    /// A hold, or a command on one that clients have heard of.
    pub(crate) fn of_hold(&mut self, world: &mut World) -> Value {
        if world.holds.is_empty() || world.chance.one_in(2) {
            let postings = self.postings(world);
            let mut hold = self.named(world, "transfer", "postings", postings);
            let terms = ["1s", "1s", "2s", "5s", "30s", "366d"];
            hold["hold"] = match world.chance.one_in(2) {
                true => json!({}),
                false => json!({"expires_in": *world.chance.pick(&terms)}),
            };
            return hold;
        }
        let open = latest_open(world);
        let (hold, balance) = match open.is_empty() || world.chance.one_in(4) {
            true => *world.chance.pick(&world.holds),
            false => *world.chance.pick(&open),
        };
        let hold = match world.chance.one_in(30) {
            true => TransactionId::new(hold.home(), hold.offset() + 1, GENERATION),
            false => hold,
        };
        let mut on = json!({"hold": hold.uuid(), "balance": balance.uuid()});
        match world.chance.below(10) {
            0..2 => return self.named(world, "void", "void", on),
            2 => return self.named(world, "expire", "expire", on),
            3..5 => {}
            _ => {
                let most = *world.chance.pick(&[2, 8]);
                on["amount"] = world.chance.between(1, most).to_string().into();
                on["asset"] = match world.chance.one_in(10) {
                    true => ASSETS[world.chance.below(self.assets) as usize].into(),
                    false => asset_of(world, hold).into(),
                };
            }
        }
        self.named(world, "post", "post", on)
    }

    /// Moves back what a transaction has moved, or what somebody takes for it.
    pub(crate) fn of_transaction(&mut self, world: &mut World) -> Value {
        if world.moved.is_empty() {
            return self.transfer(world);
        }
        let latest = world.moved.len().saturating_sub(6);
        let among = match world.chance.one_in(2) {
            true => latest,
            false => 0,
        };
        let (id, mut command) = world.chance.pick(&world.moved[among..]).clone();
        let id = match world.chance.one_in(30) {
            true => TransactionId::new(id.home(), id.offset() + 1, GENERATION),
            false => id,
        };
        if world.chance.one_in(20) {
            command = world.chance.pick(&world.moved).1.clone();
        }
        let original = serde_json::to_value(CommandBody::of(&command)).unwrap();
        let mut back = json!({"transaction": id.uuid(), "original": original});
        if world.chance.one_in(2) {
            back["amount"] = world.chance.between(1, 12).to_string().into();
            back["asset"] = command.postings()[0].asset.as_str().into();
        }
        if world.chance.one_in(3) {
            back["force"] = true.into();
        }
        self.named(world, "reverse", "reverse", back)
    }

    /// One to four postings; some of what they name does not fit.
    fn postings(&self, world: &mut World) -> Value {
        let most = world.chance.between(1, 4);
        let count = world.chance.between(1, most);
        let one_asset = world.chance.one_in(2);
        let first = world.chance.below(self.assets);
        let postings = (0..count).map(|_| {
            let asset = match one_asset {
                true => first,
                false => world.chance.below(self.assets),
            };
            let everybody = self.accounts + STRIPED.len() as u64;
            let from = world.chance.below(everybody);
            let to = (from + world.chance.between(1, everybody - 1)) % everybody;
            let named = match from < self.accounts && world.chance.one_in(40) {
                true => (asset + 1) % self.assets,
                false => asset,
            };
            let amount = match world.chance.one_in(self.huge_one_in) {
                true => HUGE.to_owned(),
                false => world.chance.between(1, 20).to_string(),
            };
            json!({"source": self.side(world, from, asset),
                "destination": self.side(world, to, asset),
                "amount": amount, "asset": ASSETS[named as usize]})
        });
        postings.collect()
    }

    /// One side of a posting: a balance, or shares of several.
    fn side(&self, world: &mut World, who: u64, asset: u64) -> Value {
        let first = self.name(who, asset);
        if !world.chance.one_in(6) {
            return first;
        }
        world.reach("a split");
        let mut shares = vec![match world.chance.one_in(2) {
            true => json!({"balance": first, "percent": "33.3"}),
            false => json!({"balance": first, "amount": "1"}),
        }];
        let more = world.chance.between(1, 3);
        for step in 1..=more {
            let next = self.name((who + step * 2) % (self.accounts + 2), asset);
            shares.push(match step == more {
                true => json!({"balance": next, "remaining": true}),
                false => json!({"balance": next, "percent": "12.5"}),
            });
        }
        shares.into()
    }

    /// How a balance is named: the last ones are striped.
    fn name(&self, who: u64, asset: u64) -> Value {
        match who.checked_sub(self.accounts) {
            None => id(who, asset).to_string().into(),
            Some(striped) => STRIPED[striped as usize].into(),
        }
    }
}

/// The last few holds that something is left of, and a balance of each.
fn latest_open(world: &World) -> Vec<(TransactionId, BalanceId)> {
    let is_open = |id: TransactionId| {
        let home = &world.truth[usize::from(id.home())].partition;
        let hold = home.holds().get(id);
        hold.is_some_and(|hold| hold.stage == Stage::Open)
    };
    let open = world.holds.iter().rev().filter(|(id, _)| is_open(*id));
    open.take(4).copied().collect()
}

/// An asset of the hold, if there is one.
fn asset_of(world: &World, hold: TransactionId) -> String {
    let home = &world.truth[usize::from(hold.home())].partition;
    let part = home.holds().get(hold).and_then(|hold| hold.parts.first());
    part.map_or_else(|| ASSETS[0].to_owned(), |part| part.asset.to_string())
}

fn account(who: u64) -> String {
    format!("a{who}")
}

fn id(who: u64, asset: u64) -> BalanceId {
    let asset = Asset::parse(ASSETS[asset as usize]).unwrap();
    BalanceId::of(LEDGER, &account(who), &asset, "default")
}
