//! Bad input, by name. Every line is refused with its slug and the field it names, and a refusal
//! happens before anything is decided.

use steelyard::wire::record::{COMMAND_BYTES_MAX, Headers, Raw, Recognizer};
use steelyard::wire::{Invalid, InvalidKind, Secret};

const ALICE: &str = "0f0f0f0f-0000-5000-8000-00000000000a";

const TRANSFER: &str = r#"{"reference":"r1","type":"transfer","ledger":"main","postings":[
    {"source":"0f0f0f0f-0000-5000-8000-00000000000a",
     "destination":"0f0f0f0f-0000-5000-8000-00000000000b","amount":"12.50","asset":"USD"}]}"#;
const OPEN: &str = r#"{"reference":"r1","type":"open","ledger":"main",
    "open":{"account":"alice","asset":"USD"}}"#;
const VOID: &str = r#"{"reference":"r1","type":"void","ledger":"main",
    "void":{"hold":"00000000-0000-8000-8000-000000000000",
    "balance":"0f0f0f0f-0000-5000-8000-00000000000a"}}"#;
const CONFIGURE: &str = r#"{"reference":"r1","type":"configure","ledger":"main",
    "configure":{"balance":"0f0f0f0f-0000-5000-8000-00000000000a","status":"frozen"}}"#;

fn recognize(key: Option<&[u8]>, value: Option<&[u8]>, headers: Headers<'_>) -> Option<Invalid> {
    let secret = Secret::new("a secret of the tests").unwrap();
    let mut recognizer = Recognizer::new(secret, vec!["replies".to_owned()], 0, 1);
    let raw = Raw {
        offset: 7,
        key,
        value,
        headers,
    };
    recognizer.recognize(&raw).err()
}

/// The slug and the field, or `accepted`.
fn verdict(invalid: &Option<Invalid>) -> String {
    match invalid {
        None => "accepted".to_owned(),
        Some(invalid) => {
            let text = format!("{} {}", invalid.kind.slug(), invalid.field);
            text.trim().to_owned()
        }
    }
}

fn verdict_of(value: &[u8]) -> String {
    verdict(&recognize(
        Some(ALICE.as_bytes()),
        Some(value),
        Headers::default(),
    ))
}

/// A line is `place => text | verdict`: in `command`, the text takes the place of the first.
#[track_caller]
fn check(command: &str, table: &str) {
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let (change, expected) = line.rsplit_once('|').unwrap();
        let (place, text) = change.split_once("=>").unwrap();
        assert!(command.contains(place.trim()), "nothing to change: {line}");
        let value = command.replacen(place.trim(), text.trim(), 1);
        assert_eq!(verdict_of(value.as_bytes()), expected.trim(), "{line}");
    }
}

#[test]
fn the_commands_that_the_tables_change_are_accepted() {
    assert_eq!(verdict_of(TRANSFER.as_bytes()), "accepted");
    assert_eq!(verdict_of(CONFIGURE.as_bytes()), "accepted");
    // understood, but not under this key
    assert_eq!(verdict_of(OPEN.as_bytes()), "key-mismatch key");
}

#[test]
fn what_is_not_a_command_is_malformed() {
    for text in [
        "",
        "{",
        "null",
        "[]",
        "\"text\"",
        "{}",
        "{} {}",
        "\u{feff}{}",
    ] {
        assert_eq!(verdict_of(text.as_bytes()), "malformed-request", "{text}");
    }
    check(
        TRANSFER,
        r#"
        "}]}                  => "}]}}        | malformed-request
        "}]}                  => "}],}        | malformed-request
        "type"                => "kind"       | malformed-request kind
        "transfer"            => "post"       | malformed-request postings
        "transfer"            => "Transfer"   | malformed-request type
        "type":"transfer",    =>              | malformed-request
        "ledger":"main",      =>              | malformed-request
        "main"                => 7            | malformed-request ledger
        "main"                => null         | malformed-request ledger
        ,"asset":"USD"        =>              | malformed-request postings[0]
        "#,
    );
}

