//! Postgres away, locked, or read-only: the log goes on, the sinks wait.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::PgPool;

use super::freeze;
use crate::lab::Lab;
use crate::node::Role;
use crate::proxy::Mode;
use crate::stack::Service;
use crate::wait;

pub async fn kill(lab: &mut Lab) -> Result<String> {
    lab.world.stack.kill(Service::Postgres).await?;
    lab.run_for(200, 3_000).await;
    lab.world.stack.up().await?;
    Ok("postgres killed and back".to_owned())
}

/// Long enough for the sinks to fall far behind; clients notice nothing.
pub async fn outage(lab: &mut Lab) -> Result<String> {
    lab.world.stack.kill(Service::Postgres).await?;
    let before = lab.drive.answered();
    lab.run_for(15_000, 25_000).await;
    let answered = lab.drive.answered() - before;
    lab.world.stack.up().await?;
    ensure!(
        answered > 100,
        "only {answered} answers while postgres was away"
    );
    Ok(format!("postgres away, {answered} answers meanwhile"))
}

/// Takeovers without Postgres, and everything goes on meanwhile: by a processor that stands by, and
/// by one that has nothing but the log.
pub async fn takeover(lab: &mut Lab) -> Result<String> {
    let standby = without(lab, "standby", &[]).await?;
    let log = without(lab, "log", &[("STEELYARD_STANDBY", "none")]).await?;
    Ok(format!(
        "without postgres, {standby} partitions taken over from a standby and {log} from the log alone"
    ))
}

/// Kills a processor while the other one, started with `settings`, has no Postgres: how many
/// partitions that takes over `from` what it has then.
async fn without(lab: &mut Lab, from: &str, settings: &[(&str, &str)]) -> Result<f64> {
    let world = lab.world.clone();
    let leaving = lab.fleet.draw(Role::Processor, &mut lab.rng)?.name.clone();
    let others = lab.fleet.of(Role::Processor).map(|node| node.name.clone());
    let other = others.into_iter().find(|name| *name != leaving);
    let taking = other.context("there is only one processor")?;
    if !settings.is_empty() {
        let other = lab.fleet.node(&taking)?;
        other.stop().await?;
        other.start(&world, settings)?;
    }
    lab.fleet.ready().await?;
    freeze::owns_some(lab, &leaving).await?;
    if settings.is_empty() {
        freeze::stands_by(lab, &taking).await?;
    }
    for node in lab.fleet.of(Role::Processor) {
        node.postgres.set(Mode::Cut);
    }
    let label = format!("from=\"{from}\"");
    let bases = "steelyard_takeover_bases_total";
    let before = lab.fleet.node(&taking)?.metric(bases, &label).await;
    lab.fleet.node(&leaving)?.kill()?;
    let taken = freeze::taken_from(lab, &leaving).await;
    let alive = match taken {
        Ok(()) => lab.is_alive().await,
        Err(error) => Err(error),
    };
    for node in lab.fleet.of(Role::Processor) {
        node.postgres.set(Mode::Open);
    }
    alive?;
    let after = lab.fleet.node(&taking)?.metric(bases, &label).await;
    ensure!(after > before, "{taking} took nothing over from the {from}");
    if !settings.is_empty() {
        let other = lab.fleet.node(&taking)?;
        other.stop().await?;
        other.start(&world, &[])?;
    }
    lab.fleet.node(&leaving)?.start(&world, &[])?;
    lab.fleet.ready().await?;
    Ok(after - before)
}

/// Somebody holds a lock on the balances.
pub async fn lock(lab: &mut Lab) -> Result<String> {
    let pool = lab.world.cold().connect()?;
    let mut holding = pool.begin().await?;
    sqlx::query("lock table balances, transactions in access exclusive mode")
        .execute(&mut *holding)
        .await?;
    lab.run_for(4_000, 9_000).await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from pg_locks where not granted")
        .fetch_one(&pool)
        .await?;
    holding.rollback().await?;
    ensure!(waiting > 0, "nobody waited for the lock");
    Ok(format!("{waiting} sessions waited for a lock"))
}

pub async fn read_only(lab: &mut Lab) -> Result<String> {
    let pool = lab.world.cold().connect()?;
    allow_writes(&pool, false).await?;
    let refused = wait::until(
        "postgres to refuse writes",
        Duration::from_secs(10),
        async || {
            sqlx::query("update sink_positions set position = position where false")
                .execute(&pool)
                .await
                .err()
        },
    );
    let why = refused.await;
    lab.run_for(4_000, 8_000).await;
    allow_writes(&pool, true).await?;
    Ok(format!("postgres: {}", why?))
}

async fn allow_writes(pool: &PgPool, allowed: bool) -> Result<()> {
    let set = match allowed {
        true => "alter system set default_transaction_read_only = off",
        false => "alter system set default_transaction_read_only = on",
    };
    let mut session = pool.acquire().await?;
    // What a session sets for itself counts over what the system says.
    sqlx::query("set default_transaction_read_only = off")
        .execute(&mut *session)
        .await?;
    sqlx::query(set).execute(&mut *session).await?;
    sqlx::query("select pg_reload_conf()")
        .execute(&mut *session)
        .await?;
    sqlx::query("reset default_transaction_read_only")
        .execute(&mut *session)
        .await?;
    Ok(())
}

/// The sinks' way to Postgres: cut, held, and slow, one after the other.
pub async fn links(lab: &mut Lab) -> Result<String> {
    for mode in [Mode::Cut, Mode::Hole, Mode::Slow(100), Mode::Deaf] {
        for node in lab.fleet.of(Role::Sink) {
            node.postgres.set(mode);
        }
        lab.run_for(2_000, 4_000).await;
    }
    let lost: u64 = lab.fleet.of(Role::Sink).map(|it| it.postgres.lost()).sum();
    for node in lab.fleet.of(Role::Sink) {
        node.postgres.set(Mode::Open);
    }
    ensure!(lost > 0, "no answer of postgres was lost");
    Ok(format!("cut, held, slow, and {lost} answers lost"))
}
