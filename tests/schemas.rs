//! `topics/schemas` says what `wire` writes and reads: no member more, none less.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

use jsonschema::Validator;
use serde_json::{Value, json};
use steelyard::log::topics::SCHEMAS;
use steelyard::wire::balance::BalanceBody;
use steelyard::wire::command::Decoder;
use steelyard::wire::hold::{HoldBody, PartBody};
use steelyard::wire::leg::LegRecord;
use steelyard::wire::marker::{HoldSumsBody, MarkerBody, RaiseBody};
use steelyard::wire::outcome::{
    EntryBody, GenesisBody, LegInBody, NO_HASH, OutcomeBody, RefusedBody, TermsBody,
};
use steelyard::wire::record::ClaimBody;
use steelyard::wire::{Hex, Money, Time};
use uuid::Uuid;

const A: &str = "6ee19b3f-9cbb-5b0c-a7f6-0c3f1b0a9d11";
const B: &str = "0f6b1c52-7d0e-5c55-8a39-3b5d6a1f2e22";

fn schema(name: &str) -> Value {
    let (_, text) = SCHEMAS.iter().find(|(known, _)| *known == name).unwrap();
    serde_json::from_str(text).unwrap()
}

fn validator(schema: &Value) -> Validator {
    assert!(jsonschema::meta::is_valid(schema), "is no JSON Schema");
    jsonschema::draft202012::new(schema).unwrap()
}

/// The schema with every object closed: what is written has no member that is not described.
fn closed(schema: &mut Value) {
    let Value::Object(members) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(closed);
        }
        return;
    };
    members.values_mut().for_each(closed);
    let described = members.get("properties").is_some_and(Value::is_object);
    if described && members.get("type") == Some(&json!("object")) {
        members
            .entry("additionalProperties")
            .or_insert(json!(false));
    }
}

/// Checks that a written value fits, that it has every described member at least once over
/// `written`, and that each required member is missed.
fn check(name: &str, written: &[Value]) {
    let mut schema = schema(name);
    closed(&mut schema);
    let validator = validator(&schema);
    for value in written {
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|e| e.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}: {value}");
        for required in schema["required"].as_array().unwrap() {
            let mut less = value.clone();
            less.as_object_mut()
                .unwrap()
                .remove(required.as_str().unwrap());
            assert!(!validator.is_valid(&less), "{name} without {required}");
        }
    }
    for member in schema["properties"].as_object().unwrap().keys() {
        let seen = written.iter().any(|value| value.get(member).is_some());
        assert!(seen, "{name}: nobody writes {member}");
    }
}

fn money(text: &str) -> Money {
    serde_json::from_value(json!(text)).unwrap()
}

fn entry(terms: Option<TermsBody<'static>>) -> EntryBody<'static> {
    EntryBody {
        balance: A.parse().unwrap(),
        version: 18,
        direction: "debit".into(),
        amount: money("12.50"),
        asset: "USD/2".into(),
        posted: money("87.50"),
        held: money("0.00"),
        incoming: money("0.00"),
        terms,
    }
}

fn hold() -> HoldBody<'static> {
    HoldBody {
        id: Uuid::new_v4(),
        ledger: "default/main".into(),
        reference: "order-8412".into(),
        state: "open".into(),
        expires_at: Some(Time(1_795_000_000_000)),
        version: 2,
        reversals: 1,
        postings: vec![PartBody {
            reversed: Some(money("1.00")),
            posting: 0,
            source: A.parse().unwrap(),
            destination: B.parse().unwrap(),
            asset: "USD/2".into(),
            amount: money("12.50"),
            rest: money("10.00"),
            posted: money("2.50"),
        }],
        command_offset: 42,
        at: Time(0),
        partition: None,
        epoch: None,
    }
}