#[test]
fn a_member_is_given_once_and_is_known() {
    check(
        TRANSFER,
        r#"
        "type"    => "reference":"r1","type"                   | malformed-request
        "amount"  => "amount":"1","amount"                     | malformed-request postings[0]
        "type"    => "note":1,"type"                           | malformed-request note
        "amount"  => "currency":"USD","amount"                 | malformed-request postings[0].currency
        "type"    => "metadata":{"a":"1","a":"2"},"type"       | malformed-request metadata
        "type"    => "metadata":{"a":"1","\u0061":"2"},"type"  | malformed-request metadata
        "type"    => "expect":{"0f0f0f0f-0000-5000-8000-00000000000a":1,"0F0F0F0F-0000-5000-8000-00000000000A":2},"type" | malformed-request expect
        "#,
    );
}

#[test]
fn an_object_is_not_an_array_of_its_members() {
    let (start, end) = (TRANSFER.find("{\"source\"").unwrap(), TRANSFER.len() - 2);
    let posting = format!("[\"{ALICE}\",\"{ALICE}\",\"12.50\",\"USD\"]");
    let whole = format!("[\"r1\",\"transfer\",\"main\",[{posting}]]");
    assert_eq!(verdict_of(whole.as_bytes()), "malformed-request");
    let value = TRANSFER.replacen(&TRANSFER[start..end], &posting, 1);
    assert_eq!(
        verdict_of(value.as_bytes()),
        "malformed-request postings[0]"
    );
    check(
        OPEN,
        r#" {"account":"alice","asset":"USD"} => ["alice",null,"USD"] | malformed-request open "#,
    );
}

#[test]
fn an_amount_is_a_positive_decimal_string_within_28_digits() {
    check(
        TRANSFER,
        &r#"
        "12.50" => "0.01"       | accepted
        "12.50" => 12.50        | invalid-amount FIELD
        "12.50" => 12           | invalid-amount FIELD
        "12.50" => 1e400        | invalid-amount FIELD
        "12.50" => "1e400"      | invalid-amount FIELD
        "12.50" => "1e2"        | invalid-amount FIELD
        "12.50" => "NaN"        | invalid-amount FIELD
        "12.50" => "Infinity"   | invalid-amount FIELD
        "12.50" => ""           | invalid-amount FIELD
        "12.50" => " 12.50"     | invalid-amount FIELD
        "12.50" => "12,50"      | invalid-amount FIELD
        "12.50" => "1_000"      | invalid-amount FIELD
        "12.50" => "0x10"       | invalid-amount FIELD
        "12.50" => "١٢"         | invalid-amount FIELD
        "12.50" => null         | invalid-amount FIELD
        "12.50" => true         | invalid-amount FIELD
        "12.50" => ["12.50"]    | invalid-amount FIELD
        "12.50" => {"a":"1"}    | invalid-amount FIELD
        "12.50" => "12.501"     | invalid-amount FIELD
        "12.50" => "0"          | invalid-amount FIELD
        "12.50" => "0.00"       | invalid-amount FIELD
        "12.50" => "-0"         | invalid-amount FIELD
        "12.50" => "-12.50"     | invalid-amount FIELD
        "12.50" => "99999999999999999999999999.99"             | accepted
        "12.50" => "100000000000000000000000000"               | invalid-amount FIELD
        "12.50" => "9999999999999999999999999999999999999999"  | invalid-amount FIELD
        "12.50" => "1.0000000000000000000000000000000000000000000000000000000000000000" | invalid-amount FIELD
        "#
        .replace("FIELD", "postings[0].amount"),
    );
}

