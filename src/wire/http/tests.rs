//! Requests against the records they stand for.

use super::request::{client_reference, parse, resubmission};
use super::*;
use crate::ledger::{Asset, BalanceId, Command};
use crate::wire::{Decoder, Invalid, InvalidKind, OutcomeBody};

fn id(ledger: &str, account: &str, asset: &str, key: &str) -> BalanceId {
    BalanceId::of(ledger, account, &Asset::parse(asset).unwrap(), key)
}

fn http(json: &str) -> Result<Command, Invalid> {
    let request: TransactionRequest<'_> = parse(json.as_bytes())?;
    let reference = request.reference.as_deref();
    request.command(reference, None, None, &mut Decoder::new())
}

fn kafka(json: &str) -> Command {
    Decoder::new().parse(json.as_bytes(), None, None).unwrap()
}

#[test]
fn both_roads_mean_the_same_command() {
    let alice = id("default/main", "alice", "USD", "default");
    let spare = id("default/main", "bob", "USD", "spare");
    let record = kafka(&format!(
        r#"{{"reference":"r","type":"transfer","ledger":"default/main","postings":[{{"source":
        "{alice}","destination":"{spare}","amount":"1.50","asset":"USD/2"}}],
        "expect":{{"{alice}":7}},"effective_at":"2026-11-21T09:00:00Z","description":"d",
        "metadata":{{"b":"2","a":"1"}}}}"#
    ));
    let request = http(&format!(
        r#"{{"reference":"r","postings":[{{"source":"alice","destination":{{"account":"bob",
        "key":"spare"}},"amount":"1.5","asset":"USD"}}],"expect":{{"{alice}":7}},
        "effective_at":"2026-11-21T10:00:00+01:00","description":"d","expect_retries":3,
        "metadata":{{"a":"1","b":"2"}}}}"#
    ));
    assert_eq!(request.unwrap(), record);

    let record = kafka(
        r#"{"reference":"r","type":"open","ledger":"acme/books","open":{"account":"alice",
        "asset":"EUR/2","floor":"-5.00"}}"#,
    );
    let open: OpenRequest<'_> = parse(
        br#"{"ledger":"acme/books","account":"alice","key":"default","asset":"EUR","floor":"-5"}"#,
    )
    .unwrap();
    assert_eq!(
        open.command(Some("r"), &mut Decoder::new()).unwrap(),
        record
    );

    let record = kafka(&format!(
        r#"{{"reference":"r","type":"configure","ledger":"main","configure":{{"balance":"{alice}",
        "asset":"USD","ceiling":null,"status":"frozen"}},"expect":{{"{alice}":3}}}}"#
    ));
    let configure: ConfigureRequest<'_> =
        parse(br#"{"asset":"USD/2","ceiling":null,"status":"frozen"}"#).unwrap();
    let command = configure.command(alice.uuid(), Some("r"), Some(3), &mut Decoder::new());
    assert_eq!(command.unwrap(), record);
}

#[test]
fn a_split_is_the_same_on_both_roads() {
    let ids = ["alice", "fees", "bob"].map(|account| id("default/main", account, "USD", "default"));
    let [alice, fees, bob] = ids;
    let record = kafka(&format!(
        r#"{{"reference":"r","type":"transfer","ledger":"main","postings":[{{"source":"{alice}",
        "destination":[{{"balance":"{fees}","percent":"2.9"}},{{"balance":"{fees}","amount":"0.3"}},
        {{"balance":"{bob}","remaining":true}}],"amount":"10","asset":"USD"}}],
        "expect":{{"{alice}":7}}}}"#
    ));
    let json = br#"{"reference":"r","postings":[{"source":"alice","destination":[
        {"balance":"fees","percent":"2.90"},{"balance":{"account":"fees"},"amount":"0.30"},
        {"balance":"bob","remaining":true}],"amount":"10.00","asset":"USD/2"}]}"#;
    let request: TransactionRequest<'_> = parse(json).unwrap();
    let command = request.command(Some("r"), Some(7), None, &mut Decoder::new());
    assert_eq!(command.unwrap(), record);
    assert_eq!(record.postings().len(), 3);
    let refused = http(
        r#"{"reference":"r","postings":[{"source":[{"balance":"a b","remaining":true}],
        "destination":"bob","amount":"1","asset":"USD"}]}"#,
    );
    let field = "postings[0].source[0].balance".to_owned();
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.kind, refused.field),
        (InvalidKind::InvalidBalance, field)
    );
}

