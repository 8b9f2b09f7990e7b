//! The audit's replay: a second implementation of the rules decides a real log again.

use rdkafka::Message;
use serde_json::{Value, json};
use steelyard::wire::outcome::{OutcomeBody, hash};
use uuid::Uuid;

use crate::support::kafka::{Sent, json_of};
use crate::support::{World, account_in, balance_id, until};

const PARTITIONS: u16 = 3;

fn accounts() -> Vec<String> {
    let partitions = 0..PARTITIONS;
    partitions
        .map(|partition| account_in("replayed", partition, PARTITIONS))
        .collect()
}

fn open(account: &str, reference: &str) -> (Uuid, Value) {
    let command = json!({"reference": reference, "type": "open", "ledger": "main",
        "open": {"account": account, "asset": "USD", "ceiling": "500.00"}});
    (balance_id(account), command)
}

fn transfer(reference: &str, postings: &[(&str, &str, &str)]) -> (Uuid, Value) {
    let postings: Vec<Value> = postings
        .iter()
        .map(|(source, destination, amount)| {
            json!({"source": balance_id(source), "destination": balance_id(destination),
                "amount": amount, "asset": "USD"})
        })
        .collect();
    let key = postings[0]["source"].as_str().unwrap().parse().unwrap();
    let command = json!({"reference": reference, "type": "transfer", "ledger": "main",
        "postings": postings});
    (key, command)
}

/// Everything at once: walks over all partitions, refusals at every stop, repeats, references that
/// are used again, a balance that is frozen, and records that can never be understood.
async fn mixed_load(world: &World) {
    let all = accounts();
    let [a, b, c] = [&all[0], &all[1], &all[2]].map(String::as_str);
    let mut commands: Vec<(Uuid, Value)> = Vec::new();
    for account in [a, b, c] {
        commands.push(open(account, &format!("open-{account}")));
        commands.push(open(account, &format!("again-{account}")));
    }
    for (number, account) in [a, b, c].into_iter().enumerate() {
        commands.push(transfer(
            &format!("fund-{number}"),
            &[("@world", account, "100.00")],
        ));
    }
    world.send_all(&commands).await;
    let funded: Vec<String> = (0..3).map(|number| format!("fund-{number}")).collect();
    world.all_decided(&funded).await;
    let mut commands = Vec::new();
    for number in 0..20 {
        let names = |kind: &str| format!("{kind}-{number}");
        commands.push(transfer(&names("one"), &[(a, b, "1.00")]));
        commands.push(transfer(
            &names("ring"),
            &[(a, b, "3"), (b, c, "2"), (c, a, "1.00")],
        ));
        commands.push(transfer(
            &names("poor"),
            &[(a, b, "1.00"), (b, c, "9000.00")],
        ));
        commands.push(transfer(
            &names("full"),
            &[(c, a, "0.01"), ("@world", b, "450.00")],
        ));
        commands.push(transfer(&names("one"), &[(a, b, "1")]));
        commands.push(transfer(&names("one"), &[(a, b, "2.00")]));
        commands.push(transfer(&names("none"), &[(b, "nobody", "1.00")]));
    }
    let freeze = json!({"reference": "freeze", "type": "configure", "ledger": "main",
        "configure": {"balance": balance_id(c), "status": "debits-frozen"}});
    commands.push((balance_id(c), freeze));
    commands.push(transfer("frozen", &[(a, b, "1.00"), (c, b, "1.00")]));
    world.send_all(&commands).await;
    let key = balance_id(a).to_string();
    let strays = [
        b"no command".to_vec(),
        transfer("stray", &[(a, c, "0.50")]).1.to_string().into(),
    ];
    for value in &strays {
        let (partition, key) = (Some(1), Some(key.as_bytes()));
        let sent = Sent {
            partition,
            key,
            value: Some(value),
            ..Sent::default()
        };
        world.send(sent).await;
    }
    let kinds = ["one", "ring", "poor", "full", "none"];
    let numbered = kinds
        .iter()
        .flat_map(|kind| (0..20).map(move |n| format!("{kind}-{n}")));
    let others = ["freeze", "frozen", "stray"].map(str::to_owned);
    world
        .all_decided(&numbered.chain(others).collect::<Vec<_>>())
        .await;
}

fn on_hold(
    reference: &str,
    kind: &str,
    (home, hold): (Uuid, &Value),
    amount: &str,
) -> (Uuid, Value) {
    let mut part = json!({"hold": hold["transaction_id"], "balance": home});
    if !amount.is_empty() {
        (part["amount"], part["asset"]) = (json!(amount), json!("USD"));
    }
    let mut command = json!({"reference": reference, "type": kind, "ledger": "main"});
    command[kind] = part;
    (home, command)
}

