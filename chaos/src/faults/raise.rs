//! Rules that are raised while everything runs.

use anyhow::Result;
use steelyard::ledger::RULES_KNOWN;

use super::rolling::command;
use crate::lab::Lab;
use crate::node::{READY, Role};
use crate::wait;

/// A processor is killed, the rules of all partitions are raised, and whoever takes its partitions
/// over finds the records; transactions of before are on the wire. Everything later goes by them.
pub async fn under_load(lab: &mut Lab) -> Result<String> {
    let node = lab.fleet.draw(Role::Processor, &mut lab.rng)?;
    let name = node.name.clone();
    node.kill()?;
    let world = lab.world.clone();
    command(&world, &["rules", "--raise", &RULES_KNOWN.to_string()]).await?;
    lab.run_for(0, 4_000).await;
    let node = lab.fleet.node(&name)?;
    node.start(&world, &[])?;
    node.ready().await?;
    let mark = format!(": rules {RULES_KNOWN} as of command");
    let all = usize::from(world.partitions);
    let raised = async || {
        let shown = command(&world, &["rules"]).await.ok()?;
        (shown.matches(&mark).count() == all).then_some(())
    };
    wait::until("every partition to be raised", READY, raised).await?;
    Ok(format!(
        "{all} partitions raised to rules {RULES_KNOWN}, with {name} killed and back"
    ))
}
