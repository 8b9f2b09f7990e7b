//! Processes that die at the worst moment: between two steps that must not depend on each other.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use steelyard::telemetry::failpoint::Point;

use crate::lab::Lab;
use crate::node::Role;

/// How long a node may take to come to its point.
const REACHED: Duration = Duration::from_secs(60);
/// The signal of a process that ended itself.
const ABORTED: i32 = 6;

pub async fn after_claim(lab: &mut Lab) -> Result<String> {
    // Each of two owners of four partitions claims two of them, and a named one never more.
    at(lab, Role::Processor, Point::AfterClaim, 2).await
}

pub async fn after_publish(lab: &mut Lab) -> Result<String> {
    at(lab, Role::Processor, Point::AfterPublish, 60).await
}

pub async fn between_legs(lab: &mut Lab) -> Result<String> {
    at(lab, Role::Processor, Point::BetweenLegs, 60).await
}

pub async fn after_hot(lab: &mut Lab) -> Result<String> {
    at(lab, Role::Processor, Point::AfterHot, 60).await
}

pub async fn before_marker(lab: &mut Lab) -> Result<String> {
    at(lab, Role::Processor, Point::BeforeMarker, 20).await
}

pub async fn before_answer(lab: &mut Lab) -> Result<String> {
    at(lab, Role::Ingress, Point::BeforeAnswer, 30).await
}

pub async fn before_group_commit(lab: &mut Lab) -> Result<String> {
    at(lab, Role::Sink, Point::BeforeGroupCommit, 15).await
}

/// Restarts a node so that it dies at `point`, at one of its first `most` passes, and once more
/// without.
async fn at(lab: &mut Lab, role: Role, point: Point, most: u64) -> Result<String> {
    let pass = lab.rng.between(1, most);
    let world = lab.world.clone();
    let node = lab.fleet.draw(role, &mut lab.rng)?;
    let name = node.name.clone();
    node.kill()?;
    let fail_at = format!("{}:{pass}", point.name());
    node.start(&world, &[("STEELYARD_FAIL_AT", &fail_at)])?;
    let status = node.ended(REACHED).await?;
    ensure!(
        status.signal() == Some(ABORTED),
        "{name} ended with {status} instead of at {fail_at}; {}",
        node.tail()
    );
    lab.run_for(0, 3_000).await;
    let node = lab.fleet.node(&name)?;
    node.start(&world, &[])?;
    node.ready().await?;
    Ok(format!("{name} died at {fail_at}"))
}