/// Holds in one partition and over all of them, refused at the last stop, posted in parts and too
/// much, voided, expired by ticks, posted when it is too late, and repeated.
async fn holds_load(world: &World) {
    let all = accounts();
    let [a, b, c] = [&all[0], &all[1], &all[2]].map(String::as_str);
    let (home, other) = (balance_id(a), account_in("other", 0, PARTITIONS));
    world.send_all(&[open(&other, "open-other")]).await;
    world.all_decided(&["open-other".to_owned()]).await;
    let hold = |reference: &str, postings: &[(&str, &str, &str)], terms: Value| {
        let (key, mut command) = transfer(reference, postings);
        command["hold"] = terms;
        (key, command)
    };
    let far = [(a, b, "3.00"), (b, a, "2.00"), (a, c, "1.00")];
    let made = [
        hold("near", &[(a, &other, "5.00")], json!({})),
        hold("far", &far, json!({"expires_in": "1h"})),
        hold("void", &far, json!({})),
        hold("soon", &far, json!({"expires_in": "1s"})),
        hold("poor", &[(a, b, "1.00"), (b, c, "9000.00")], json!({})),
    ];
    world.send_all(&made).await;
    let names = ["near", "far", "void", "soon", "poor"].map(str::to_owned);
    let made: Vec<Value> = world.all_decided(&names).await;
    let [near, far, void, soon, poor] = &made[..] else {
        unreachable!("five were asked for")
    };
    let mut commands = vec![
        on_hold("rest-near", "post", (home, near), ""),
        on_hold("void-near", "void", (home, near), ""),
        on_hold("void-void", "void", (home, void), ""),
        on_hold("post-void", "post", (home, void), "1.00"),
        on_hold("post-poor", "post", (home, poor), "1.00"),
    ];
    for number in 0..3 {
        let reference = format!("post-far-{number}");
        let post = on_hold(&reference, "post", (home, far), "2.50");
        commands.extend([post.clone(), post]);
    }
    world.send_all(&commands).await;
    let decided: Vec<String> = commands
        .iter()
        .map(|(_, command)| command["reference"].as_str().unwrap().to_owned())
        .collect();
    world.all_decided(&decided).await;
    until("the tick", async || {
        let records = world.records(&world.topic("outcomes"), Some(0));
        let mut bodies = records.iter().filter_map(json_of);
        bodies.find(|body| body["status"] == "expired")
    })
    .await;
    let late = on_hold("post-soon", "post", (home, soon), "1.00");
    world.send_all(&[late]).await;
    world.all_decided(&["post-soon".to_owned()]).await;
}

fn replay(world: &World) -> (Option<i32>, Value) {
    let output = world.output(&["audit", "--replay", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["check"] == "replay").unwrap();
    (output.status.code(), check.clone())
}

/// An outcome as the next one of its partition, for a command that nobody has decided.
fn forged(world: &World, partition: i32, command: i64) -> Vec<u8> {
    let records = world.records(&world.topic("outcomes"), Some(partition));
    let outcomes = records
        .iter()
        .filter(|record| json_of(record).is_some_and(|o| o["offset"].is_u64()));
    let last =
        outcomes.max_by_key(|record| json_of(record).and_then(|body| body["offset"].as_u64()));
    let value = last.unwrap().payload().unwrap();
    let mut body = json_of(last.unwrap()).unwrap();
    body["follows"] = body["offset"].clone();
    body["offset"] = json!(command);
    body["prev"] = json!(hex::encode(hash(value).0));
    (body["status"], body["reason"]) = (json!("rejected"), json!("balance-frozen"));
    for member in ["hash", "entries", "legs", "leg", "replay_of"] {
        body.as_object_mut().unwrap().remove(member);
    }
    let text = body.to_string();
    let mut sealed = Vec::new();
    OutcomeBody::parse(text.as_bytes())
        .unwrap()
        .seal(&mut sealed)
        .unwrap();
    sealed
}

#[tokio::test]
async fn a_replay_is_clean_after_a_mixed_load_and_names_what_was_tampered_with() {
    let world = World::new(PARTITIONS);
    let mut node = world.start("all").await;
    mixed_load(&world).await;
    holds_load(&world).await;
    world.audit();
    let (code, check) = replay(&world);
    assert_eq!(
        (code, &check["result"]),
        (Some(0), &json!("proved")),
        "{check}"
    );
    assert!(check["examined"].as_u64().unwrap() > 290, "{check}");
    node.stop().await;
    let account = &accounts()[0];
    let (key, command) = transfer("tampered", &[(account, "nobody", "1.00")]);
    let (partition, key) = (0, key.to_string());
    let value = command.to_string().into_bytes();
    let record = (partition, key.as_bytes(), &value[..]);
    let offset = world.append("commands", record).await;
    let value = forged(&world, partition, offset);
    let record = (partition, key.as_bytes(), &value[..]);
    world.append("outcomes", record).await;
    let (code, check) = replay(&world);
    assert_eq!(code, Some(1), "{check}");
    assert_eq!(
        (&check["result"], &check["differences"]),
        (&json!("broken"), &json!(1)),
        "{check}"
    );
    assert_eq!(check["first"]["partition"], json!(partition), "{check}");
    assert_eq!(check["first"]["command_offset"], json!(offset), "{check}");
}

#[tokio::test]
async fn a_replay_of_a_trimmed_log_says_from_where_it_is_left() {
    let world = World::new(1);
    let node = world.start("all").await;
    let account = account_in("trimmed", 0, 1);
    let (key, command) = open(&account, "open");
    let at = world.command_record(key, &command).await;
    world.outcome(at).await;
    world.audit();
    world.trim("commands").await;
    let (_, check) = replay(&world);
    assert_eq!(check["result"], "untold", "{check}");
    let why = check["untold"].as_str().unwrap();
    assert!(why.contains("was trimmed to 2"), "{why}");
    drop(node);
}
