//! Three brokers with two in-sync replicas at least: one after the other is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use load::kafka;
use rdkafka::consumer::Consumer;

use super::Ground;
use crate::drive::Size;
use crate::lab::Lab;
use crate::stack::{Service, Stack};
use crate::wait;
use crate::world::World;

/// How long replicas may take to be in sync again.
const IN_SYNC: Duration = Duration::from_secs(90);

pub async fn brokers(ground: &Ground) -> Result<String> {
    let settings = [
        ("STEELYARD_BROKERS", "3"),
        ("STEELYARD_KAFKA_HEAP", "-Xms256m -Xmx384m"),
    ];
    let stack = ground.stack.another("three", &settings).await?;
    let done = lose_each(ground, &stack).await;
    stack.down().await?;
    done
}

async fn lose_each(ground: &Ground, stack: &Stack) -> Result<String> {
    ensure!(stack.replicas == "3", "there are not three brokers");
    let mut lab = Lab::start(stack, &ground.program, Size::default(), ground.seed).await?;
    lab.run_for(2_000, 4_000).await;
    for service in [Service::Kafka, Service::Kafka2, Service::Kafka3] {
        stack.kill(service).await?;
        // Two of three are enough: clients are answered while the third is away.
        lab.is_alive().await?;
        lab.run_for(2_000, 5_000).await;
        stack.up().await?;
        let world = lab.world.clone();
        let in_sync = async || in_sync(&world).ok().filter(|whole| *whole).map(drop);
        wait::until("all replicas to be in sync", IN_SYNC, in_sync).await?;
    }
    let tally = lab.finish().await?;
    Ok(format!(
        "each of three brokers lost in turn, clients answered meanwhile; {tally}"
    ))
}

/// Whether every partition of the world has all its replicas in sync.
fn in_sync(world: &World) -> Result<bool> {
    let reader = kafka::reader(&world.log())?;
    let metadata = reader.fetch_metadata(None, Duration::from_secs(5))?;
    let topics = metadata.topics().iter();
    let ours = topics.filter(|topic| topic.name().starts_with(&world.name));
    let mut partitions = ours.flat_map(|topic| topic.partitions());
    Ok(partitions.all(|partition| partition.isr().len() == 3))
}
