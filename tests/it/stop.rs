//! A planned stop: whoever waits is answered, nothing is lost, and the program leaves with 0.

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{World, transfer, until};

/// Posts with a patience of its own; status and body.
async fn post(url: String, body: Value, prefer: &str) -> reqwest::Result<(StatusCode, String)> {
    // A connection of its own, so that no answer depends on when an idle one is closed.
    let client = Client::builder().pool_max_idle_per_host(0).build()?;
    let answer = client
        .post(format!("{url}/v1/transactions"))
        .header("Prefer", prefer)
        .json(&body)
        .send()
        .await?;
    Ok((answer.status(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_at_a_stop_get_202_and_their_outcome_later() {
    let world = World::new(2);
    let _sink = world.start("sink").await;
    let processor = world.start("processor").await;
    let mut ingress = world.start("ingress").await;
    ingress.open("alice").await;
    ingress
        .applied(&transfer("fund", "@world", "alice", "100"))
        .await;
    ingress.open("bob").await;

    processor.signal("STOP");
    let mut waiting = JoinSet::new();
    for n in 0..5 {
        let pay = transfer(&format!("wait-{n}"), "alice", "bob", "1");
        waiting.spawn(post(ingress.http.clone(), pay, "wait=30"));
    }
    until("all of them to wait", async || {
        let waiters = ingress.metric("steelyard_ingress_waiters", "").await;
        (waiters == 5.0).then_some(())
    })
    .await;
    assert_eq!(ingress.stop().await.code(), Some(0), "{}", ingress.said());
    for answer in waiting.join_all().await {
        let (status, body) = answer.expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        assert!(body.contains("pending"), "{body}");
    }

    processor.signal("CONT");
    let ingress = world.start("ingress").await;
    for n in 0..5 {
        let path = format!("/v1/transactions/wait-{n}");
        until(&path, async || {
            let (_, view) = ingress.get(&path).await;
            (view["status"] == "applied").then_some(())
        })
        .await;
    }
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_exits_with_0_and_loses_nothing_answered() {
    let world = World::new(2);
    let mut node = world.start("all").await;
    node.open("alice").await;
    node.applied(&transfer("fund", "@world", "alice", "1000"))
        .await;
    node.open("bob").await;

    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let url = node.http.clone();
        callers.spawn(async move {
            let mut taken = Vec::new();
            for n in 0.. {
                let reference = format!("load-{caller}-{n}");
                let pay = transfer(&reference, "alice", "bob", "0.01");
                match post(url.clone(), pay, "wait=10").await {
                    Ok((status, _)) if [201, 202].contains(&status.as_u16()) => {
                        taken.push(reference);
                    }
                    Ok((status, body)) => panic!("{status}: {body}"),
                    Err(_) => break,
                }
            }
            taken
        });
    }
    until("a load", async || {
        let applied = node.metric("steelyard_commands_total", "applied").await;
        (applied > 100.0).then_some(())
    })
    .await;
    assert_eq!(node.stop().await.code(), Some(0), "{}", node.said());
    let taken: Vec<String> = callers.join_all().await.concat();
    assert!(taken.len() > 50, "{} were taken in", taken.len());

    let node = world.start("all").await;
    for reference in taken {
        let path = format!("/v1/transactions/{reference}");
        until(&path, async || {
            let (_, view) = node.get(&path).await;
            (view["status"] == "applied").then_some(())
        })
        .await;
    }
    world.audit();
}
