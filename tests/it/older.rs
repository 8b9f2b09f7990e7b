//! A log and tables that an older binary left, taken over by this one.
//!
//! `tests/golden/older` has one directory for each release: its topics and its tables, as they
//! were at rest. They are never written again. `STEELYARD_BLESS=1` makes the directory of a
//! release that has none yet.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rdkafka::Message;
use rdkafka::message::{Header, Headers as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::migrate::Migrator;

use crate::support::node::Node;
use crate::support::{PATIENCE, World, account_in, balance_id, transfer};

/// What there is of each topic; `replies` are of nobody any more.
const TOPICS: [&str; 4] = ["commands", "outcomes", "snapshots", "dead-letters"];
/// The tables, in an order in which they can be filled.
const TABLES: [&str; 5] = [
    "balances",
    "transactions",
    "entries",
    "transaction_references",
    "sink_positions",
];
/// The last migration of each release.
const RELEASES: [(&str, i64); 1] = [("0.1.0", 1)];

#[derive(Serialize, Deserialize)]
struct Line {
    partition: i32,
    key: String,
    value: String,
    /// Names, and values in hex.
    headers: Vec<(String, String)>,
}

fn folder(release: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden/older").join(release)
}

fn line(record: &OwnedMessage) -> String {
    let text = |bytes: Option<&[u8]>| {
        String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("plain text")
    };
    let headers = record.headers().into_iter().flat_map(|all| all.iter());
    let line = Line {
        partition: record.partition(),
        key: text(record.key()),
        value: text(record.payload()),
        headers: headers
            .map(|it| (it.key.to_owned(), hex::encode(it.value.unwrap_or_default())))
            .collect(),
    };
    serde_json::to_string(&line).expect("JSON")
}

/// The accounts of the story, home in partition 0 and far in 1.
fn accounts() -> [String; 3] {
    [("home", 0), ("near", 0), ("far", 1)].map(|(stem, at)| account_in(stem, at, 2))
}

/// Everything that leaves a trace: money within and across partitions, refusals, a change of
/// limits, a dead letter.
async fn story(world: &World, node: &Node) {
    let [home, near, far] = accounts();
    for account in [&home, &near, &far] {
        node.open(account).await;
    }
    node.applied(&transfer("fund", "@world", &home, "100"))
        .await;
    node.applied(&transfer("local", &home, &near, "30")).await;
    let mut noted = transfer("walk", &home, &far, "20.50");
    noted["description"] = json!("a walk with a note");
    noted["metadata"] = json!({"who": "an older binary"});
    node.applied(&noted).await;
    for (reference, from, to) in [("poor", &near, &home), ("poor-walk", &far, &near)] {
        let (status, _) = node
            .post("/v1/transactions", &transfer(reference, from, to, "500"))
            .await;
        assert_eq!(status, 422, "{reference}");
    }
    let credit = json!({"reference": "credit", "asset": "USD", "floor": "-10.00"});
    let path = format!("{}/v1/balances/{}", node.http, balance_id(&near));
    let changed = node.client.patch(path).json(&credit).send().await;
    assert_eq!(changed.expect("an answer").status(), 200);
    let broken = json!({"reference": "?"});
    let at = world.command_record(balance_id(&home), &broken).await;
    world.outcome(at).await;
}

/// What the story leaves of each account.
const LEFT: [&str; 3] = ["49.50", "30.00", "20.50"];

/// Writes the directory of this release.
async fn bless(release: &str) {
    let world = World::new(2);
    let mut node = world.start("all").await;
    story(&world, &node).await;
    world.audit();
    assert_eq!(node.stop().await.code(), Some(0), "{}", node.said());
    let folder = folder(release);
    std::fs::create_dir_all(&folder).expect("a folder");
    for topic in TOPICS {
        let records = world.records(&world.topic(topic), None);
        let mut text = String::new();
        for record in &records {
            let _ = writeln!(text, "{}", line(record));
        }
        std::fs::write(folder.join(format!("{topic}.jsonl")), text).expect("a file");
    }
    let pool = world.postgres().await;
    for table in TABLES {
        let query = format!("select row_to_json(t)::text from {table} t order by 1");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(&pool)
            .await
            .expect(table);
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(folder.join(format!("{table}.jsonl")), text).expect("a file");
    }
}

/// Puts the release's records where they were.
async fn log(world: &World, folder: &Path) {
    let producer: FutureProducer = world.config().create().expect("a producer");
    for topic in TOPICS {
        let text = std::fs::read_to_string(folder.join(format!("{topic}.jsonl"))).expect(topic);
        let topic = world.topic(topic);
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).expect("a line");
            let headers = line
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |all, (key, value)| {
                    let value = Some(value);
                    all.insert(Header { key, value })
                });
            let record = FutureRecord::to(&topic).partition(line.partition);
            let record = record.key(&line.key).payload(&line.value).headers(headers);
            producer.send(record, PATIENCE).await.expect("it is taken");
        }
    }
}

/// Makes the release's tables, and fills them.
async fn tables(world: &World, folder: &Path, last: i64) {
    let pool = world.postgres().await;
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let all = Migrator::new(all).await.expect("the migrations");
    let then: Vec<_> = all
        .migrations
        .iter()
        .filter(|migration| migration.version <= last)
        .cloned()
        .collect();
    let mut then = Migrator {
        migrations: Cow::Owned(then),
        ..Migrator::DEFAULT
    };
    then.create_schema(world.name.clone());
    then.run(&pool).await.expect("the tables of then");
    for table in TABLES {
        let text = std::fs::read_to_string(folder.join(format!("{table}.jsonl"))).expect(table);
        for row in text.lines() {
            if ["transactions", "entries"].contains(&table) {
                let at: Value = serde_json::from_str(row).expect("a row");
                sqlx::query("select ensure_month($1::text::timestamptz)")
                    .bind(at["at"].as_str())
                    .execute(&pool)
                    .await
                    .expect("a month");
            }
            let query = format!(
                "insert into {table} select * from json_populate_record(null::{table}, $1::text::json)"
            );
            sqlx::query(sqlx::AssertSqlSafe(query))
                .bind(row)
                .execute(&pool)
                .await
                .expect(table);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_older_binaries_left_is_taken_over() {
    let (latest, _) = RELEASES[RELEASES.len() - 1];
    if std::env::var_os("STEELYARD_BLESS").is_some() && !folder(latest).exists() {
        bless(latest).await;
    }
    for (release, migration) in RELEASES {
        let world = World::empty(2).await;
        let folder = folder(release);
        log(&world, &folder).await;
        tables(&world, &folder, migration).await;
        world.run(&["topics", "check"]);
        world.run(&["migrate"]);
        let node = world.start("all").await;
        for (account, left) in accounts().iter().zip(LEFT) {
            let path = format!("/v1/balances/{}", balance_id(account));
            let (_, balance) = node.get(&path).await;
            assert_eq!(balance["posted"], left, "{release}: {balance}");
        }
        let (_, walk) = node.get("/v1/transactions/walk").await;
        assert_eq!(walk["status"], "applied", "{release}: {walk}");
        assert_eq!(walk["metadata"]["who"], "an older binary", "{walk}");
        let [home, near, far] = accounts();
        for (n, (from, to)) in [(&home, &near), (&near, &far), (&far, &home)]
            .iter()
            .enumerate()
        {
            node.applied(&transfer(&format!("newer-{n}"), from, to, "1"))
                .await;
        }
        world.audit();
    }
}