#[test]
fn an_asset_names_its_scale() {
    check(
        TRANSFER,
        r#"
        "USD" => "USD/2"    | accepted
        "USD" => "BTC/8"    | accepted
        "USD" => "BTC"      | invalid-asset postings[0].asset
        "USD" => "usd"      | invalid-asset postings[0].asset
        "USD" => ""         | invalid-asset postings[0].asset
        "USD" => "USD/19"   | invalid-asset postings[0].asset
        "USD" => "USD/-1"   | invalid-asset postings[0].asset
        "USD" => "JPY"      | invalid-amount postings[0].amount
        "USD" => 2          | malformed-request postings[0].asset
        "#,
    );
}

#[test]
fn a_reference_is_given_plain_and_short() {
    check(
        TRANSFER,
        r#"
        "r1"                => ""             | reference-missing reference
        "reference":"r1",   =>                | reference-missing reference
        "r1"                => null           | reference-missing reference
        "r1"                => 1              | malformed-request reference
        "r1"                => "a b"          | invalid-reference reference
        "r1"                => "é"            | invalid-reference reference
        "r1"                => "a\u0000"      | invalid-reference reference
        "r1"                => "\ud800"       | malformed-request reference
        "#,
    );
    for (length, expected) in [(128, "accepted"), (129, "invalid-reference reference")] {
        let value = TRANSFER.replacen("r1", &"r".repeat(length), 1);
        assert_eq!(verdict_of(value.as_bytes()), expected);
    }
}

#[test]
fn a_ledger_is_a_plain_name() {
    check(
        TRANSFER,
        r#"
        "main" => "acme/main"          | accepted
        "main" => ""                   | invalid-ledger ledger
        "main" => "Main"               | invalid-ledger ledger
        "main" => "a/b/c"              | invalid-ledger ledger
        "main" => "/main"              | invalid-ledger ledger
        "main" => "acme/"              | invalid-ledger ledger
        "main" => "@system/transit"    | invalid-ledger ledger
        "#,
    );
}

#[test]
fn postings_go_from_one_balance_to_another() {
    check(
        TRANSFER,
        r#"
        00000000000b    => 00000000000a                                     | same-balance postings[0].destination
        0f0f0f0f-0000-5000-8000-00000000000b => 0F0F0F0F-0000-5000-8000-00000000000A | same-balance postings[0].destination
        00000000000b    => 00000000000                                      | malformed-request postings[0].destination
        "postings"      => "open":null,"postings"                           | accepted
        "postings"      => "open":{"account":"a","asset":"USD"},"postings"  | malformed-request open
        "transfer"      => "open"                                           | malformed-request postings
        "transfer"      => "close-period"                                   | malformed-request postings
        "postings"      => "extras"                                         | malformed-request extras
        "#,
    );
}

#[test]
fn postings_are_one_to_a_hundred() {
    let (start, end) = (TRANSFER.find("{\"source\"").unwrap(), TRANSFER.len() - 2);
    let posting = &TRANSFER[start..end];
    let refused = "invalid-postings postings";
    for (count, expected) in [
        (0, refused),
        (1, "accepted"),
        (100, "accepted"),
        (101, refused),
    ] {
        let many = vec![posting; count].join(",");
        let value = TRANSFER.replacen(posting, &many, 1);
        assert_eq!(verdict_of(value.as_bytes()), expected, "{count} postings");
    }
}

#[test]
fn expect_names_balances_of_the_command() {
    check(
        &TRANSFER.replacen("\"type\"", "\"expect\":{\"BOB\":17},\"type\"", 1),
        &r#"
        {"BOB":17}  => {}            | accepted
        "BOB"       => "ID-b"        | accepted
        "BOB"       => "ID-c"        | invalid-expect expect
        "BOB":17    => "ID-b":-1     | malformed-request expect.ID-b
        "BOB":17    => "ID-b":1.0    | malformed-request expect.ID-b
        "BOB":17    => "ID-b":1e400  | malformed-request expect.ID-b
        "BOB":17    => "ID-b":"1"    | malformed-request expect.ID-b
        "BOB":17    => "BOB":17      | malformed-request expect.BOB
        {"BOB":17}  => []            | malformed-request expect
        "#
        .replace("ID-", "0f0f0f0f-0000-5000-8000-00000000000"),
    );
}

