//! Crowds: thousands of callers at once, who say nothing or wait, and what they cost a process.

use std::process::Command;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::support::node::Node;
use crate::support::{World, transfer, until};

/// How many connections there may be, by default.
const CONNECTIONS: usize = 12_000;
/// How many callers may wait for an outcome, by default.
const WAITERS: usize = 10_000;
/// How many of them a stop is tried with.
const LET_GO: usize = 1_000;
/// The most memory that one who says nothing may cost, and one who waits, in kilobytes.
const QUIET_KB: u64 = 64;
const WAITING_KB: u64 = 64;
/// The broker may take its time over a crowd.
const PATIENT: (&str, &str) = ("STEELYARD_PUBLISH_TIMEOUT", "30s");
/// Files of a process besides its crowd.
const OTHERS: u64 = 1_000;
/// One crowd at a time: all of them are connections of this process.
static PLACE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn twelve_thousand_who_say_nothing_cost_little_and_are_sent_away() {
    let _place = PLACE.lock().await;
    allow_files(CONNECTIONS);
    let world = World::new(1);
    let node = world.launch("ingress", &[]);
    node.ready().await;
    let idle = resident_kb(&node);
    let address = node.http.strip_prefix("http://").expect("an address");
    let open = async || node.metric("steelyard_ingress_connections", "").await;
    let mut quiet = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"GET /livez").await.expect("it is sent");
        quiet.push(stream);
    }
    until("all of them to be accepted", async || {
        (open().await > CONNECTIONS as f64 * 0.9).then_some(())
    })
    .await;
    let each = resident_kb(&node).saturating_sub(idle) / CONNECTIONS as u64;
    println!("{each} KB for each of {CONNECTIONS} who say nothing");
    assert!(each < QUIET_KB, "{each} KB for each who says nothing");
    // The head's time-out ends them, and who comes then is served.
    let (status, _) = node.get("/livez").await;
    assert_eq!(status, 200);
    until("the quiet ones to be gone", async || {
        (open().await < CONNECTIONS as f64 * 0.1).then_some(())
    })
    .await;
}

/// Sends a transaction on a connection of its own, and does not read the answer yet.
async fn waiting(address: String, n: usize) -> TcpStream {
    let body = transfer(&format!("wait-{n}"), "@world", "alice", "1").to_string();
    let request = format!(
        "POST /v1/transactions HTTP/1.1\r\nhost: x\r\nprefer: wait=30\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    stream
}

/// The head of the answer.
async fn head(mut stream: TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn all_wait(node: &Node, callers: usize) {
    until("all of them to wait", async || {
        let waiters = node.metric("steelyard_ingress_waiters", "").await;
        (waiters == callers as f64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_wait_and_one_more_is_told_so() {
    let _place = PLACE.lock().await;
    allow_files(WAITERS);
    let world = World::new(1);
    let node = world.launch("ingress", &[PATIENT]);
    node.ready().await;
    let idle = resident_kb(&node);
    let address = node.http.strip_prefix("http://").expect("an address");
    let mut callers = JoinSet::new();
    for n in 0..WAITERS {
        callers.spawn(waiting(address.to_owned(), n));
    }
    let callers = callers.join_all().await;
    all_wait(&node, WAITERS).await;
    let more = transfer("one-more", "@world", "alice", "1");
    let request = node.client.post(format!("{}/v1/transactions", node.http));
    world.ending.moved();
    let refused = request.json(&more).send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["type"], "/problems/backpressure", "{problem}");
    let each = resident_kb(&node).saturating_sub(idle) / WAITERS as u64;
    println!("{each} KB for each of {WAITERS} who wait");
    assert!(each < WAITING_KB, "{each} KB for each who waits");

    for base in [&node.http, &node.ops] {
        let alive = node.client.get(format!("{base}/livez")).send().await;
        assert_eq!(alive.expect("an answer").status(), 200, "{base}");
    }
    // Where Redis was too slow for a crowd, claims are skipped for a moment.
    until("a reader to be answered", async || {
        let (unknown, _) = node.get("/v1/transactions/nobody-sent-this").await;
        (unknown == 404).then_some(())
    })
    .await;

    let mut answers = JoinSet::new();
    for caller in callers {
        answers.spawn(head(caller));
    }
    for answer in answers.join_all().await {
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert!(
            answer.contains("\r\nlocation: /v1/transactions/wait-"),
            "{answer}"
        );
    }
    let _node = world.start("all").await;
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_thousand_who_wait_go_with_an_answer() {
    let _place = PLACE.lock().await;
    allow_files(LET_GO);
    let world = World::new(1);
    let mut node = world.launch("ingress", &[PATIENT]);
    node.ready().await;
    let address = node
        .http
        .strip_prefix("http://")
        .expect("an address")
        .to_owned();
    let mut callers = JoinSet::new();
    for n in 0..LET_GO {
        callers.spawn(waiting(address.clone(), n));
    }
    let callers = callers.join_all().await;
    all_wait(&node, LET_GO).await;
    node.signal("TERM");
    let mut answers = JoinSet::new();
    for caller in callers {
        answers.spawn(head(caller));
    }
    for answer in answers.join_all().await {
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.said());
    let _node = world.start("all").await;
    world.audit();
}

/// Memory that the process holds.
fn resident_kb(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()));
    let status = status.expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("its memory")
}

/// Sees to it that this process and those that it starts may each have a crowd's connections open.
fn allow_files(crowd: usize) {
    let need = crowd as u64 + OTHERS;
    let limits = std::fs::read_to_string("/proc/self/limits").expect("our limits");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let words = line.into_iter().flat_map(str::split_whitespace);
    let mut numbers = words.filter_map(|word| word.parse::<u64>().ok());
    let (soft, hard) = (numbers.next(), numbers.next());
    if soft.is_some_and(|soft| soft >= need) {
        return;
    }
    let hard = hard.unwrap_or(need).max(need);
    let raised = Command::new("prlimit")
        .arg(format!("--pid={}", std::process::id()))
        .arg(format!("--nofile={need}:{hard}"))
        .status();
    assert!(
        raised.is_ok_and(|status| status.success()),
        "{need} files have to be open at once: raise `ulimit -n`"
    );
}
