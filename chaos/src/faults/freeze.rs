//! Processes that stand still and go on later, believing that no time has passed.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::lab::Lab;
use crate::node::Role;
use crate::wait;
use crate::world::SESSION_MS;

/// The gauge that only an owner of a partition has.
pub(super) const OWNED: &str = "steelyard_partition_epoch{";

/// An owner stops beyond its session, the other processor takes everything over, and the first
/// one goes on as if it owned its partitions still.
pub async fn processor(lab: &mut Lab) -> Result<String> {
    let node = lab.fleet.draw(Role::Processor, &mut lab.rng)?;
    let sleeper = node.name.clone();
    owns_some(lab, &sleeper).await?;
    lab.fleet.node(&sleeper)?.signal("STOP")?;
    let taken = taken_from(lab, &sleeper).await;
    lab.run_for(500, 3_000).await;
    lab.fleet.node(&sleeper)?.signal("CONT")?;
    taken?;
    Ok(format!("{sleeper} slept while the other took over"))
}

/// Waits until a processor owns something that can be taken from it.
pub(super) async fn owns_some(lab: &mut Lab, name: &str) -> Result<()> {
    let node = lab.fleet.node(name)?;
    let owns = async || (node.count(OWNED).await > 0.0).then_some(());
    let what = format!("{name} to own a partition");
    wait::until(&what, Duration::from_secs(30), owns).await
}

/// Waits until a processor stands by for everything that it does not own.
pub(super) async fn stands_by(lab: &mut Lab, name: &str) -> Result<()> {
    let all = f64::from(lab.world.partitions);
    let node = lab.fleet.node(name)?;
    let stands_by = async || {
        let whole = node.metric("steelyard_standby_whole", "").await;
        (node.count(OWNED).await + whole >= all).then_some(())
    };
    let what = format!("{name} to stand by");
    wait::until(&what, Duration::from_secs(30), stands_by).await
}

/// Waits until the processor that is not `lost` owns everything.
pub(super) async fn taken_from(lab: &mut Lab, lost: &str) -> Result<()> {
    let all = f64::from(lab.world.partitions);
    let mut others = lab.fleet.of(Role::Processor);
    let Some(other) = others.find(|node| node.name != lost) else {
        bail!("there is only one processor");
    };
    let owns = async || (other.count(OWNED).await >= all).then_some(());
    let patience = Duration::from_millis(SESSION_MS) + Duration::from_secs(30);
    wait::until("the other one to own everything", patience, owns).await
}

pub async fn sink(lab: &mut Lab) -> Result<String> {
    asleep(lab, Role::Sink).await
}

pub async fn ingress(lab: &mut Lab) -> Result<String> {
    asleep(lab, Role::Ingress).await
}

async fn asleep(lab: &mut Lab, role: Role) -> Result<String> {
    let node = lab.fleet.draw(role, &mut lab.rng)?;
    let name = node.name.clone();
    node.signal("STOP")?;
    lab.run_for(SESSION_MS + 1_000, SESSION_MS + 6_000).await;
    let node = lab.fleet.node(&name)?;
    ensure!(!node.is_ready().await, "{name} answered while it slept");
    node.signal("CONT")?;
    node.ready().await?;
    Ok(format!("{name} slept beyond its session"))
}
