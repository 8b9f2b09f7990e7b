//! Producers that are not ours: the README's examples as they stand there, and clients that put
//! their keys elsewhere.

use std::io::Write;
use std::process::{Command, Stdio};

use rdkafka::Message;
use serde_json::{Value, json};
use steelyard::ledger::{BalanceId, partition_of};

use crate::support::kafka::header;
use crate::support::tools::there_is;
use crate::support::{World, balance_id, transfer, until};

/// The README's examples in `language` of the chapter on Kafka, led to this world.
fn examples(world: &World, language: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, chapter) = readme.split_once("\n## Kafka by example\n").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let fence = format!("```{language}\n");
    let blocks = chapter.split(&fence).skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    blocks
        .map(|block| {
            block
                .replace("steelyard.", &format!("{}.", world.name))
                .replace("127.0.0.1:9092", &world.kafka)
        })
        .collect()
}

fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

/// What the README has done before it comes to Kafka.
async fn prepared(world: &World) -> crate::support::node::Node {
    let node = world.start("all").await;
    node.open("alice").await;
    node.open("bob").await;
    let deposit = transfer("deposit-1", "@world", "alice", "100.00");
    node.applied(&deposit).await;
    node
}

#[tokio::test]
async fn the_python_example_pays() {
    let python = std::env::var("STEELYARD_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut look = Command::new(&python);
    if !there_is(
        look.args(["-c", "import kafka"]),
        "Python with kafka-python",
    ) {
        return;
    }
    let world = World::new(4);
    let node = prepared(&world).await;
    for example in examples(&world, "python") {
        run(Command::new(&python).arg("-"), &example);
    }
    let paid = world.all_decided(&["order-8412".to_owned()]).await;
    assert_eq!(paid[0]["status"], "applied", "{paid:?}");
    let misrouted = node.metric("steelyard_misrouted_total", "").await;
    assert_eq!(misrouted, 0.0, "it lands where Java does");
    world.audit();
}

#[tokio::test]
async fn the_shell_examples_pay_and_show_outcomes() {
    if !there_is(Command::new("kcat").arg("-V"), "kcat") {
        return;
    }
    let world = World::new(4);
    let node = prepared(&world).await;
    let mut examples = examples(&world, "sh");
    assert_eq!(examples.len(), 2, "one that writes, one that reads");
    let read = examples.pop().unwrap();
    let write = examples.pop().unwrap();
    let mut shell = Command::new("bash");
    run(shell.arg("-eu").env("KAFKA", &world.kafka), &write);
    let paid = world.all_decided(&["order-8413".to_owned()]).await;
    assert_eq!(paid[0]["status"], "applied", "{paid:?}");
    let misrouted = node.metric("steelyard_misrouted_total", "").await;
    assert_eq!(misrouted, 0.0, "it lands where Java does");
    let mut shell = Command::new("bash");
    let shown = run(shell.arg("-eu").env("KAFKA", &world.kafka), &read);
    assert!(shown.contains("\"prev\""), "{shown}");
    world.audit();
}

/// Without the partitioner's name, kcat puts keys where librdkafka does: by CRC32.
#[tokio::test]
async fn kcats_own_partitioner_costs_a_hop_and_nothing_else() {
    if !there_is(Command::new("kcat").arg("-V"), "kcat") {
        return;
    }
    let world = World::new(4);
    let node = world.start("all").await;
    let accounts: Vec<String> = (0..8).map(|n| format!("crc-{n}")).collect();
    let opened: Vec<String> = accounts.iter().map(|name| format!("open-{name}")).collect();
    let lines: String = accounts
        .iter()
        .zip(&opened)
        .map(|(account, reference)| {
            let open = json!({"reference": reference, "type": "open", "ledger": "main",
                "open": {"account": account, "asset": "USD"}});
            format!("{}|{open}\n", balance_id(account))
        })
        .collect();
    let topic = world.topic("commands");
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", &world.kafka, "-t", &topic, "-K", "|"]);
    run(&mut kcat, &lines.repeat(2));

    for outcome in world.all_decided(&opened).await {
        assert_eq!(outcome["status"], "applied", "{outcome}");
    }
    let records = world.records(&topic, None);
    let sent = records
        .iter()
        .filter(|record| header(record, "steelyard-leg").is_none());
    let astray = sent.filter(|record| {
        let key = std::str::from_utf8(record.key().unwrap_or_default()).unwrap_or_default();
        let id = uuid::Uuid::parse_str(key).ok().map(BalanceId::new);
        id.is_some_and(|id| i32::from(partition_of(id, 4)) != record.partition())
    });
    let astray = astray.count();
    assert!(astray > 0, "CRC32 and murmur2 differ for some of them");
    until("all of them to be counted", async || {
        let counted = node.metric("steelyard_misrouted_total", "").await;
        (counted == astray as f64).then_some(())
    })
    .await;
    let topic = world.topic("outcomes");
    until("every repeat to be decided", async || {
        let outcomes = world.records(&topic, None);
        let bodies = outcomes
            .iter()
            .filter_map(|record| serde_json::from_slice::<Value>(record.payload()?).ok())
            .filter(|body| body["status"] == "applied" && body["type"] == "open");
        let bodies: Vec<Value> = bodies
            .filter(|body| opened.iter().any(|name| body["reference"] == *name))
            .collect();
        let fresh = bodies.iter().filter(|body| body["replay_of"].is_null());
        (bodies.len() == 16).then(|| assert_eq!(fresh.count(), 8, "each is opened once"))
    })
    .await;
    world.audit();
}