fn full_outcome() -> OutcomeBody<'static> {
    let terms = TermsBody {
        ledger: "default/main".into(),
        account: "alice".into(),
        key: "default".into(),
        floor: Some(money("-10.00")),
        ceiling: None,
        status: "open".into(),
    };
    OutcomeBody {
        reverses: Some(Uuid::new_v4()),
        partition: 3,
        offset: 42,
        follows: Some(41),
        prev: NO_HASH,
        at: Time(1_795_000_000_000),
        status: "applied".into(),
        reason: Some("insufficient-funds".into()),
        reference: Some("order-8412".into()),
        transaction_id: Some(Uuid::new_v4()),
        kind: Some("transfer".into()),
        ledger: Some("default/main".into()),
        replay_of: Some(7),
        refused: Some(RefusedBody {
            balance: A.parse().unwrap(),
            version: None,
        }),
        entries: vec![entry(Some(terms)), entry(None)],
        hold: Some(hold()),
        legs: vec![LegRecord {
            to: 5,
            number: 1,
            key: B.parse().unwrap(),
            value: serde_json::from_str("{}").unwrap(),
        }],
        leg: Some(LegInBody { from: 1, number: 9 }),
        fingerprint: Some(Hex([7; 16])),
        effective_at: Some(Time(0)),
        description: Some("rent".into()),
        metadata: Some(serde_json::from_str(r#"{"order":"8412"}"#).unwrap()),
        genesis: Some(GenesisBody {
            generation: Uuid::new_v4(),
            horizon_seconds: 604_800,
        }),
        rules: Some(2),
        closed_before: Some(Time(0)),
        hash: Some(Hex([9; 32])),
    }
}

fn short_outcome() -> OutcomeBody<'static> {
    OutcomeBody {
        follows: None,
        status: "ignored".into(),
        reason: None,
        reference: None,
        transaction_id: None,
        kind: None,
        ledger: None,
        replay_of: None,
        refused: None,
        entries: Vec::new(),
        hold: None,
        legs: Vec::new(),
        leg: None,
        fingerprint: None,
        effective_at: None,
        description: None,
        metadata: None,
        genesis: None,
        rules: None,
        closed_before: None,
        ..full_outcome()
    }
}

#[test]
fn outcomes_are_as_described() {
    let written = [full_outcome(), short_outcome()];
    check(
        "outcome",
        &written.map(|body| serde_json::to_value(body).unwrap()),
    );
}

#[test]
fn snapshots_are_as_described() {
    let limited = BalanceBody {
        id: A.parse().unwrap(),
        ledger: "default/main".into(),
        account: "alice".into(),
        key: "default".into(),
        asset: "BTC/8".into(),
        posted: money("-1.00000000"),
        held: money("0.00000000"),
        incoming: money("0.00000000"),
        floor: None,
        ceiling: Some(money("5.00000000")),
        status: "credits-frozen".into(),
        version: 3,
        command_offset: 12,
        partition: 0,
        epoch: 4,
    };
    check("snapshot", &[serde_json::to_value(limited).unwrap()]);
    let hold = HoldBody {
        partition: Some(3),
        epoch: Some(7),
        ..hold()
    };
    check("hold", &[serde_json::to_value(hold).unwrap()]);
}

#[test]
fn markers_genesis_and_claims_are_as_described() {
    let marker = MarkerBody {
        partition: 2,
        command_offset: 99,
        position: 101,
        version_sum: 300,
        highest_command_offset: None,
        posted: [("USD/2".to_owned(), money("0.00"))].into(),
        holds: HoldSumsBody {
            open: 1,
            version_sum: 2,
            changes: Some(5),
        },
        sent: vec![0, 1],
        received: vec![2, 0],
        closed: [("default/main".to_owned(), Time(0))].into(),
        epoch: 100,
        generation: Uuid::new_v4(),
        horizon_seconds: 604_800,
        rules: 2,
        raised: vec![RaiseBody {
            rules: 2,
            command_offset: 98,
        }],
        at: Time(1_795_000_000_000),
    };
    check("marker", &[serde_json::to_value(marker).unwrap()]);
    let genesis = GenesisBody {
        generation: Uuid::new_v4(),
        horizon_seconds: 604_800,
    };
    check("genesis", &[serde_json::to_value(genesis).unwrap()]);
    let claim = ClaimBody {
        partition: 2,
        instance: "node-1".to_owned(),
        generation: Uuid::new_v4(),
        at: Time(0),
    };
    check("claim", &[serde_json::to_value(claim).unwrap()]);
}

