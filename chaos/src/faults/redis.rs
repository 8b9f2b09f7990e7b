//! Redis away, empty, old, full, evicting, or heard only one way.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use redis::aio::MultiplexedConnection;
use steelyard::hot::key::Keys;

use crate::lab::Lab;
use crate::node::{Node, Role};
use crate::proxy::{Mode, Proxy};
use crate::stack::Service;
use crate::wait;

async fn connect(lab: &Lab) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(lab.world.stack.redis.as_str())?;
    Ok(client.get_multiplexed_async_connection().await?)
}

async fn set(redis: &mut MultiplexedConnection, name: &str, value: &str) -> Result<()> {
    let mut config = redis::cmd("CONFIG");
    config.arg("SET").arg(name).arg(value);
    Ok(config.exec_async(redis).await?)
}

pub async fn kill(lab: &mut Lab) -> Result<String> {
    lab.world.stack.kill(Service::Redis).await?;
    lab.run_for(500, 5_000).await;
    lab.world.stack.up().await?;
    Ok("redis killed and back".to_owned())
}

/// Empties Redis if it finds a partition that is claimed and not installed yet.
const FLUSH_MIDWAY: &str = "
for _, key in ipairs(KEYS) do
  if redis.call('HEXISTS', key, 'epoch') == 1 and redis.call('HEXISTS', key, 'installed') == 0 then
    redis.call('FLUSHALL')
    return 1
  end
end
return 0";

/// Emptied under load, and again while an owner fills it.
pub async fn flush(lab: &mut Lab) -> Result<String> {
    let mut redis = connect(lab).await?;
    let keys = Keys::new(&lab.world.name);
    let mut midway = redis::cmd("EVAL");
    midway.arg(FLUSH_MIDWAY).arg(lab.world.partitions);
    for partition in 0..lab.world.partitions {
        midway.arg(keys.position(partition));
    }
    let mut again = 0;
    for _ in 0..FLUSHES {
        redis::cmd("FLUSHALL").exec_async(&mut redis).await?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            if midway.query_async::<u8>(&mut redis).await? == 1 {
                again += 1;
                break;
            }
        }
    }
    ensure!(again > 0, "hot was never emptied while an owner filled it");
    Ok(format!(
        "emptied {FLUSHES} times, and {again} times while an owner filled it"
    ))
}

/// How often it is emptied, whoever is at what.
const FLUSHES: u8 = 5;

/// Killed, and started from an older copy of its file.
pub async fn rollback(lab: &mut Lab) -> Result<String> {
    let folder = lab.world.stack.home.join("redis");
    let (live, copy) = (folder.join("appendonlydir"), folder.join("older"));
    copy_folder(&live, &copy)?;
    // Longer than a beat counts as fresh: readers are told that it is old.
    lab.run_for(7_000, 10_000).await;
    let before = offsets(lab).await?;
    lab.world.stack.kill(Service::Redis).await?;
    std::fs::remove_dir_all(&live)?;
    std::fs::rename(&copy, &live)?;
    let newest = async |lab: &Lab| offsets(lab).await;
    lab.world.stack.up().await?;
    let after = newest(lab).await?;
    let back = before
        .iter()
        .zip(&after)
        .any(|(before, after)| after < before);
    // The owners may have claimed it again before anybody could look.
    let seen = lab.fleet.of(Role::Processor).any(|node| {
        let said = node.said();
        said.contains("rolled-back") || said.contains("hot is older than cold")
    });
    ensure!(
        back || seen,
        "redis did not go back: {before:?} and {after:?}"
    );
    Ok(format!("redis back from {before:?} to {after:?}"))
}

