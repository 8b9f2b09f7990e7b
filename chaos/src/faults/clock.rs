//! Processes whose clock is wrong: by an hour, either way. The machine's clock is left alone.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;

/// One node after the other gets another time, keeps it for a while, and gets its own back.
pub async fn skew(lab: &mut Lab) -> Result<String> {
    let library = library()?;
    let world = lab.world.clone();
    let mut skewed = Vec::new();
    let certain = lab.rng.below(lab.fleet.nodes.len());
    for at in 0..lab.fleet.nodes.len() {
        if at != certain && lab.rng.chance(0.5) {
            continue;
        }
        let offset = if lab.rng.chance(0.5) { "+3600" } else { "-3600" };
        let node = &mut lab.fleet.nodes[at];
        node.kill()?;
        let settings = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME", offset),
            // Durations are right: only what time it is, is not.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        node.start(&world, &settings)?;
        skewed.push(format!("{} {offset} s", node.name));
    }
    lab.fleet.ready().await?;
    lab.run_for(6_000, 10_000).await;
    lab.is_alive().await?;
    for node in &mut lab.fleet.nodes {
        if skewed.iter().any(|it| it.starts_with(&node.name)) {
            node.kill()?;
            node.start(&world, &[])?;
        }
    }
    lab.fleet.ready().await?;
    Ok(skewed.join(", "))
}

/// What has to be loaded before everything else.
fn library() -> Result<String> {
    let mut ask = Command::new("faketime");
    let asked = ask.args(["-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let output = asked.context("faketime is not there")?;
    let library = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(!library.is_empty(), "faketime does not say what it loads");
    Ok(library)
}
