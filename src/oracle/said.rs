//! What a command says, read from its bytes: the oracle's own understanding of it, as JSON in one
//! form, whichever way it was written.
//!
//! Two commands say the same if their [`Said::content`] is the same. It has no reference, no white
//! space, amounts in minor units, splits as the postings that they come to, and balances by id.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::decimal::{asset, millis, minor, seconds};
use super::names::{Names, Stripe, balance, of};
use super::shares::{pairs, shares};

/// A command as the oracle reads it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) content: Value,
    /// Sub-balances of striped accounts that it moves money of, each once.
    pub(super) stripes: Vec<Stripe>,
    /// Of a reversal: what it takes back.
    pub(super) original: Option<Box<Said>>,
}

impl Said {
    /// Reads the JSON of a command, of which is known that it is one.
    pub(super) fn read(json: &Value, names: &mut Names) -> Result<Self, String> {
        let ledger = ledger(text(json, "ledger")?);
        let (mut stripes, mut original) = (Vec::new(), None);
        let kind = text(json, "type")?;
        let part = &json[kind.replace('-', "_")];
        let what = match kind {
            "transfer" => {
                let list = json["postings"].as_array().ok_or("there are no postings")?;
                let mut postings = Vec::new();
                for item in list {
                    postings.extend(posting(item, &ledger, names, &mut stripes)?);
                }
                json!({"postings": postings, "hold": hold(&json["hold"])?})
            }
            "open" => open(part, &ledger)?,
            "configure" => configure(part)?,
            "post" => json!({"hold": id(part, "hold")?, "balance": id(part, "balance")?,
                "amount": amount(part)?}),
            "void" | "expire" => {
                json!({"hold": id(part, "hold")?, "balance": id(part, "balance")?})
            }
            "close-period" => json!({"before": millis(text(part, "before")?)?,
                "home": of(&format!("{ledger}/@period"))}),
            "reverse" => {
                let first = Self::read(&part["original"], names)?;
                let what = json!({"transaction": id(part, "transaction")?,
                    "reference": text(&part["original"], "reference")?, "original": first.content,
                    "amount": amount(part)?, "force": part["force"] == true});
                original = Some(Box::new(first));
                what
            }
            other => return Err(format!("there is no {other}")),
        };
        let content = json!({"ledger": ledger, "type": kind, "what": what,
            "expect": expect(&json["expect"])?, "effective_at": time(&json["effective_at"])?,
            "description": json["description"].as_str().unwrap_or_default(),
            "metadata": json["metadata"]});
        let said = Self {
            content,
            stripes,
            original,
        };
        Ok(said)
    }
}

/// A ledger that names no organization is one of the default organization.
fn ledger(text: &str) -> String {
    match text.contains('/') {
        true => text.to_owned(),
        false => format!("default/{text}"),
    }
}

/// The postings that one posting comes to.
fn posting(
    json: &Value,
    ledger: &str,
    names: &mut Names,
    stripes: &mut Vec<Stripe>,
) -> Result<Vec<Value>, String> {
    let asset = asset(text(json, "asset")?);
    let amount = minor(text(json, "amount")?, &asset)?;
    let side = |name: &str| shares(&json[name], amount, &asset);
    let mut postings = Vec::new();
    for (from, to, amount) in pairs(side("source")?, side("destination")?) {
        let ([from, to], used) = names.sides((ledger, &asset), (from, to))?;
        for stripe in used {
            if stripes.iter().all(|known| known.id != stripe.id) {
                stripes.push(stripe);
            }
        }
        postings.push(json!([from, to, amount.to_string(), asset]));
    }
    Ok(postings)
}

fn hold(json: &Value) -> Result<Value, String> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    let expires_in = json["expires_in"].as_str().map(seconds).transpose()?;
    Ok(json!({"expires_in": expires_in}))
}

/// A floor that is left out is zero; one of `null` is none.
fn open(json: &Value, ledger: &str) -> Result<Value, String> {
    let asset = asset(text(json, "asset")?);
    let account = text(json, "account")?;
    let key = json["key"].as_str().unwrap_or("default");
    let limit = |given: Option<&Value>| limit(given.unwrap_or(&Value::Null), &asset);
    let zero = Value::from("0");
    let floor = limit(Some(json.get("floor").unwrap_or(&zero)))?;
    let id = balance(ledger, account, &asset, key);
    Ok(
        json!({"balance": id, "account": account, "key": key, "asset": asset, "floor": floor,
        "ceiling": limit(json.get("ceiling"))?}),
    )
}

/// What is left out stays as it is: that is not the same as `null`.
fn configure(json: &Value) -> Result<Value, String> {
    let asset = json["asset"].as_str().map(asset);
    let change = |name: &str| match json.get(name) {
        Some(given) => {
            limit(given, asset.as_deref().unwrap_or_default()).map(|limit| json!([limit]))
        }
        None => Ok(Value::Null),
    };
    Ok(
        json!({"balance": id(json, "balance")?, "asset": asset, "floor": change("floor")?,
        "ceiling": change("ceiling")?, "status": json["status"]}),
    )
}

fn limit(json: &Value, asset: &str) -> Result<Value, String> {
    match json.as_str() {
        Some(text) => Ok(minor(text, asset)?.to_string().into()),
        None => Ok(Value::Null),
    }
}

/// How much of something, if not all that is left.
fn amount(json: &Value) -> Result<Value, String> {
    let Some(amount) = json["amount"].as_str() else {
        return Ok(Value::Null);
    };
    let asset = asset(text(json, "asset")?);
    Ok(json!([minor(amount, &asset)?.to_string(), asset]))
}

fn expect(json: &Value) -> Result<Value, String> {
    let none = Map::new();
    let pairs = json.as_object().unwrap_or(&none).iter();
    let pairs = pairs.map(|(name, version)| Ok((uuid(name)?.to_string(), version.clone())));
    pairs
        .collect::<Result<Map<_, _>, String>>()
        .map(Value::Object)
}

fn time(json: &Value) -> Result<Option<i64>, String> {
    json.as_str().map(millis).transpose()
}

fn id(json: &Value, name: &str) -> Result<Uuid, String> {
    uuid(text(json, name)?)
}

fn uuid(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text).map_err(|_| format!("{text} is no id"))
}

/// A text that has to be there.
pub(super) fn text<'a>(json: &'a Value, name: &str) -> Result<&'a str, String> {
    let text = json[name].as_str();
    text.ok_or_else(|| format!("there is no {name}"))
}
