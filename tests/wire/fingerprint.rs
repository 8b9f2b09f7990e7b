//! What makes two commands the same, and what does not.

use proptest::prelude::*;
use serde_json::{Value, json};
use steelyard::ledger::Command;
use steelyard::wire::{CommandBody, Decoder};
use uuid::Uuid;

const TRANSFER: &str = r#"{"reference":"r1","type":"transfer","ledger":"main","postings":[
    {"source":"0f0f0f0f-0000-5000-8000-00000000000a",
     "destination":"0f0f0f0f-0000-5000-8000-00000000000b","amount":"1.50","asset":"USD"}],
    "effective_at":"2026-11-21T09:00:00Z","description":"d","metadata":{"a":"1","b":"2"}}"#;
const OPEN: &str = r#"{"reference":"r1","type":"open","ledger":"main",
    "open":{"account":"alice","asset":"USD","floor":"0","ceiling":null}}"#;
const CONFIGURE: &str = r#"{"reference":"r1","type":"configure","ledger":"main","configure":
    {"balance":"0f0f0f0f-0000-5000-8000-00000000000a","asset":"USD","floor":"1","ceiling":null}}"#;

fn parse(json: &str) -> Command {
    Decoder::new().parse(json.as_bytes(), None, None).unwrap()
}

/// A line is `place => text`: in `command`, the text takes the place of the first.
#[track_caller]
fn check(command: &str, same: bool, table: &str) {
    let first = parse(command);
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let (place, text) = line.split_once("=>").unwrap();
        assert!(command.contains(place.trim()), "nothing to change: {line}");
        let second = parse(&command.replacen(place.trim(), text.trim(), 1));
        assert_eq!(first.fingerprint == second.fingerprint, same, "{line}");
    }
}

