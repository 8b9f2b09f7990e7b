//! What the decoder made of a command, in the form of [`Said::content`]: so that the two can be
//! compared.
//!
//! [`Said::content`]: super::said::Said

use serde_json::{Map, Value, json};

use crate::ledger::command::Body;
use crate::ledger::{Amount, Asset, Command, Limit, Posting, Target};

/// The content of a command.
pub(super) fn heard(command: &Command) -> Value {
    let (kind, what) = match &command.body {
        Body::Transfer(list) => (
            "transfer",
            json!({"postings": postings(list), "hold": Value::Null}),
        ),
        Body::Hold(hold) => {
            let terms = json!({"expires_in": hold.expires_in});
            let postings = postings(&hold.postings);
            ("transfer", json!({"postings": postings, "hold": terms}))
        }
        Body::Open(open) => (
            "open",
            json!({"balance": open.balance.uuid(), "account": open.account, "key": open.key,
                "asset": open.asset.as_str(), "floor": limit(open.floor),
                "ceiling": limit(open.ceiling)}),
        ),
        Body::Configure(configure) => {
            let change = |given: Option<Limit>| given.map(|given| json!([limit(given)]));
            let asset = configure.asset.as_ref().map(Asset::as_str);
            let what = json!({"balance": configure.balance.uuid(), "asset": asset,
                "floor": change(configure.floor), "ceiling": change(configure.ceiling),
                "status": configure.status.map(|status| status.slug())});
            ("configure", what)
        }
        Body::Post(post) => {
            let mut what = target(post.target);
            what["amount"] = part(post.amount.as_ref());
            ("post", what)
        }
        Body::Void(of) => ("void", target(*of)),
        Body::Expire(of) => ("expire", target(*of)),
        Body::ClosePeriod(close) => (
            "close-period",
            json!({"before": close.before_ms, "home": close.home.uuid()}),
        ),
        Body::Reverse(asked) => {
            let what = json!({"transaction": asked.transaction.uuid(),
                "reference": asked.original.reference, "original": heard(&asked.original),
                "amount": part(asked.amount.as_ref()), "force": asked.force});
            ("reverse", what)
        }
    };
    let note = &command.note;
    let expect = command.expect.iter();
    let expect = expect.map(|(id, version)| (id.to_string(), json!(version)));
    let metadata = note.metadata.as_deref().map(serde_json::from_str::<Value>);
    json!({"ledger": command.ledger.as_ref(), "type": kind, "what": what,
        "expect": expect.collect::<Map<_, _>>(), "effective_at": note.effective_at,
        "description": note.description.as_deref().unwrap_or_default(),
        "metadata": metadata.and_then(Result::ok)})
}

fn postings(list: &[Posting]) -> Vec<Value> {
    let postings = list.iter().map(|posting| {
        let amount = posting.amount.minor().to_string();
        let (from, to) = (posting.source.id.uuid(), posting.destination.id.uuid());
        json!([from, to, amount, posting.asset.as_str()])
    });
    postings.collect()
}

fn target(of: Target) -> Value {
    json!({"hold": of.hold.uuid(), "balance": of.balance.uuid()})
}

fn limit(limit: Limit) -> Option<String> {
    limit.map(|minor| minor.to_string())
}

fn part(amount: Option<&(Amount, Asset)>) -> Value {
    let part = amount.map(|(amount, asset)| (amount.minor().to_string(), asset.as_str()));
    json!(part)
}
