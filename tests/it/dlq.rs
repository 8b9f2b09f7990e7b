//! What an operator sees of dead letters and of lag, from the program itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::kafka::Sent;
use crate::support::{World, account_in, balance_id, until};

fn open(account: &str) -> String {
    json!({"reference": format!("open-{account}"), "type": "open", "ledger": "main",
        "open": {"account": account, "asset": "USD"}})
    .to_string()
}

/// What the program says, whether it could do it or not.
fn said(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let output = world.output(args);
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Every dead letter, as JSON.
fn letters(world: &World) -> Vec<Value> {
    let text = world.run(&["dlq", "list", "--json"]);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

/// Three letters in partition 0: under a wrong key, unreadable, and in the guise of a leg. The
/// good record and its right key.
async fn poisoned(world: &World) -> (String, String) {
    let account = account_in("alice", 0, 2);
    let right = balance_id(&account).to_string();
    let wrong = balance_id("bob").to_string();
    let good = open(&account);
    let records: [(&str, &[u8], &str); 3] = [
        (&wrong, good.as_bytes(), ""),
        (&right, b"{\x1b[2J", ""),
        (&right, good.as_bytes(), "steelyard-leg"),
    ];
    for (key, value, header) in records {
        let mut headers = vec![("kafka_correlationId", b"c".to_vec())];
        headers.extend((!header.is_empty()).then(|| (header, b"1".to_vec())));
        let sent = Sent {
            partition: Some(0),
            key: Some(key.as_bytes()),
            value: Some(value),
            headers,
        };
        let at = world.send(sent).await;
        world.outcome(at).await;
    }
    (good, right)
}

/// Where the letter with this reason is.
fn offset(found: &[Value], reason: &str) -> String {
    let letter = found.iter().find(|letter| letter["reason"] == reason);
    letter.expect(reason)["offset"].to_string()
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_sent_again_with_care() {
    let world = World::new(2);
    let _node = world.start("all").await;
    let (good, right) = poisoned(&world).await;
    let found = letters(&world);
    let reasons = found.iter().filter_map(|it| it["reason"].as_str());
    let reasons: BTreeSet<&str> = reasons.collect();
    let expected = ["forged-leg", "key-mismatch", "malformed-request"];
    assert_eq!(reasons, expected.into(), "{found:?}");
    let mismatch = offset(&found, "key-mismatch");

    let table = world.run(&["dlq", "list", "--reason", "malformed-request"]);
    assert_eq!(table.lines().count(), 2, "a head and one letter: {table}");
    assert!(!table.contains('\x1b'), "{table:?}");
    let shown = world.run(&["dlq", "show", "0", &mismatch]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["value"], good);
    assert_eq!(shown["original"]["topic"], world.topic("commands"));
    assert_eq!(shown["headers"][0]["name"], "kafka_correlationId");
    refused(&world, &found);

    let again = ["dlq", "replay", "0", &mismatch, "--key", &right];
    let dry = world.run(&again);
    assert!(dry.contains("would send"), "{dry}");
    let end = world.end("commands", 0);
    for n in 0..2 {
        let sent = world.run(&[&again[..], &["--yes"]].concat());
        assert!(sent.contains("of partition 0"), "{sent}");
        let outcome = world.outcome((0, end + n)).await;
        assert_eq!(outcome["status"], "applied", "{outcome}");
        assert_eq!(outcome["replay_of"].is_null(), n == 0, "once: {outcome}");
    }
    assert_eq!(letters(&world).len(), 3, "nothing new");
    world.audit();
}

/// What cannot be done says why, and does nothing.
fn refused(world: &World, found: &[Value]) {
    let again = "a dead letter again";
    let (broken, leg) = (
        offset(found, "malformed-request"),
        offset(found, "forged-leg"),
    );
    let mismatch = offset(found, "key-mismatch");
    for (args, why) in [
        (vec!["show", "0", "999"], "has no dead letter at 999"),
        (vec!["show", "7", "0"], "there is no partition 7"),
        (vec!["replay", "0", &broken, "--yes"], again),
        (
            vec!["replay", "0", &leg, "--yes"],
            "only processors may send",
        ),
        (vec!["replay", "0", &mismatch, "--yes"], again),
    ] {
        let (code, text) = said(world, &[&["dlq"], &*args].concat());
        assert_eq!(code, Some(1), "{args:?}: {text}");
        assert!(text.contains(why), "{args:?}: {text}");
    }
}

#[tokio::test]
async fn top_shows_the_lag_of_every_group() {
    let world = World::new(2);
    let node = world.start("all").await;
    node.open("alice").await;
    world.audit();
    until("nobody to be behind", async || {
        let text = world.run(&["top", "--once", "--json"]);
        let lag: Value = serde_json::from_str(&text).expect("JSON");
        let rows = lag["partitions"].as_array().expect("rows");
        assert_eq!(rows.len(), 3 * 2, "{text}");
        let behind = |row: &&Value| row["lag_records"] != 0 || row["owner"].is_null();
        (!rows.iter().any(|row| behind(&row))).then_some(())
    })
    .await;
    let table = world.run(&["top", "--once"]);
    for role in ["processor", "journal-sink", "balance-sink"] {
        let group = format!("{}.{role} ", world.name);
        let lines = table.lines().filter(|line| line.starts_with(&group));
        assert_eq!(lines.count(), 3, "two partitions and all: {table}");
    }
}