async fn offsets(lab: &Lab) -> Result<Vec<u64>> {
    let mut redis = connect(lab).await?;
    let keys = Keys::new(&lab.world.name);
    let mut offsets = Vec::new();
    for partition in 0..lab.world.partitions {
        let mut ask = redis::cmd("HGET");
        ask.arg(keys.position(partition)).arg("offset");
        let offset: Option<u64> = ask.query_async(&mut redis).await?;
        offsets.push(offset.unwrap_or(0));
    }
    Ok(offsets)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Writes are refused for want of memory, reads are not.
pub async fn full(lab: &mut Lab) -> Result<String> {
    let mut redis = connect(lab).await?;
    set(&mut redis, "maxmemory", "1").await?;
    lab.run_for(3_000, 8_000).await;
    let mut write = redis::cmd("SET");
    let refused = write.arg("chaos:full").arg(1).exec_async(&mut redis).await;
    set(&mut redis, "maxmemory", "0").await?;
    ensure!(refused.is_err(), "redis took a write with no memory");
    Ok("writes refused for want of memory".to_owned())
}

/// Evicts balances while it runs; a takeover that meets such a Redis waits and says so.
pub async fn evicting(lab: &mut Lab) -> Result<String> {
    let mut redis = connect(lab).await?;
    set(&mut redis, "maxmemory-policy", "allkeys-random").await?;
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut redis)
        .await?;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used
        .context("redis does not say what it uses")?
        .trim()
        .parse()?;
    set(
        &mut redis,
        "maxmemory",
        &used.saturating_sub(20_000).to_string(),
    )
    .await?;
    lab.run_for(1_500, 3_000).await;
    let leaving = lab.fleet.draw(Role::Processor, &mut lab.rng)?;
    let name = leaving.name.clone();
    leaving.kill()?;
    let said = async || {
        let mut nodes = lab
            .fleet
            .nodes
            .iter()
            .filter(|it| it.role == Role::Processor);
        let other = nodes.find(|node| node.name != name)?;
        other
            .checks()
            .await
            .contains("maxmemory-policy")
            .then_some(())
    };
    let waits = wait::until("a takeover to refuse eviction", crate::node::READY, said).await;
    let stats: String = redis::cmd("INFO")
        .arg("stats")
        .query_async(&mut redis)
        .await?;
    let evicted = stats
        .lines()
        .find_map(|line| line.strip_prefix("evicted_keys:"));
    let evicted = evicted.unwrap_or("0").trim().to_owned();
    set(&mut redis, "maxmemory", "0").await?;
    set(&mut redis, "maxmemory-policy", "noeviction").await?;
    waits?;
    ensure!(evicted != "0", "nothing was evicted");
    let world = lab.world.clone();
    let node = lab.fleet.node(&name)?;
    node.start(&world, &[])?;
    lab.fleet.ready().await?;
    Ok(format!(
        "{evicted} keys evicted, a takeover refused to go on"
    ))
}

/// What processors ask of Redis is done, and its answer is lost.
pub async fn deaf(lab: &mut Lab) -> Result<String> {
    let lost = |lab: &mut Lab| -> u64 {
        lab.fleet
            .of(Role::Processor)
            .map(|it| it.redis.lost())
            .sum()
    };
    let before = lost(lab);
    ways(lab, Mode::Deaf, |node| {
        (node.role == Role::Processor).then_some(&node.redis)
    });
    lab.run_for(1_000, 4_000).await;
    open(lab);
    match lost(lab) - before {
        0 => bail!("no answer of redis was lost"),
        answers => Ok(format!(
            "{answers} answers of redis lost after the script ran"
        )),
    }
}

pub async fn cut(lab: &mut Lab) -> Result<String> {
    away(lab, Mode::Cut).await
}

pub async fn hole(lab: &mut Lab) -> Result<String> {
    away(lab, Mode::Hole).await
}

/// Redis is away for the processors alone, while readers have it.
async fn away(lab: &mut Lab, mode: Mode) -> Result<String> {
    let errors = "steelyard_hot_errors_total";
    let before = lab.fleet.metric(Role::Processor, errors, "").await;
    ways(lab, mode, |node| {
        (node.role == Role::Processor).then_some(&node.redis)
    });
    lab.run_for(4_000, 10_000).await;
    let after = lab.fleet.metric(Role::Processor, errors, "").await;
    open(lab);
    ensure!(after > before, "no processor has noticed");
    Ok(format!(
        "processors without redis, {} failed calls",
        after - before
    ))
}

pub async fn slow(lab: &mut Lab) -> Result<String> {
    ways(lab, Mode::Slow(80), |node| Some(&node.redis));
    lab.run_for(4_000, 8_000).await;
    open(lab);
    Ok("redis late by up to 80 ms each way".to_owned())
}

fn ways(lab: &Lab, mode: Mode, of: impl Fn(&Node) -> Option<&Proxy>) {
    for way in lab.fleet.nodes.iter().filter_map(of) {
        way.set(mode);
    }
}

fn open(lab: &Lab) {
    ways(lab, Mode::Open, |node| Some(&node.redis));
}