fn transfer() -> Value {
    json!({
        "reference": "order-8412", "type": "transfer", "ledger": "main",
        "postings": [{ "source": A, "destination": B, "amount": "12.50", "asset": "USD" }],
    })
}

fn configure() -> Value {
    json!({
        "reference": "c1", "type": "configure", "ledger": "acme/main",
        "configure": { "balance": A, "asset": "USD/2", "floor": null, "status": "frozen" },
    })
}

fn open() -> Value {
    json!({
        "reference": "o1", "type": "open", "ledger": "main",
        "open": { "account": "alice", "asset": "EUR", "key": "savings", "floor": "-5", "ceiling": null },
    })
}

fn held(expires_in: &str) -> Value {
    let hold = json!({ "expires_in": expires_in });
    with(transfer(), "/hold", Some(hold))
}

/// A post or void of a hold.
fn on_hold(kind: &str) -> Value {
    let hold = "01907e1b-5d3a-8c40-8000-0123456789ab";
    json!({
        "reference": "p1", "type": kind, "ledger": "main",
        kind: { "hold": hold, "balance": A },
    })
}

fn close_period() -> Value {
    json!({
        "reference": "p1", "type": "close-period", "ledger": "main",
        "close_period": { "before": "2026-11-01T00:00:00Z" },
    })
}

