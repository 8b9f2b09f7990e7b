//! Owners with wrong clocks: nothing that is decided may depend on them.

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::node::Role;

/// How far clocks are off, in seconds.
const OFF: i32 = 3_600;

/// One processor is an hour ahead, the other an hour behind; holds expire by the log's time.
pub async fn wrong(lab: &mut Lab) -> Result<String> {
    let world = lab.world.clone();
    for (node, off) in lab.fleet.of(Role::Processor).zip([OFF, -OFF]) {
        node.kill()?;
        node.start(&world, &[("STEELYARD_CLOCK_OFF", &off.to_string())])?;
    }
    lab.fleet.ready().await?;
    lab.is_alive().await?;
    lab.run_for(6_000, 10_000).await;
    let mut ticks = Vec::new();
    for node in lab.fleet.of(Role::Processor) {
        let written = node.metric("steelyard_ticks_total", "").await;
        let name = &node.name;
        ensure!(written > 0.0, "{name} has let no hold expire");
        ticks.push(format!("{name} {written}"));
    }
    for node in lab.fleet.of(Role::Processor) {
        node.kill()?;
        node.start(&world, &[])?;
    }
    lab.fleet.ready().await?;
    Ok(format!(
        "clocks an hour ahead and behind, ticks written: {}",
        ticks.join(", ")
    ))
}