#[test]
fn spelling_makes_no_difference() {
    check(
        TRANSFER,
        true,
        r#"
        {"reference"                         => {  "reference"
        "r1"                                 => "r2"
        "type":"transfer","ledger":"main"    => "ledger":"main","type":"transfer"
        "main"                               => "default/main"
        "main"                               => "m\u0061in"
        "1.50"                               => "1.5"
        "1.50"                               => "01.500"
        "USD"                                => "USD/2"
        0f0f0f0f-0000-5000-8000-00000000000a => 0F0F0F0F-0000-5000-8000-00000000000A
        {"a":"1","b":"2"}                    => {"b":"2","a":"1"}
        T09:00:00Z                           => T10:00:00.000+01:00
        "type"                               => "expect":{},"type"
        "type"                               => "open":null,"type"
        "#,
    );
    check(
        OPEN,
        true,
        r#"
        "floor":"0",      => "floor":"0.00",
        "floor":"0",      =>
        ,"ceiling":null   =>
        "alice"           => "alice","key":"default"
        "#,
    );
}

#[test]
fn content_makes_a_difference() {
    check(
        TRANSFER,
        false,
        r#"
        "main"            => "acme/main"
        "1.50"            => "1.51"
        "USD"             => "USD/3"
        "USD"             => "EUR"
        00000000000a      => 00000000000c
        00000000000b      => 00000000000c
        09:00:00Z         => 09:00:00.001Z
        "effective_at":"2026-11-21T09:00:00Z", =>
        "d"               => "e"
        "b":"2"           => "b":"3"
        ,"b":"2"          =>
        "a":"1","b":"2"   => "a":"2","b":"1"
        "type"            => "expect":{"0f0f0f0f-0000-5000-8000-00000000000a":1},"type"
        "#,
    );
    check(
        OPEN,
        false,
        r#"
        "alice"           => "bob"
        "alice"           => "alice","key":"other"
        "USD"             => "EUR"
        "floor":"0"       => "floor":null
        "floor":"0"       => "floor":"-1"
        "ceiling":null    => "ceiling":"0"
        "#,
    );
    check(
        CONFIGURE,
        false,
        r#"
        "floor":"1"       => "floor":"2"
        "floor":"1"       => "floor":null
        "floor":"1",      =>
        ,"ceiling":null   =>
        "ceiling":null    => "ceiling":"1"
        "ceiling":null    => "ceiling":null,"status":"open"
        "#,
    );
}

#[test]
fn one_posting_of_two_amounts_is_not_two_postings() {
    let posting = |amount: &str| {
        json!({
            "source": "0f0f0f0f-0000-5000-8000-00000000000a",
            "destination": "0f0f0f0f-0000-5000-8000-00000000000b",
            "amount": amount, "asset": "USD",
        })
    };
    let transfer = |postings: Value| {
        let ledger = "main";
        let json = json!({
            "reference": "r1", "type": "transfer", "ledger": ledger, "postings": postings,
        });
        parse(&json.to_string()).fingerprint
    };
    let one = transfer(json!([posting("2")]));
    assert_ne!(one, transfer(json!([posting("1"), posting("1")])));
    let order = transfer(json!([posting("1"), posting("2")]));
    assert_ne!(order, transfer(json!([posting("2"), posting("1")])));
}

fn money() -> impl Strategy<Value = String> {
    (-1_000_000_i64..1_000_000).prop_map(|cents| {
        let sign = if cents < 0 { "-" } else { "" };
        format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
    })
}

fn limit() -> impl Strategy<Value = Option<Value>> {
    prop::option::of(prop_oneof![
        Just(Value::Null),
        money().prop_map(Value::from)
    ])
}

fn put(json: &mut Value, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        json[name] = value;
    }
}

/// Any command that is accepted.
fn command() -> impl Strategy<Value = Value> {
    let name = "[A-Za-z0-9._:+][A-Za-z0-9._:@+-]{0,63}";
    let open = (name, prop::option::of(name), limit(), limit());
    let open = open.prop_map(|(account, key, floor, ceiling)| {
        let mut open = json!({"account": account, "asset": "USD"});
        put(&mut open, "key", key.map(Value::from));
        put(&mut open, "floor", floor);
        put(&mut open, "ceiling", ceiling);
        json!({"type": "open", "open": open})
    });
    let status = prop::sample::select(vec!["open", "frozen", "credits-frozen", "closed"]);
    let configure = (any::<u128>(), limit(), limit(), status);
    let configure = configure.prop_map(|(id, floor, ceiling, status)| {
        let id = Uuid::from_u128(id);
        let mut configure = json!({"balance": id, "asset": "USD", "status": status});
        put(&mut configure, "floor", floor);
        put(&mut configure, "ceiling", ceiling);
        json!({"type": "configure", "configure": configure, "expect": {id.to_string(): 7}})
    });
    let posting = (any::<u64>(), any::<u64>(), 1_u32.., 0_u8..10);
    let posting = posting.prop_map(|(source, destination, cents, scale)| {
        let source = Uuid::from_u64_pair(0, source);
        let destination = Uuid::from_u64_pair(1, destination);
        let amount = format!("{cents}.{}", "0".repeat(usize::from(scale) + 1));
        let asset = format!("ABC/{scale}");
        json!({"source": source, "destination": destination, "amount": amount, "asset": asset})
    });
    let transfer = prop::collection::vec(posting, 1..5);
    let transfer = transfer.prop_map(|postings| json!({"type": "transfer", "postings": postings}));
    prop_oneof![open, configure, transfer]
}

fn noted() -> impl Strategy<Value = Value> {
    let note = (
        "[A-Za-z0-9._:@/+=,~#-]{1,128}",
        prop::option::of("\\PC{0,60}"),
        prop::option::of(prop::collection::btree_map(".{1,16}", "(?s).{0,99}", 0..9)),
        prop::option::of(0_i64..10_000_000_000_000),
    );
    (command(), note).prop_map(|(mut json, (reference, description, metadata, at))| {
        json["reference"] = json!(reference);
        json["ledger"] = json!("acme/main");
        put(&mut json, "description", description.map(Value::from));
        put(&mut json, "metadata", metadata.map(|pairs| json!(pairs)));
        let at = at.map(|at| json!(steelyard::wire::Time(at)));
        put(&mut json, "effective_at", at);
        json
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_command_is_written_and_read_back(json in noted()) {
        let first = parse(&json.to_string());
        let text = serde_json::to_string(&CommandBody::of(&first)).unwrap();
        let second = parse(&text);
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(serde_json::to_string(&CommandBody::of(&second)).unwrap(), text);
    }
}