#[test]
fn an_unnamed_opening_is_named_by_its_content() {
    let reference = |json: &str| {
        let open: OpenRequest<'_> = parse(json.as_bytes()).unwrap();
        let command = open.command(None, &mut Decoder::new()).unwrap();
        let named = open
            .command(Some(&command.reference), &mut Decoder::new())
            .unwrap();
        assert_eq!(command, named, "the reference is no part of the content");
        command.reference
    };
    let one = reference(r#"{"account":"alice","asset":"USD"}"#);
    let balance = id("default/main", "alice", "USD", "default");
    assert!(one.starts_with(&format!("open:{balance}:")), "{one}");
    assert_eq!(
        one,
        reference(r#"{"asset":"USD/2","account":"alice","floor":"0","ledger":"main"}"#)
    );
    assert_ne!(
        one,
        reference(r#"{"account":"alice","asset":"USD","floor":null}"#)
    );
}

#[test]
fn if_match_expects_the_balance_that_decides() {
    let json = br#"{"reference":"r","postings":[
        {"source":"alice","destination":"bob","amount":"1","asset":"USD"}]}"#;
    let request: TransactionRequest<'_> = parse(json).unwrap();
    let command = request
        .command(Some("r"), Some(17), None, &mut Decoder::new())
        .unwrap();
    let alice = id("default/main", "alice", "USD", "default");
    assert_eq!(command.expect, [(alice, 17)]);
    let text = String::from_utf8(json.to_vec()).unwrap();
    let text = text.replace(
        "\"reference\":\"r\"",
        &format!("\"expect\":{{\"{alice}\":16}}"),
    );
    let request: TransactionRequest<'_> = parse(text.as_bytes()).unwrap();
    let refused = request
        .command(Some("r"), Some(17), None, &mut Decoder::new())
        .unwrap_err();
    assert_eq!(
        (refused.kind, &*refused.field),
        (InvalidKind::InvalidExpect, "expect")
    );
}

/// Only what the core compares is taken.
#[test]
fn no_version_is_dropped() {
    let (hold, balance) = (
        "00000000-0000-8000-8000-000000000000",
        id("default/main", "alice", "USD", "default"),
    );
    let target = format!(r#"{{"hold":"{hold}","balance":"{balance}"}}"#);
    for part in [
        format!(r#""type":"post","post":{target}"#),
        format!(r#""type":"void","void":{target}"#),
        r#""type":"open","open":{"account":"alice","asset":"USD"}"#.to_owned(),
        r#""type":"close-period","close_period":{"before":"2026-11-01T00:00:00Z"}"#.to_owned(),
    ] {
        let json = format!(r#"{{"reference":"r",{part}}}"#);
        assert!(http(&json).is_ok(), "{json}");
        let request: TransactionRequest<'_> = parse(json.as_bytes()).unwrap();
        let refused = request.command(Some("r"), Some(1), None, &mut Decoder::new());
        let refused = refused.unwrap_err();
        let told = (refused.kind, &*refused.field);
        assert_eq!(told, (InvalidKind::InvalidExpect, "If-Match"), "{json}");
        for (field, value) in [
            ("expect", format!(r#"{{"{balance}":1}}"#)),
            ("expect_retries", "1".to_owned()),
        ] {
            let expecting = format!(r#"{{"reference":"r",{part},"{field}":{value}}}"#);
            let refused = http(&expecting).unwrap_err();
            let told = (refused.kind, &*refused.field);
            assert_eq!(told, (InvalidKind::InvalidExpect, field), "{json}");
        }
    }
}

#[test]
fn a_resubmission_differs_in_reference_and_version_only() {
    let alice = id("default/main", "alice", "USD", "default");
    let command = http(&format!(
        r#"{{"reference":"r","postings":[{{"source":"alice","destination":"bob","amount":"1",
        "asset":"USD"}}],"expect":{{"{alice}":1}},"metadata":{{"a":"1"}}}}"#
    ))
    .unwrap();
    let seen = (alice.uuid(), 9);
    let again = resubmission(&command, "r", 2, seen, &mut Decoder::new()).unwrap();
    assert_eq!(&*again.reference, "r#2");
    assert_eq!(again.expect, [(alice, 9)]);
    assert_eq!((&again.body, &again.note), (&command.body, &command.note));
    assert!(client_reference("r#2", 0).is_err());
    assert!(client_reference(&"x".repeat(128), 0).is_ok());
    assert!(
        client_reference(&"x".repeat(127), 1).is_err(),
        "no room for #1"
    );
}

#[test]
fn fields_are_named_by_their_path() {
    let refused = |json: &str| {
        let refused = http(json).unwrap_err();
        (refused.kind.slug(), refused.field)
    };
    let posting = |part: &str| format!(r#"{{"reference":"r","postings":[{{{part}}}]}}"#);
    let float = posting(r#""source":"a","destination":"b","asset":"USD","amount":1.5"#);
    assert_eq!(
        refused(&float),
        ("invalid-amount", "postings[0].amount".to_owned())
    );
    let fine = posting(r#""source":"a","destination":"b","asset":"USD","amount":"1.005""#);
    assert_eq!(
        refused(&fine),
        ("invalid-amount", "postings[0].amount".to_owned())
    );
    let party = posting(r#""source":"a b","destination":"b","asset":"USD","amount":"1""#);
    assert_eq!(
        refused(&party),
        ("invalid-balance", "postings[0].source".to_owned())
    );
    let open: OpenRequest<'_> = parse(br#"{"account":"@bank","asset":"USD"}"#).unwrap();
    let refused = open.command(None, &mut Decoder::new()).unwrap_err();
    assert_eq!(
        (refused.kind, &*refused.field),
        (InvalidKind::ReservedAccount, "account")
    );
}

#[test]
fn an_outcome_is_shown_without_the_systems_own_balances() {
    let (home, far) = (0, 1);
    let usd = Asset::parse("USD").unwrap();
    let transit = BalanceId::transit((home, far), far, None, &usd);
    let alice = id("default/main", "alice", "USD", "default");
    let entry = |balance: BalanceId| {
        format!(
            r#"{{"balance":"{balance}","version":2,"direction":"credit","amount":"1.00",
            "asset":"USD/2","posted":"1.00","held":"0.00","incoming":"0.00"}}"#
        )
    };
    let transaction = crate::ledger::TransactionId::new(home, 7, uuid::Uuid::nil());
    let hash = "0".repeat(64);
    let outcome = |status: &str, more: &str| {
        format!(
            r#"{{"partition":{far},"offset":9,"follows":8,"prev":"{hash}",
            "at":"2026-11-21T09:00:00.000Z","status":"{status}","reference":"r#1",
            "transaction_id":"{transaction}","type":"transfer","ledger":"default/main"{more}}}"#
        )
    };
    let applied = outcome(
        "applied",
        &format!(r#","entries":[{},{}]"#, entry(transit), entry(alice)),
    );
    let outcome_body = OutcomeBody::parse(applied.as_bytes()).unwrap();
    let view = TransactionView::of_outcome(outcome_body, 2).unwrap();
    assert_eq!(view.entries.len(), 1);
    assert_eq!(view.entries[0].balance, alice.uuid());
    assert!(view.partial, "home's entries stand elsewhere");
    assert_eq!(view.retry_of.as_deref(), Some("r"));
    let forwarded = outcome("forwarded", "");
    let outcome_body = OutcomeBody::parse(forwarded.as_bytes()).unwrap();
    assert!(
        TransactionView::of_outcome(outcome_body, 2).is_none(),
        "nothing is decided"
    );
}

#[test]
fn what_is_reversed_has_a_reference_that_can_be() {
    let check = |reference: &str| {
        let json = serde_json::json!({"reference": reference}).to_string();
        let part: ReversePart<'_> = parse(json.as_bytes()).unwrap();
        part.check().map_err(|it| (it.kind, it.field))
    };
    assert_eq!(check("order-1#2"), Ok(()), "a resubmission");
    let field = || "reverse.reference".to_owned();
    assert_eq!(check(""), Err((InvalidKind::ReferenceMissing, field())));
    for wrong in ["a b", "é", &"x".repeat(129)] {
        let refused = (InvalidKind::InvalidReference, field());
        assert_eq!(check(wrong), Err(refused), "{wrong}");
    }
}
