//! A rolling upgrade under load: one node after the other is replaced by a newer program than
//! the one that everything began with, and half-way all of it is taken back once.
//!
//! Meanwhile programs of both ages own partitions side by side, take them over from each other,
//! planned and not, and decide the same commands at the same time. The checker holds every copy
//! against the one decision, so a difference between the two is a difference of bytes.

use anyhow::{Context, Result, ensure};
use tokio::task::spawn_blocking;

use super::{Ground, churn, freeze};
use crate::drive::Size;
use crate::lab::Lab;
use crate::node::{READY, Role};
use crate::wait;
use crate::world::World;

/// The instances of every role: one with a name in its groups, one without.
const INSTANCES: [&str; 2] = ["a", "b"];

pub async fn upgrade(ground: &Ground) -> Result<String> {
    let older = ground.older.as_deref();
    let older = older.context("there is no older program: --older")?;
    let before = World::new(&ground.stack, older.to_owned())?;
    let after = before.run_by(&ground.program);
    let mut lab = Lab::start_in(before.clone(), Size::default(), ground.seed).await?;
    // Who asks the world anything from here on is the newer program.
    lab.world = after.clone();
    lab.run_for(2_000, 4_000).await;
    // First the tables, under the older program; it has to live with them.
    command(&after, &["migrate"]).await?;
    lab.is_alive().await?;
    churn::beside(&mut lab, &after, "early").await?;

    let mut replaced = 0;
    let first = lab.rng.below(INSTANCES.len());
    let (first, second) = (INSTANCES[first], INSTANCES[1 - first]);
    replaced += roll(&mut lab, first, &after).await?;
    both_own(&mut lab).await?;
    die(&mut lab, first, &after).await?;
    replaced += roll(&mut lab, first, &before).await?;
    lab.run_for(1_000, 3_000).await;
    replaced += roll(&mut lab, first, &after).await?;
    both_own(&mut lab).await?;
    die(&mut lab, second, &before).await?;
    replaced += roll(&mut lab, second, &after).await?;
    churn::beside(&mut lab, &before, "late").await?;

    let rules = steelyard::ledger::rules::RULES_KNOWN.to_string();
    command(&after, &["rules", "--raise", &rules]).await?;
    lab.is_alive().await?;
    lab.run_for(2_000, 4_000).await;
    let tally = lab.finish().await?;
    ensure!(tally.copies > 0, "no command was decided by both programs");
    ensure!(tally.own_ways > 0, "no money passed by the raised rules");
    Ok(format!(
        "{replaced} nodes replaced, one way, back, and on; raised to rules {rules}; {tally}"
    ))
}

/// Replaces one instance of every role, in an order that is drawn; how many that is.
async fn roll(lab: &mut Lab, instance: &str, world: &World) -> Result<usize> {
    let mut roles = vec![Role::Processor, Role::Sink, Role::Ingress];
    let count = roles.len();
    while !roles.is_empty() {
        let role = roles.swap_remove(lab.rng.below(roles.len()));
        let node = lab.fleet.node(&format!("{}-{instance}", role.name()))?;
        node.stop().await?;
        node.start(world, &[])?;
        node.ready().await?;
        lab.run_for(500, 2_000).await;
        lab.is_alive().await?;
    }
    Ok(count)
}

/// Waits until each processor owns something.
async fn both_own(lab: &mut Lab) -> Result<()> {
    for node in lab.fleet.of(Role::Processor) {
        let what = format!("{} to own something", node.name);
        let owns = async || (node.count(freeze::OWNED).await > 0.0).then_some(());
        wait::until(&what, READY, owns).await?;
    }
    lab.run_for(2_000, 4_000).await;
    Ok(())
}

/// A processor dies, the one of the other age takes all of its partitions, and it comes back.
async fn die(lab: &mut Lab, instance: &str, world: &World) -> Result<()> {
    let name = format!("{}-{instance}", Role::Processor.name());
    lab.fleet.node(&name)?.kill()?;
    freeze::taken_from(lab, &name).await?;
    lab.is_alive().await?;
    let node = lab.fleet.node(&name)?;
    node.start(world, &[])?;
    node.ready().await
}

/// Runs the program in a world, to its end; what it prints.
pub(super) async fn command(world: &World, args: &[&str]) -> Result<String> {
    let (world, args) = (world.clone(), args.join(" "));
    let run = move || world.run(&args.split(' ').collect::<Vec<_>>());
    spawn_blocking(run).await?
}
