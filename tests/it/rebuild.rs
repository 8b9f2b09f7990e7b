//! Redis and Postgres written anew from the log, while money moves.

use std::process::Stdio;

use serde_json::json;
use steelyard::processor::rebuild::{self, Source};

use crate::support::node::Node;
use crate::support::{World, account_in, balance_id, transfer, until};

/// Two funded accounts in each of two partitions.
async fn funded(world: &World) -> (Node, Vec<String>) {
    let node = world.start("all").await;
    let names = (0..4).map(|n| account_in(&format!("a{n}-"), n % 2, 2));
    let accounts: Vec<String> = names.collect();
    for account in &accounts {
        node.open(account).await;
        let fund = transfer(&format!("fund-{account}"), "@world", account, "100");
        node.applied(&fund).await;
    }
    for (n, to) in accounts[1..].iter().enumerate() {
        let mut hold = transfer(&format!("hold-{n}"), &accounts[0], to, "5");
        hold["hold"] = json!({});
        node.applied(&hold).await;
    }
    let (status, void) = node
        .post(
            "/v1/transactions/hold-0/void",
            &json!({"reference": "void-0"}),
        )
        .await;
    assert_eq!(status, 201, "{void}");
    let back = transfer("back", &accounts[0], &accounts[1], "4");
    node.applied(&back).await;
    for (at, (path, amount)) in [
        ("hold-1/post", "3"),
        ("hold-1/reverse", "1"),
        ("hold-2/post", "5"),
        ("hold-2/reverse", "5"),
        ("back/reverse", "2.5"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"reference": format!("on-{at}"), "amount": amount});
        let path = format!("/v1/transactions/{path}");
        let (status, done) = node.post(&path, &body).await;
        assert_eq!(status, 201, "{path}: {done}");
    }
    (node, accounts)
}

/// A new owner, who has all it knows from cold, knows what is left of what was posted and reversed.
async fn what_is_left_is_known(world: &World, mut node: Node) {
    assert!(node.stop().await.success());
    let node = world.start("all").await;
    for (at, (path, amount, status)) in [
        ("hold-1/post", "2.01", 422),
        ("hold-1/post", "2", 201),
        ("hold-1/reverse", "4.01", 422),
        ("hold-1/reverse", "4", 201),
        ("hold-2/reverse", "0.01", 422),
        ("back/reverse", "1.51", 422),
        ("back/reverse", "1.5", 201),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"reference": format!("left-{at}"), "amount": amount});
        let path = format!("/v1/transactions/{path}");
        let (said, done) = node.post(&path, &body).await;
        assert_eq!(said, status, "{path}: {done}");
    }
    world.audit();
}