#[test]
fn notes_have_limits() {
    let noted = TRANSFER.replacen("\"type\"", "\"description\":\"\",\"type\"", 1);
    check(
        &noted,
        r#"
        "description":"" => "metadata":{"":"v"}                      | invalid-note metadata
        "description":"" => "metadata":{"k":1}                       | malformed-request metadata.k
        "description":"" => "metadata":{"k":{}}                      | malformed-request metadata.k
        "description":"" => "metadata":["k","v"]                     | malformed-request metadata
        "description":"" => "effective_at":"yesterday"               | malformed-request effective_at
        "description":"" => "effective_at":1                         | malformed-request effective_at
        "description":"" => "effective_at":"2026-11-21T09:00:00Z"    | accepted
        "#,
    );
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!("\"k{at}\":\"v\"")).collect();
        format!("\"metadata\":{{{}}}", members.join(","))
    };
    let member = |key, value| {
        let (key, value) = ("k".repeat(key), "v".repeat(value));
        format!("\"metadata\":{{\"{key}\":\"{value}\"}}")
    };
    let wide = |count: usize, last: usize| {
        let wide = |at: usize| {
            format!(
                "\"k{at:02}\":\"{}\"",
                "v".repeat(if at > 0 { 505 } else { last })
            )
        };
        format!(
            "\"metadata\":{{{}}}",
            (0..count).map(wide).collect::<Vec<_>>().join(",")
        )
    };
    let description = |length| format!("\"description\":\"{}\"", "d".repeat(length));
    let cases = [
        (members(32), "accepted"),
        (members(33), "invalid-note metadata"),
        (members(201), "malformed-request metadata"),
        (member(64, 512), "accepted"),
        (member(65, 512), "invalid-note metadata"),
        (member(64, 513), "invalid-note metadata"),
        // 8192 bytes as JSON, and one more
        (wide(16, 472), "accepted"),
        (wide(16, 473), "invalid-note metadata"),
        (description(256), "accepted"),
        (description(257), "invalid-note description"),
    ];
    for (note, expected) in cases {
        let value = noted.replacen("\"description\":\"\"", &note, 1);
        assert_eq!(
            verdict_of(value.as_bytes()),
            expected,
            "{} bytes",
            note.len()
        );
    }
}

#[test]
fn an_open_names_its_account() {
    check(
        OPEN,
        r#"
        "alice" => ""                         | invalid-balance open.account
        "alice" => "a/b"                      | invalid-balance open.account
        "alice" => "a>b"                      | invalid-balance open.account
        "alice" => "@world"                   | reserved-account open.account
        "USD"   => "BTC"                      | invalid-asset open.asset
        "USD"   => "USD","key":"a b"          | invalid-balance open.key
        "USD"   => "USD","floor":"-0.001"     | invalid-amount open.floor
        "USD"   => "USD","floor":-1           | invalid-amount open.floor
        "USD"   => "USD","ceiling":1e400      | invalid-amount open.ceiling
        "type"  => "expect":{"0f0f0f0f-0000-5000-8000-00000000000a":1},"type" | invalid-expect expect
        "#,
    );
}

