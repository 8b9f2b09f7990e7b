//! Names of the tests' balances, and the JSON of the commands that speak of them.

use serde_json::{Value, json};

use crate::ledger::{Asset, BalanceId, PartitionId, partition_of};

/// A ledger whose world of dollars is at home in partition 0 of `count`.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) ledger: String,
    pub(crate) count: PartitionId,
}

impl Book {
    pub(crate) fn new(count: PartitionId) -> Self {
        let dollars = asset("USD");
        let at_zero =
            |ledger: &String| partition_of(BalanceId::world(ledger, &dollars), count) == 0;
        let mut ledgers = (0..).map(|number| format!("acme/book{number}"));
        let ledger = ledgers.find(at_zero).unwrap();
        Self { ledger, count }
    }

    /// The id of a balance. `alice` is in partition 0 and `alice.2` in partition 2; `other/alice`
    /// is in another ledger, `world` and `@fees` are striped accounts as a whole, and `mirror` what
    /// stands in partition 1 for money from partition 0.
    pub(crate) fn id(&self, name: &str, asset: &Asset) -> BalanceId {
        match name {
            "world" => BalanceId::world(&self.ledger, asset),
            _ if name.starts_with('@') => BalanceId::of(&self.ledger, name, asset, "default"),
            "mirror" => BalanceId::transit((0, 1), 1, None, asset),
            _ => BalanceId::of(
                self.ledger_of(name),
                account(name),
                asset,
                &self.key(name, asset),
            ),
        }
    }

    fn ledger_of(&self, name: &str) -> &str {
        match name.starts_with("other/") {
            true => "acme/other",
            false => &self.ledger,
        }
    }

    /// The first key that puts the balance where its name says.
    fn key(&self, name: &str, asset: &Asset) -> String {
        let home = match name.split_once('.') {
            Some((_, partition)) => partition.parse().unwrap(),
            None => 0,
        };
        let at_home = |key: &String| {
            let id = BalanceId::of(self.ledger_of(name), account(name), asset, key);
            partition_of(id, self.count) == home
        };
        (0..)
            .map(|number| format!("k{number}"))
            .find(at_home)
            .unwrap()
    }

    /// An `open` of `name`; `limits` holds `floor` and `ceiling`.
    pub(crate) fn open(&self, reference: &str, name: &str, limits: Value) -> Value {
        let code = limits.get("asset").cloned().unwrap_or(json!("USD"));
        let mut open = limits;
        open["account"] = json!(account(name));
        open["key"] = json!(self.key(name, &asset(code.as_str().unwrap())));
        open["asset"] = code;
        let ledger = self.ledger_of(name);
        json!({"reference": reference, "type": "open", "ledger": ledger, "open": open})
    }

    /// A `configure` of `name` in dollars; `change` holds what changes.
    pub(crate) fn configure(
        &self,
        reference: &str,
        name: &str,
        change: Value,
        expect: Value,
    ) -> Value {
        let mut configure = change;
        configure["balance"] = json!(self.id(name, &asset("USD")).uuid());
        json!({
            "reference": reference, "type": "configure", "ledger": self.ledger,
            "configure": configure, "expect": expect,
        })
    }

    pub(crate) fn transfer(&self, reference: &str, postings: &[Value], expect: Value) -> Value {
        json!({
            "reference": reference, "type": "transfer", "ledger": self.ledger,
            "postings": postings, "expect": expect,
        })
    }

    /// One posting; a balance is looked up in `code` unless it is written `name:CODE`.
    pub(crate) fn posting(
        &self,
        source: &str,
        destination: &str,
        amount: &str,
        code: &str,
    ) -> Value {
        let id = |name: &str| {
            if name.starts_with('@') {
                return json!(name);
            }
            let (name, held_in) = name.split_once(':').unwrap_or((name, code));
            json!(self.id(name, &asset(held_in)).uuid())
        };
        json!({
            "source": id(source), "destination": id(destination), "amount": amount, "asset": code,
        })
    }
}

pub(crate) fn asset(text: &str) -> Asset {
    Asset::parse(text).unwrap()
}

fn account(name: &str) -> &str {
    let name = name.strip_prefix("other/").unwrap_or(name);
    name.split_once('.').map_or(name, |(account, _)| account)
}

/// `floor 5 ceiling none status open asset EUR` as JSON.
pub(super) fn options(words: &[&str]) -> Value {
    let mut json = json!({});
    for option in words.chunks(2) {
        json[option[0]] = match option[1] {
            "none" => Value::Null,
            text => json!(text),
        };
    }
    json
}
