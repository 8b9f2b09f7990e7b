//! Processes that end without a word.

use anyhow::Result;

use crate::lab::Lab;
use crate::node::Role;

pub async fn processor(lab: &mut Lab) -> Result<String> {
    role(lab, Role::Processor).await
}

pub async fn sink(lab: &mut Lab) -> Result<String> {
    role(lab, Role::Sink).await
}

pub async fn ingress(lab: &mut Lab) -> Result<String> {
    role(lab, Role::Ingress).await
}

/// Kills one node of a role; it comes back within its session, or after it.
async fn role(lab: &mut Lab, role: Role) -> Result<String> {
    let node = lab.fleet.draw(role, &mut lab.rng)?;
    let name = node.name.clone();
    node.kill()?;
    lab.run_for(0, 6_000).await;
    let world = lab.world.clone();
    let node = lab.fleet.node(&name)?;
    node.start(&world, &[])?;
    node.ready().await?;
    Ok(format!("{name} killed and back"))
}
