//! Compaction that runs ahead of the sinks.

use std::time::Duration;

use anyhow::Result;
use rdkafka::Message;
use steelyard::log::reader::Reader;

use crate::lab::Lab;
use crate::node::Role;
use crate::topics;
use crate::wait;
use crate::world::World;

/// How long the cleaner may take to come round.
const CLEANED: Duration = Duration::from_secs(60);

/// The sinks are away while snapshots are compacted before they have read them, and an owner that
/// believes itself in office publishes late.
pub async fn ahead(lab: &mut Lab) -> Result<String> {
    let world = lab.world.clone();
    let topic = world.log().topics().snapshots;
    for node in lab.fleet.of(Role::Sink) {
        node.kill()?;
    }
    let settings = topics::declared(&world, &topic)?;
    let mut eager = settings.clone();
    for (name, value) in [
        ("min.compaction.lag.ms", "0"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ] {
        eager.insert(name.to_owned(), value.to_owned());
    }
    topics::set(&world, &topic, &eager).await?;
    let sleeper = lab.fleet.draw(Role::Processor, &mut lab.rng)?.name.clone();
    lab.fleet.node(&sleeper)?.signal("STOP")?;
    let before = holes_of(&world, &topic).await?;
    lab.run_for(8_000, 10_000).await;
    lab.fleet.node(&sleeper)?.signal("CONT")?;
    let cleaned = wait::until("snapshots to be compacted", CLEANED, async || {
        let now = holes_of(&world, &topic).await.ok()?;
        now.checked_sub(before).filter(|more| *more > 0)
    });
    let cleaned = cleaned.await;
    topics::set(&world, &topic, &settings).await?;
    for node in lab.fleet.of(Role::Sink) {
        node.start(&world, &[])?;
    }
    lab.fleet.ready().await?;
    let holes = cleaned?;
    Ok(format!(
        "{holes} more snapshots compacted away while the sinks were gone"
    ))
}

async fn holes_of(world: &World, topic: &str) -> Result<u64> {
    let (world, topic) = (world.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || holes(&world, &topic)).await?
}

/// How many offsets of a topic hold no record any more.
fn holes(world: &World, topic: &str) -> Result<u64> {
    let reader = Reader::open(&world.log())?;
    let mut holes = 0;
    for (partition, (low, high)) in (0..).zip(reader.all_bounds(topic)?) {
        let mut next = low;
        reader.read(topic, partition, low, high, |message| {
            let offset = u64::try_from(message.offset()).unwrap_or(next);
            holes += offset.saturating_sub(next);
            next = offset + 1;
            true
        })?;
    }
    Ok(holes)
}
