//! Nodes that come and go: restarts one after the other, and owners that nobody appointed.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::freeze::OWNED;
use crate::lab::Lab;
use crate::node::{Node, Role};
use crate::wait;
use crate::world::World;

/// Restarts in a row, and the time between them.
const RESTARTS: usize = 6;
const EVERY_MS: u64 = 2_000;

/// Every two seconds one node is restarted, planned or not, whether the one before is back or not.
pub async fn rolling(lab: &mut Lab) -> Result<String> {
    let world = lab.world.clone();
    let mut planned = 0;
    for at in 0..RESTARTS {
        lab.run_for(EVERY_MS, EVERY_MS).await;
        let nodes = lab.fleet.nodes.len();
        let hard = lab.rng.chance(0.3);
        let node = &mut lab.fleet.nodes[at % nodes];
        if hard {
            node.kill()?;
        } else {
            planned += 1;
            node.stop().await?;
        }
        node.start(&world, &[])?;
    }
    lab.fleet.ready().await?;
    Ok(format!("{RESTARTS} restarts, {planned} of them planned"))
}

/// A processor of another group owns every partition too: two owners at once, by force.
pub async fn second_owner(lab: &mut Lab) -> Result<String> {
    let world = lab.world.clone();
    let zombies = |node: &mut Node| node.said().matches("a later owner").count();
    let before: usize = lab.fleet.of(Role::Processor).map(zombies).sum();
    beside(lab, &world, "rogue").await?;
    let after: usize = lab.fleet.of(Role::Processor).map(zombies).sum();
    ensure!(after > before, "no owner has met the second one");
    Ok("a second group owned every partition beside the first".to_owned())
}

/// A processor of a group of its own, of `world`'s program, owns every partition for a while.
pub(super) async fn beside(lab: &mut Lab, world: &World, name: &str) -> Result<()> {
    let mut rogue = Node::new(world, Role::Processor, name, false, &mut lab.rng).await?;
    let group = format!("group.id={name}");
    rogue.start(world, &[("STEELYARD_KAFKA_PROPERTIES", &group)])?;
    let all = f64::from(world.partitions);
    let owning = async || (rogue.count(OWNED).await >= all).then_some(());
    wait::until(
        "the rogue to own everything",
        Duration::from_secs(40),
        owning,
    )
    .await?;
    lab.run_for(6_000, 10_000).await;
    rogue.kill()
}
