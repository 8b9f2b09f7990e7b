//! What is done to topics behind everybody's back.

use anyhow::{Result, anyhow};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;
use steelyard::log::{admin, topics};
use uuid::Uuid;

use crate::wait;
use crate::world::World;

/// How long the controller may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn admin(world: &World) -> Result<AdminClient<DefaultClientContext>> {
    Ok(world.log().client().create()?)
}

fn patient() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

fn options(world: &World) -> Result<topics::Options> {
    Ok(topics::Options {
        partitions: Some(world.partitions),
        replication_factor: Some(world.stack.replicas.parse()?),
    })
}

/// The log's identity: who knows it can compute the id of a transaction from its place.
pub async fn generation(world: &World) -> Result<Uuid> {
    let verified = admin::verify(&world.log(), &options(world)?).await?;
    Ok(verified.generation)
}

/// The settings that a topic is declared with.
pub fn declared(world: &World, topic: &str) -> Result<BTreeMap<String, String>> {
    let declared = topics::declared(&world.log().topics(), &options(world)?);
    let found = declared.into_iter().find(|it| it.topic == topic);
    let found = found.ok_or_else(|| anyhow!("{topic} is not declared"))?;
    Ok(found.settings)
}

/// Sets a topic's settings, all of them.
pub async fn set(world: &World, topic: &str, settings: &BTreeMap<String, String>) -> Result<()> {
    let config = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let config = settings
        .iter()
        .fold(config, |config, (name, value)| config.set(name, value));
    let answers = admin(world)?.alter_configs([&config], &patient()).await?;
    for answer in answers {
        answer.map_err(|(_, code)| anyhow!("{topic} keeps its settings: {code}"))?;
    }
    Ok(())
}

pub async fn add_partitions(world: &World, topic: &str, count: usize) -> Result<()> {
    let new = NewPartitions::new(topic, count);
    let answers = admin(world)?.create_partitions([&new], &patient()).await?;
    for answer in answers {
        answer.map_err(|(_, code)| anyhow!("{topic} gets no partitions: {code}"))?;
    }
    Ok(())
}

/// Deletes a topic and makes one of the same name and settings.
pub async fn recreate(world: &World, topic: &str) -> Result<()> {
    let admin = admin(world)?;
    for answer in admin.delete_topics(&[topic], &patient()).await? {
        answer.map_err(|(_, code)| anyhow!("{topic} is not deleted: {code}"))?;
    }
    let settings = declared(world, topic)?;
    let replicas = world.stack.replicas.parse()?;
    let partitions = i32::from(world.partitions);
    let make = async || {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
        let new = settings
            .iter()
            .fold(new, |new, (name, value)| new.set(name, value));
        let made = admin.create_topics([&new], &patient()).await.ok()?;
        match made.into_iter().next()? {
            Ok(_) => Some(Ok(())),
            // The old one is still on its way out.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => None,
            Err((_, code)) => Some(Err(anyhow!("{topic} is not made again: {code}"))),
        }
    };
    wait::until("the topic to be made again", PATIENCE, make).await?
}