/// What is reserved cannot be refused, so nobody is told that a version was compared.
#[test]
fn a_void_takes_no_version_and_no_other_part() {
    let hold = "\"hold\":\"00000000-0000-8000-8000-000000000000\"";
    let post = format!("\"post\":{{{hold},\"balance\":\"{ALICE}\"}}");
    assert_eq!(verdict_of(VOID.as_bytes()), "accepted");
    let posts = VOID
        .replacen("\"void\",", "\"post\",", 1)
        .replacen("\"void\":", "\"post\":", 1);
    assert_eq!(verdict_of(posts.as_bytes()), "accepted");
    let expect = format!("\"expect\":{{\"{ALICE}\":1}},\"ledger\"");
    for command in [VOID, &posts] {
        let value = command.replacen("\"ledger\"", &expect, 1);
        assert_eq!(verdict_of(value.as_bytes()), "invalid-expect expect");
    }
    check(
        VOID,
        &r#"
        "ledger"  => "expect":{},"ledger"                          | accepted
        "ledger"  => "hold":{},"ledger"                            | malformed-request hold
        "ledger"  => POST,"ledger"                                 | malformed-request post
        "ledger"  => "amount":"1","ledger"                         | invalid-amount amount
        "void":   => "open":                                       | malformed-request open.hold
        "void",   => "close-period",                               | malformed-request void
        "balance" => "amount":"1","balance"                        | invalid-amount void.amount
        "#
        .replace("POST", &post),
    );
}

/// A reversal of a reversal of a reversal… is refused by name as deep as JSON is read at all, and
/// beyond that as what is no command.
#[test]
fn originals_are_nested_without_harm() {
    let nested = |levels: usize| {
        (0..levels).fold(TRANSFER.to_owned(), |original, _| {
            format!(
                r#"{{"reference":"r1","type":"reverse","ledger":"main","reverse":{{"transaction":
                "00000000-0000-8000-8000-000000000000","original":{original}}}}}"#
            )
        })
    };
    assert_eq!(verdict_of(nested(1).as_bytes()), "accepted");
    let refused = "invalid-original reverse.original.type";
    assert_eq!(verdict_of(nested(2).as_bytes()), refused);
    let slug = |levels: usize| {
        let verdict = verdict_of(nested(levels).as_bytes());
        verdict.split(' ').next().unwrap().to_owned()
    };
    // The reader's own limit is 128 levels of JSON, of which every original takes two.
    for levels in [3, 60, 62] {
        assert_eq!(slug(levels), "invalid-original", "{levels}");
    }
    for levels in [63, 64, 300] {
        assert_eq!(slug(levels), "malformed-request", "{levels}");
    }
}

#[test]
fn a_configure_changes_something() {
    check(
        CONFIGURE,
        r#"
        ,"status":"frozen" =>                                          | malformed-request configure
        "frozen"           => "icy"                                    | malformed-request configure.status
        "frozen"           => "frozen","floor":null                    | accepted
        "frozen"           => "frozen","floor":"1"                     | invalid-asset configure.floor
        "frozen"           => "frozen","floor":"1","asset":"USD"       | accepted
        "frozen"           => "frozen","floor":"1.001","asset":"USD"   | invalid-amount configure.floor
        "frozen"           => "frozen","ceiling":1                     | invalid-amount configure.ceiling
        "frozen"           => "frozen","asset":"usd"                   | invalid-asset configure.asset
        "#,
    );
}

#[test]
fn a_record_has_a_key_that_is_the_deciding_balance() {
    let with = |key| {
        verdict(&recognize(
            key,
            Some(TRANSFER.as_bytes()),
            Headers::default(),
        ))
    };
    assert_eq!(with(None), "key-missing key");
    assert_eq!(with(Some(ALICE.as_bytes())), "accepted");
    let upper = ALICE.to_uppercase();
    let other = "0f0f0f0f-0000-5000-8000-00000000000b";
    for key in ["", &upper, other, "genesis", "claim", "0f0f0f0f"] {
        assert_eq!(with(Some(key.as_bytes())), "key-mismatch key", "{key}");
    }
    assert_eq!(with(Some(b"\xff\xfe")), "key-mismatch key");
}

#[test]
fn a_record_has_a_value_that_is_not_too_large() {
    let missing = recognize(Some(ALICE.as_bytes()), None, Headers::default());
    assert_eq!(verdict(&missing), "value-missing value");
    let blanks = " ".repeat(COMMAND_BYTES_MAX - TRANSFER.len());
    let largest = format!("{TRANSFER}{blanks}");
    assert_eq!(verdict_of(largest.as_bytes()), "accepted");
    let larger = format!("{largest} ");
    assert_eq!(verdict_of(larger.as_bytes()), "payload-too-large value");
}