/// A command with the member at `pointer` set, or removed if `value` is nothing.
fn with(mut command: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = command
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap();
    match value {
        Some(value) => parent.insert(member.to_owned(), value),
        None => parent.remove(member),
    };
    command
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one line of it is one case")]
fn a_command_is_described_just_when_it_is_understood() {
    let mut everything = transfer();
    for (member, value) in [
        ("/expect", json!({ A: 17 })),
        ("/effective_at", json!("2026-11-21T09:00:00Z")),
        ("/description", json!("rent")),
        ("/metadata", json!({ "order": "8412" })),
    ] {
        everything = with(everything, member, Some(value));
    }
    let shares = |shares: Value| with(transfer(), "/postings/0/source", Some(shares));
    let split = shares(json!([
        { "balance": "33333333-3333-5333-8333-333333333333", "amount": "0.30" },
        { "balance": A, "percent": "33.333333330" },
        { "balance": "44444444-4444-5444-8444-444444444444", "remaining": true },
    ]));
    let striped = with(transfer(), "/postings/0/source", Some(json!("@fees")));
    let understood = [
        everything.clone(),
        transfer(),
        open(),
        configure(),
        split,
        close_period(),
        striped,
    ];
    let posting = |member: &str, value: Value| {
        with(transfer(), &format!("/postings/0/{member}"), Some(value))
    };
    let refused = [
        with(transfer(), "/reference", None),
        with(transfer(), "/reference", Some(json!(""))),
        with(transfer(), "/reference", Some(json!("two words"))),
        with(transfer(), "/type", Some(json!("burn"))),
        with(transfer(), "/ledger", Some(json!("a/b/c"))),
        with(transfer(), "/postings", Some(json!([]))),
        with(transfer(), "/postings", None),
        with(transfer(), "/open", Some(open()["open"].clone())),
        with(transfer(), "/unknown", Some(json!(1))),
        with(transfer(), "/expect", Some(json!({ A: -1 }))),
        with(transfer(), "/metadata", Some(json!({ "n": 1 }))),
        with(transfer(), "/effective_at", Some(json!("yesterday"))),
        posting("amount", json!(12.5)),
        posting("amount", json!("1e3")),
        posting("amount", json!("-1")),
        posting("amount", json!(".5")),
        posting("asset", json!("usd")),
        posting("source", json!("alice")),
        posting("source", json!("@")),
        posting("source", json!("@a b")),
        posting("note", json!("?")),
        shares(json!([])),
        shares(json!([{ "balance": A }])),
        shares(json!([{ "balance": A, "remaining": false }])),
        shares(json!([{ "balance": A, "percent": 100 }])),
        shares(json!([{ "balance": A, "percent": "100.1" }])),
        shares(json!([{ "balance": A, "percent": "100", "amount": "12.50" }])),
        with(close_period(), "/close_period", None),
        with(close_period(), "/close_period/before", None),
        with(
            close_period(),
            "/close_period/before",
            Some(json!("1969-12-31T23:59:59Z")),
        ),
        with(
            close_period(),
            "/postings",
            Some(transfer()["postings"].clone()),
        ),
        with(
            transfer(),
            "/effective_at",
            Some(json!("1969-12-31T23:59:59Z")),
        ),
        with(open(), "/open/account", Some(json!("@world"))),
        with(open(), "/open/floor", Some(json!(5))),
        with(configure(), "/configure", Some(json!({ "balance": A }))),
        with(configure(), "/configure/status", Some(json!("asleep"))),
    ];
    agree(&understood, &refused);
    let on_holds = [
        with(transfer(), "/hold", Some(json!({}))),
        on_hold("post"),
        on_hold("void"),
        reversal(),
    ];
    check("command", &[&understood[..], &on_holds].concat());
}

#[test]
fn a_command_on_a_hold_is_described_just_when_it_is_understood() {
    let mut post = with(on_hold("post"), "/post/amount", Some(json!("1.50")));
    post = with(post, "/post/asset", Some(json!("USD")));
    let understood = [
        held("15m"),
        held("366d"),
        with(transfer(), "/hold", Some(json!({}))),
        post.clone(),
        on_hold("post"),
        on_hold("void"),
    ];
    let refused = [
        held("15"),
        held("0s"),
        held("1.5h"),
        held("-1m"),
        held("15 m"),
        with(open(), "/hold", Some(json!({}))),
        with(transfer(), "/hold", Some(json!({ "until": "noon" }))),
        with(post.clone(), "/post/asset", None),
        with(post.clone(), "/post/amount", None),
        with(post.clone(), "/post/amount", Some(json!(1.5))),
        with(post, "/type", Some(json!("void"))),
        with(on_hold("void"), "/void/balance", None),
        with(on_hold("void"), "/void/hold", Some(json!("order-8412"))),
        with(on_hold("void"), "/void/amount", Some(json!("1.00"))),
    ];
    agree(&understood, &refused);
}

fn reversal() -> Value {
    let original = with(transfer(), "/hold", Some(json!({})));
    let transaction = on_hold("void")["void"]["hold"].clone();
    let reverse = json!({"transaction": transaction, "original": original});
    json!({"reference": "back-1", "type": "reverse", "ledger": "main", "reverse": reverse})
}

#[test]
fn a_reversal_is_described_just_when_it_is_understood() {
    let part = json!({"amount": "1.50", "asset": "USD", "force": true});
    let mut partly = reversal();
    let reverse = partly["reverse"].as_object_mut().unwrap();
    reverse.extend(part.as_object().unwrap().clone());
    let understood = [reversal(), partly.clone()];
    let refused = [
        with(partly.clone(), "/reverse/asset", None),
        with(partly.clone(), "/reverse/amount", Some(json!(1.5))),
        with(partly, "/reverse/force", Some(json!("yes"))),
        with(reversal(), "/reverse/transaction", None),
        with(reversal(), "/reverse/original", None),
        with(reversal(), "/reverse/original/reference", None),
        with(reversal(), "/reverse/original/postings", Some(json!([]))),
        with(reversal(), "/reverse/original", Some(open())),
        with(reversal(), "/reverse/original", Some(reversal())),
        with(reversal(), "/reverse/original", Some(on_hold("void"))),
        with(reversal(), "/reverse", None),
        with(reversal(), "/hold", Some(json!({}))),
    ];
    agree(&understood, &refused);
}

/// The decoder and the schema understand and refuse the same.
fn agree(understood: &[Value], refused: &[Value]) {
    let validator = validator(&schema("command"));
    let mut decoder = Decoder::new();
    let mut parses = |value: &Value| {
        let parsed = decoder.parse(value.to_string().as_bytes(), None, None);
        parsed.is_ok()
    };
    for value in understood {
        assert!(parses(value), "{value}");
        assert!(validator.is_valid(value), "{value}");
    }
    for value in refused {
        assert!(!parses(value), "{value}");
        assert!(!validator.is_valid(value), "{value}");
    }
}
