//! Commands straight from a Kafka producer.

use serde_json::{Value, json};

use crate::support::kafka::{Sent, header, json_of};
use crate::support::tools::kafka_classpath;
use crate::support::{World, account_in, balance_id, until};

fn open(account: &str) -> Value {
    json!({"reference": format!("open-{account}"), "type": "open", "ledger": "main",
           "open": {"account": account, "asset": "USD"}})
}

fn transfer(reference: &str, source: &str, destination: &str, amount: &str) -> Value {
    json!({"reference": reference, "type": "transfer", "ledger": "main", "postings": [
        {"source": balance_id(source), "destination": balance_id(destination),
         "amount": amount, "asset": "USD"}]})
}

async fn decided(world: &World, decider: &str, command: &Value) -> Value {
    let at = world.command_record(balance_id(decider), command).await;
    world.outcome(at).await
}

#[tokio::test]
async fn money_moves_within_and_across_partitions() {
    let world = World::new(2);
    let _node = world.start("all").await;
    let home = account_in("home", 0, 2);
    let near = account_in("near", 0, 2);
    let far = account_in("far", 1, 2);
    for account in [&home, &near, &far] {
        assert_eq!(
            decided(&world, account, &open(account)).await["status"],
            "applied"
        );
    }
    let fund = transfer("fund", "@world", &home, "100.00");
    let outcome = decided(&world, &home, &fund).await;
    assert!(
        ["applied", "forwarded"].contains(&outcome["status"].as_str().unwrap()),
        "{outcome}"
    );
    until("the money to arrive", async || {
        let spent = transfer("probe", &home, &near, "0.01");
        let spent = Value::Object(spent.as_object().unwrap().clone());
        let records = world.records(&world.topic("outcomes"), Some(0));
        let arrived = records.iter().filter_map(json_of).any(|body| {
            let entries = body["entries"].as_array().cloned().unwrap_or_default();
            entries.iter().any(|entry| {
                entry["balance"] == balance_id(&home).to_string() && entry["posted"] == "100.00"
            })
        });
        arrived.then_some(spent)
    })
    .await;
    let local = decided(&world, &home, &transfer("local", &home, &near, "30.00")).await;
    assert_eq!(local["status"], "applied", "{local}");
    assert_eq!(local["entries"].as_array().unwrap().len(), 2);
    let walked = decided(&world, &home, &transfer("walk", &home, &far, "20")).await;
    assert_eq!(walked["status"], "forwarded", "{walked}");
    let again = decided(&world, &home, &transfer("local", &home, &near, "30")).await;
    assert_eq!(again["status"], "applied", "{again}");
    assert_eq!(again["replay_of"], local["offset"]);
    let other = decided(&world, &home, &transfer("local", &home, &near, "31")).await;
    assert_eq!(other["reason"], "reference-reused", "{other}");
    let poor = decided(&world, &home, &transfer("poor", &home, &near, "50.01")).await;
    assert_eq!(poor["reason"], "insufficient-funds", "{poor}");
    world.audit();
}

#[tokio::test]
async fn a_reply_comes_with_springs_headers() {
    let world = World::new(2);
    world.make_topic("answers", 3).await;
    let _node = world.start("processor").await;
    let account = account_in("asker", 0, 2);
    let command = open(&account).to_string();
    let correlation = [7_u8, 0, 255, 3];
    let key = balance_id(&account).to_string();
    let answers = world.topic("answers");
    world
        .send(Sent {
            key: Some(key.as_bytes()),
            value: Some(command.as_bytes()),
            headers: vec![
                ("kafka_correlationId", correlation.to_vec()),
                ("kafka_replyTopic", answers.clone().into_bytes()),
                ("kafka_replyPartition", 2_i32.to_be_bytes().to_vec()),
            ],
            ..Sent::default()
        })
        .await;
    let reply = until("the reply", async || world.records(&answers, Some(2)).pop()).await;
    assert_eq!(
        header(&reply, "kafka_correlationId"),
        Some(&correlation[..])
    );
    assert_eq!(json_of(&reply).unwrap()["status"], "applied");
    world.audit();
}

#[tokio::test]
async fn a_java_client_lands_where_we_expect_and_gets_its_reply() {
    let Some(classpath) = kafka_classpath() else {
        return;
    };
    let world = World::new(2);
    world.make_topic("answers", 2).await;
    let _node = world.start("processor").await;
    for partition in 0..2 {
        let account = account_in("java", partition, 2);
        let output = std::process::Command::new("java")
            .args(["-cp", &classpath])
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/it/clients/Requester.java"
            ))
            .args([
                &world.kafka,
                &world.topic("commands"),
                &world.topic("answers"),
            ])
            .args([balance_id(&account).to_string(), open(&account).to_string()])
            .output()
            .expect("java runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let landed = lines.next().unwrap_or_default();
        assert_eq!(
            landed,
            partition.to_string(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let reply: Value = serde_json::from_str(lines.next().unwrap_or_default()).unwrap();
        assert_eq!(reply["status"], "applied", "{reply}");
    }
    world.audit();
}