/// Pays round and round while `args` of the program run; what it said.
async fn meanwhile(world: &World, node: &Node, accounts: &[String], args: &[&str]) -> String {
    let mut command = world.command();
    command.args(args).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut paid = 0;
    while child.try_wait().expect("it is a child").is_none() {
        let (from, to) = (&accounts[paid % 4], &accounts[(paid + 1) % 4]);
        let reference = format!("{}-{paid}", args.join("-"));
        node.applied(&transfer(&reference, from, to, "0.01")).await;
        paid += 1;
    }
    assert!(paid > 0, "money moved meanwhile");
    let output = child.wait_with_output().expect("it has ended");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_is_rebuilt_while_money_moves() {
    let world = World::new(2);
    let (node, accounts) = funded(&world).await;
    let id = balance_id(&accounts[0]);
    let keys = steelyard::hot::key::Keys::new(&world.name);
    let key = keys.balance(0, steelyard::ledger::BalanceId::new(id));
    let mut redis = world.redis().await;
    let broken = r#"999 {"no":"balance"}"#;
    let set = redis::cmd("SET").arg(key).arg(broken).to_owned();
    let _: () = set.query_async(&mut redis).await.expect("redis");

    let said = meanwhile(&world, &node, &accounts, &["rebuild", "hot"]).await;
    assert!(said.contains("partition 1: "), "{said}");
    assert!(said.contains("whole again as of command"), "{said}");
    let path = format!("/v1/balances/{id}");
    until("the balance", async || {
        let (_, balance) = node.get(&path).await;
        (balance["account"] == *accounts[0]).then_some(())
    })
    .await;
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn cold_is_rebuilt_while_money_moves() {
    let world = World::new(2);
    let (node, accounts) = funded(&world).await;
    world.audit();
    let pool = world.postgres().await;
    for damage in [
        "update balances set posted = posted + 1, version = version + 7",
        "delete from balances where account like 'a1-%'",
        "insert into balances select gen_random_uuid(), ledger, 'nobody', key, asset, posted, \
         held, incoming, floor, ceiling, status, version, partition, command_offset, epoch \
         from balances where account like 'a2-%'",
        "delete from transactions where reference like 'fund-a0-%'",
        "update entries set amount = amount + 1",
        "delete from transaction_references",
        "update holds set version = version + 1, state = 'open'",
    ] {
        sqlx::raw_sql(damage).execute(&pool).await.expect(damage);
    }
    let broken = world.output(&["audit"]);
    assert_eq!(broken.status.code(), Some(1), "the damage is seen");

    let one = ["rebuild", "cold", "--partition", "1"];
    let said = meanwhile(&world, &node, &accounts, &one).await;
    assert!(!said.contains("partition 0"), "{said}");
    let zero = ["rebuild", "cold", "--partition", "0"];
    let said = meanwhile(&world, &node, &accounts, &zero).await;
    assert!(
        said.contains("partition 0: journal as of command"),
        "{said}"
    );
    world.audit();
    let path = format!("/v1/transactions/fund-{}", accounts[0]);
    let (status, view) = node.get(&path).await;
    assert_eq!((status.as_u16(), &view["status"]), (200, &json!("applied")));
    let (_, view) = node.get("/v1/transactions/hold-1").await;
    let posting = &view["hold"]["postings"][0];
    let stands = [&posting["rest"], &posting["posted"], &posting["reversed"]];
    assert_eq!(stands, ["2.00", "3.00", "1.00"], "{view}");

    let beyond = world.output(&["rebuild", "cold", "--partition", "2"]);
    assert_eq!(beyond.status.code(), Some(1));
    let said = String::from_utf8_lossy(&beyond.stderr).into_owned();
    assert!(
        said.contains("there is no partition 2: the log has 2"),
        "{said}"
    );
    what_is_left_is_known(&world, node).await;
}

/// A sink at work accepts markers of what was decided after the rebuild had read the log to its
/// end: here it always has, and the rows that are written are newer still.
#[tokio::test(flavor = "multi_thread")]
async fn cold_is_rebuilt_though_a_sink_is_ahead_of_what_was_read() {
    let world = World::new(2);
    let (node, accounts) = funded(&world).await;
    world.audit();
    let pool = world.postgres().await;
    let damage = "update balances set status = 'frozen', floor = floor - 1 where partition = 0 \
                  and account like 'a0-%'";
    sqlx::raw_sql(damage).execute(&pool).await.expect(damage);
    let stands = "select command_offset, generation from sink_positions \
                  where sink = 'balances' and partition = 0";
    let (_, generation): (i64, uuid::Uuid) = sqlx::query_as(stands).fetch_one(&pool).await.unwrap();
    let source = Source {
        log: world.log(),
        pool: pool.clone(),
        generation,
        partition: 0,
        count: 2,
    };
    let (has_read, mut read) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, is_ahead) = std::sync::mpsc::channel();
    let rebuilt = rebuild::cold(source, move |at, of| {
        if at == of {
            has_read.send(()).unwrap();
            is_ahead.recv().unwrap();
        }
    });
    let meanwhile = async {
        read.recv().await.unwrap();
        let pay = transfer("after-the-end", &accounts[0], "@world", "1");
        let paid = node.applied(&pay).await["offset"].as_i64().unwrap();
        until("the sink is ahead", async || {
            let (at, _): (i64, uuid::Uuid) = sqlx::query_as(stands).fetch_one(&pool).await.unwrap();
            (at >= paid).then_some(())
        })
        .await;
        go_on.send(()).unwrap();
        paid
    };
    let (rebuilt, paid) = tokio::join!(rebuilt, meanwhile);
    let rebuilt = rebuilt.unwrap();
    assert!(
        rebuilt.command_offset >= u64::try_from(paid).ok(),
        "{rebuilt:?}"
    );
    world.audit();
}

/// The audit as it is now: its exit code and what it says.
fn audited(world: &World) -> (Option<i32>, String) {
    let output = world.output(&["audit"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

/// Rows that no outcome left has changed are not believed: snapshots tell what they were.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_is_named_and_mended_though_outcomes_are_trimmed() {
    let world = World::new(2);
    let (node, accounts) = funded(&world).await;
    world.audit();
    world.trim("outcomes").await;
    for account in &accounts[2..] {
        let pay = transfer(&format!("later-{account}"), account, "@world", "1");
        node.applied(&pay).await;
    }
    world.audit();
    let (code, said) = audited(&world);
    assert!(
        code == Some(0) && said.contains("starts from snapshots"),
        "{said}"
    );
    let id = balance_id(&accounts[0]);
    let pool = world.postgres().await;
    for (damage, named) in [
        (
            "update balances set floor = floor - 1 where account like 'a0-%'",
            format!("balance {id} in cold: floor is -1, the outcomes give 0"),
        ),
        (
            "update balances set posted = posted - 1 where account like 'a0-%'; \
             update balances set posted = posted + 1 where account like 'a2-%'",
            format!("balance {id} in cold: posted is"),
        ),
        (
            "delete from balances where account like 'a1-%'",
            "has no row in cold".to_owned(),
        ),
        (
            "update holds set state = 'open' where reference = 'hold-0'",
            "hold".to_owned(),
        ),
    ] {
        sqlx::raw_sql(damage).execute(&pool).await.expect(damage);
        let (code, said) = audited(&world);
        assert!(code == Some(1) && said.contains(&named), "{damage}: {said}");
        let output = world.output(&["rebuild", "cold"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let from = "outcomes are trimmed: begun from snapshots as of command";
        assert!(output.status.success() && told.contains(from), "{output:?}");
        world.audit();
    }
    let broken = (0, &b"balance:broken"[..], &b"{}"[..]);
    world.append("snapshots", broken).await;
    let (code, said) = audited(&world);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("the log alone does not tell: snapshot"),
        "{said}"
    );
    let zero = ["rebuild", "cold", "--partition", "0"];
    let said = meanwhile(&world, &node, &accounts, &zero).await;
    assert!(
        said.contains("rows that did not change since are as they were"),
        "{said}"
    );
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn cold_is_rebuilt_where_outcomes_are_trimmed_and_no_sink_runs() {
    let world = World::new(2);
    let (mut node, accounts) = funded(&world).await;
    world.audit();
    assert!(node.stop().await.success());
    world.trim("outcomes").await;
    let processor = world.start("processor").await;
    let ingress = world.start("ingress").await;
    for (n, account) in accounts.iter().enumerate() {
        let pay = transfer(&format!("later-{n}"), account, "@world", "1");
        ingress.applied(&pay).await;
    }
    let said = meanwhile(&world, &ingress, &accounts, &["rebuild", "cold"]).await;
    assert!(said.contains("begun from snapshots as of"), "{said}");
    drop(processor);
    let _all = world.start("all").await;
    world.audit();
}
