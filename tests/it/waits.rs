//! A partition that waits says for what, goes on by itself, and holds nobody else up.

use crate::support::node::Node;
use crate::support::{World, until};
use crate::takeover::{funded, owns, pays};

async fn waits(node: &Node, what: &str) -> f64 {
    let label = format!("for=\"{what}\"");
    node.metric("steelyard_partition_waits", &label).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_waits_for_postgres_says_so_and_goes_on_by_itself() {
    let world = World::new(2);
    let env = [("STEELYARD_STANDBY", "none")];
    let first = world.launch("processor", &env);
    first.ready().await;
    let accounts = funded(&world).await;
    drop(first);
    let pool = world.postgres().await;
    let mut locking = pool.begin().await.unwrap();
    sqlx::query("lock table balances in access exclusive mode")
        .execute(&mut *locking)
        .await
        .unwrap();

    let second = world.launch("processor", &env);
    until("both partitions to say what they wait for", async || {
        (waits(&second, "postgres").await == 2.0).then_some(())
    })
    .await;
    let said = second.checks().await;
    let expected = "taking the partition over: waiting for postgres";
    assert_eq!(said.matches(expected).count(), 2, "{said}");
    let times = second.said().matches(expected).count();
    assert_eq!(times, 2, "once each: {}", second.said());

    locking.rollback().await.unwrap();
    owns(&second, 2).await;
    assert_eq!(waits(&second, "postgres").await, 0.0);
    pays(&world, &accounts, 0).await;
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_in_cold_ends_nobody_who_stands_by() {
    let world = World::new(2);
    let first = world.start("all").await;
    let accounts = funded(&world).await;
    world.audit();
    let pool = world.postgres().await;
    let damage = "update balances set version = version + 7 where partition = 0";
    sqlx::raw_sql(damage).execute(&pool).await.expect(damage);

    let mut second = world.launch("processor", &[("STEELYARD_INSTANCE", "second")]);
    until("the damage to be seen", async || {
        second
            .checks()
            .await
            .contains("an invariant is broken in cold or outcomes")
            .then_some(())
    })
    .await;
    let said = second.checks().await;
    assert!(said.contains("standby-0"), "{said}");
    assert!(!said.contains("standby-1"), "{said}");
    let ended = second.stop().await;
    assert!(ended.success(), "{}", second.said());
    pays(&world, &accounts, 0).await;
    world.run(&["rebuild", "cold", "--partition", "0"]);
    world.audit();
    drop(first);
}
