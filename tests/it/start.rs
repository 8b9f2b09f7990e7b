//! The program itself: what it refuses to start on, and how it says so.

use std::process::{Command, Output};

use crate::support::broker::TestLog;

fn steelyard(log: &TestLog, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steelyard"));
    command
        .args(args)
        .args(["--kafka-brokers", &log.options.kafka_brokers])
        .args(["--topic-prefix", &log.options.topic_prefix])
        .args(["--partitions", "1", "--replication-factor", "1"]);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_program_applies_checks_and_refuses() {
    let log = TestLog::new(1);
    let missing = steelyard(&log, &["topics", "check"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stdout).contains("commands: is missing"));

    let applied = steelyard(&log, &["topics", "apply"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    let checked = steelyard(&log, &["topics", "check"]);
    assert_eq!(checked.status.code(), Some(0));

    log.set(&log.names.snapshots, "cleanup.policy", "delete")
        .await;
    let drift = "snapshots: cleanup.policy is delete, compact is declared (critical)";
    let checked = steelyard(&log, &["topics", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stdout).contains(drift));
    let started = steelyard(&log, &["sink", "--ops-listen", "127.0.0.1:0"]);
    assert_eq!(started.status.code(), Some(1));
    assert!(
        text(&started.stderr).contains(drift),
        "{}",
        text(&started.stderr)
    );
    log.drop_topics().await;
}
