//! Disks that are full: a stack with one of its directories on a small mount, and a file there
//! that takes all the room. Needs root, for the mount.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Ground;
use crate::drive::Size;
use crate::lab::Lab;
use crate::stack::{Service, Stack};
use crate::wait;

/// How long a service may take to notice.
const NOTICED: Duration = Duration::from_secs(90);

pub async fn postgres(ground: &Ground) -> Result<String> {
    disk(ground, Service::Postgres, "900m").await
}

pub async fn kafka(ground: &Ground) -> Result<String> {
    disk(ground, Service::Kafka, "600m").await
}

async fn disk(ground: &Ground, service: Service, size: &str) -> Result<String> {
    let name = format!("full-{}", service.name());
    let place = ground.stack.home.join(&name).join(service.name());
    std::fs::create_dir_all(&place)?;
    let place_text = place.display().to_string();
    let options = format!("size={size},mode=711");
    run(
        "mount",
        &["-t", "tmpfs", "-o", &options, "tmpfs", &place_text],
    )?;
    if service == Service::Postgres {
        // Postgres runs as another user where ./dev is root's.
        run("chown", &["postgres", &place_text])?;
        run("chmod", &["700", &place_text])?;
    }
    let stack = ground
        .stack
        .another(&name, &[("STEELYARD_KAFKA_HEAP", "-Xmx512m")])
        .await?;
    let done = fill(ground, &stack, service, &place).await;
    let down = stack.down().await;
    run("umount", &["-l", &place_text])?;
    let done = done?;
    down?;
    Ok(done)
}

async fn fill(ground: &Ground, stack: &Stack, service: Service, place: &Path) -> Result<String> {
    let size = Size::default();
    let mut lab = Lab::start(stack, &ground.program, size, ground.seed).await?;
    lab.run_for(4_000, 6_000).await;
    let ballast = place.join("ballast");
    let bytes = fill_up(&ballast)?;
    // A broker ends when its only disk fails, and Postgres when its log finds no room; before that
    // it refuses what would make a table larger.
    let log = stack
        .home
        .join("logs")
        .join(format!("{}.log", service.name()));
    let said = async || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.contains("No space left on device").then_some(())
    };
    let noticed = wait::until("the full disk to be noticed", NOTICED, said).await;
    lab.run_for(3_000, 6_000).await;
    let ended = stack.pid(service).is_none();
    std::fs::remove_file(&ballast)?;
    noticed?;
    lab.run_for(1_000, 3_000).await;
    stack.up().await?;
    lab.is_alive().await?;
    let tally = lab.finish().await?;
    let end = if ended { "ended" } else { "hindered" };
    let (megabytes, name) = (bytes >> 20, service.name());
    Ok(format!("{megabytes} MB of ballast {end} {name}; {tally}"))
}

/// Writes until there is no room; how much.
fn fill_up(file: &Path) -> Result<u64> {
    let mut ballast = OpenOptions::new().create(true).append(true).open(file)?;
    let piece = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        match ballast.write(&piece) {
            Ok(written) => bytes += written as u64,
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(bytes),
            Err(error) => return Err(error.into()),
        }
    }
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output();
    let output = output.with_context(|| format!("there is no {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {args:?}: {said}");
    Ok(())
}
