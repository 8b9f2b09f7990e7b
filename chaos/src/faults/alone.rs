//! What a log does not survive, or must not be mixed with: each in a world of its own, where
//! programs have to refuse and say why.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Ground;
use crate::drive::Size;
use crate::lab::Lab;
use crate::node::{Node, READY, Role};
use crate::topics;
use crate::wait;
use crate::world::World;

/// How long a program may take to refuse.
const REFUSES: Duration = Duration::from_secs(60);

async fn small(ground: &Ground) -> Result<Lab> {
    let size = Size {
        accounts: 8,
        clients: 2,
        think: Duration::from_millis(50),
    };
    let mut lab = Lab::start(&ground.stack, &ground.program, size, ground.seed).await?;
    lab.run_for(2_000, 4_000).await;
    Ok(lab)
}

/// Starts every role once more: each must end by itself, and name `why`.
async fn all_refuse(lab: &mut Lab, why: &str) -> Result<()> {
    let world = lab.world.clone();
    for node in &mut lab.fleet.nodes {
        if node.has_ended().is_none() {
            node.kill()?;
        } else {
            node.ended(REFUSES).await?;
        }
    }
    for node in &mut lab.fleet.nodes {
        let before = node.said().len();
        node.start(&world, &[])?;
        let status = node.ended(REFUSES).await?;
        let said = node.said();
        let said = said.get(before..).unwrap_or_default();
        ensure!(!status.success(), "{} started in spite of it", node.name);
        ensure!(
            said.contains(why),
            "{} does not say {why}: {said}",
            node.name
        );
    }
    Ok(())
}

pub async fn partitions_added(ground: &Ground) -> Result<String> {
    let mut lab = small(ground).await?;
    let topic = lab.world.log().topics().commands;
    let more = usize::from(lab.world.partitions) + 2;
    topics::add_partitions(&lab.world, &topic, more).await?;
    lab.run_for(1_000, 2_000).await;
    all_refuse(&mut lab, "the count is frozen").await?;
    Ok(format!("{topic} has {more} partitions, and nothing starts"))
}

pub async fn topic_recreated(ground: &Ground) -> Result<String> {
    let mut lab = small(ground).await?;
    let topic = lab.world.log().topics().commands;
    topics::recreate(&lab.world, &topic).await?;
    lab.run_for(1_000, 2_000).await;
    all_refuse(&mut lab, "genesis record").await?;
    Ok(format!(
        "{topic} is another one of this name, and nothing starts"
    ))
}

/// A second log is pointed at the first one's Redis by mistake.
pub async fn two_logs_one_redis(ground: &Ground) -> Result<String> {
    let mut lab = small(ground).await?;
    let mut other = World::new(&ground.stack, ground.program.clone())?;
    other.redis_prefix.clone_from(&lab.world.redis_prefix);
    let mut stranger = Node::new(&other, Role::Processor, "stranger", false, &mut lab.rng).await?;
    stranger.start(&other, &[])?;
    let says = async || {
        let checks = stranger.checks().await;
        checks.contains("another log").then_some(())
    };
    wait::until("the stranger to say why it waits", READY, says).await?;
    lab.is_alive().await?;
    stranger.kill()?;
    let tally = lab.finish().await?;
    Ok(format!(
        "the second one waits and says why; of the first: {tally}"
    ))
}
