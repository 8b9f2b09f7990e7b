//! The broker killed, the broker standing still, and half of the nodes without a good way to it.

use anyhow::{Context, Result, ensure};

use super::freeze;
use crate::lab::Lab;
use crate::proxy::{Mode, Proxy};
use crate::stack::Service;
use crate::world::SESSION_MS;

pub async fn kill(lab: &mut Lab) -> Result<String> {
    lab.world.stack.kill(Service::Kafka).await?;
    lab.run_for(500, 3_000).await;
    lab.world.stack.up().await?;
    Ok("the broker killed and back".to_owned())
}

/// Longer than a session: every member is thought dead when it goes on.
pub async fn stop(lab: &mut Lab) -> Result<String> {
    lab.world.stack.signal(Service::Kafka, "STOP")?;
    lab.run_for(8_000, 15_000).await;
    lab.world.stack.signal(Service::Kafka, "CONT")?;
    Ok("the broker stood still".to_owned())
}

/// Half of the nodes, one of each role, hear nothing of the broker beyond every session, and no
/// connection ends: the others take over, then the owners that were go on.
pub async fn hole(lab: &mut Lab) -> Result<String> {
    freeze::owns_some(lab, "processor-b").await?;
    link(lab)?.set(Mode::Hole);
    let taken = freeze::taken_from(lab, "processor-b").await;
    lab.run_for(SESSION_MS, SESSION_MS + 4_000).await;
    link(lab)?.set(Mode::Open);
    taken?;
    Ok("processor-b heard nothing while the other took over".to_owned())
}

/// Half of the nodes: their way is slow, cut, and lets questions through and no answers.
pub async fn links(lab: &mut Lab) -> Result<String> {
    for mode in [Mode::Slow(100), Mode::Cut, Mode::Deaf] {
        link(lab)?.set(mode);
        lab.run_for(2_000, 6_000).await;
        link(lab)?.set(Mode::Open);
        lab.run_for(500, 2_000).await;
    }
    let lost = link(lab)?.lost();
    ensure!(lost > 0, "no answer of the broker was lost");
    Ok(format!("slow, cut, and {lost} answers lost"))
}

fn link(lab: &Lab) -> Result<&Proxy> {
    let link = lab.fleet.kafka.as_ref();
    link.context("there is no way to the broker but the direct one")
}