#[test]
fn no_depth_gets_through() {
    for depth in [100, 10_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(verdict_of(arrays.as_bytes()), "malformed-request");
        let amount = TRANSFER.replacen("\"12.50\"", &arrays, 1);
        assert_eq!(
            verdict_of(amount.as_bytes()),
            "invalid-amount postings[0].amount"
        );
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let metadata = format!("\"metadata\":{objects},\"type\"");
        let metadata = TRANSFER.replacen("\"type\"", &metadata, 1);
        assert_eq!(
            verdict_of(metadata.as_bytes()),
            "malformed-request metadata.a"
        );
    }
}

#[test]
fn no_broken_text_gets_through() {
    let mut broken = TRANSFER.as_bytes().to_vec();
    broken[TRANSFER.find("r1").unwrap()] = 0xff;
    assert_eq!(verdict_of(&broken), "malformed-request reference");
    let mut broken = TRANSFER.as_bytes().to_vec();
    broken[TRANSFER.find("12.50").unwrap()] = 0xc0;
    assert_eq!(verdict_of(&broken), "invalid-amount postings[0].amount");
}

#[test]
fn what_is_said_of_an_input_is_short() {
    let (long, wide) = ("x".repeat(5000), "é".repeat(900));
    let changes = [
        ("type", long.clone()),
        ("transfer", long.clone()),
        (
            "\"type\"",
            format!("\"metadata\":{{\"{long}\":1}},\"type\""),
        ),
        (
            "\"type\"",
            format!("\"metadata\":{{\"{wide}\":1}},\"type\""),
        ),
    ];
    for (place, text) in changes {
        let value = TRANSFER.replacen(place, &text, 1);
        let headers = Headers::default();
        let invalid = recognize(Some(ALICE.as_bytes()), Some(value.as_bytes()), headers).unwrap();
        assert_eq!(invalid.kind, InvalidKind::MalformedRequest);
        assert!(
            invalid.field.len() <= 260 && invalid.detail.len() <= 260,
            "{invalid}"
        );
    }
}

#[test]
fn a_reply_goes_where_replies_may_go() {
    let with = |correlation, topic, partition| {
        let headers = Headers {
            correlation,
            reply_topic: topic,
            reply_partition: partition,
            ..Headers::default()
        };
        let value = Some(TRANSFER.as_bytes());
        verdict(&recognize(Some(ALICE.as_bytes()), value, headers))
    };
    let (id, replies) = (Some(&b"\x00\xff"[..]), Some(&b"replies"[..]));
    assert_eq!(with(id, replies, None), "accepted");
    assert_eq!(with(id, replies, Some(&[0, 0, 0, 3])), "accepted");
    assert_eq!(with(id, None, None), "accepted");
    assert_eq!(with(None, Some(b"elsewhere"), None), "accepted");
    let topic = "reply-not-allowed kafka_replyTopic";
    assert_eq!(with(id, Some(b"elsewhere"), None), topic);
    assert_eq!(with(id, Some(b"\xff"), None), topic);
    let partition = "malformed-request kafka_replyPartition";
    assert_eq!(with(id, replies, Some(&[0, 3])), partition);
    assert_eq!(with(id, replies, Some(b"3")), partition);
    assert_eq!(with(id, replies, Some(&[0xff; 4])), partition);
    let correlation = "malformed-request kafka_correlationId";
    assert_eq!(with(Some(&[7; 256]), replies, None), "accepted");
    assert_eq!(with(Some(&[7; 257]), replies, None), correlation);
}

#[test]
fn every_slug_is_known_once() {
    let mut slugs: Vec<&str> = InvalidKind::ALL.map(InvalidKind::slug).into();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), InvalidKind::ALL.len());
}
