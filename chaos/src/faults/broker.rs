//! The broker killed, and the broker standing still.

use anyhow::Result;

use crate::lab::Lab;
use crate::stack::Service;

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
