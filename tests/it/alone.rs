//! A partition is taken over while Postgres is away.

use rdkafka::Message;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gate::Gate;
use crate::support::kafka::{Sent, json_of};
use crate::support::node::Node;
use crate::support::{World, balance_id, until};
use crate::takeover::{funded, owns, pay, pays};

/// A world whose sinks and processors see Postgres through a gate.
struct Gated {
    world: World,
    gate: Gate,
    through: String,
    _sink: Node,
}

impl Gated {
    async fn of(partitions: u16) -> Self {
        let world = World::new(partitions);
        let url = std::env::var("STEELYARD_DATABASE_URL").unwrap();
        let gate = Gate::before(&url).await;
        let through = gate.through(&url);
        let sink = world.launch("sink", &[("STEELYARD_DATABASE_URL", &through)]);
        Self {
            world,
            gate,
            through,
            _sink: sink,
        }
    }

    fn processor(&self, standby: &str) -> Node {
        let env = [
            ("STEELYARD_DATABASE_URL", self.through.as_str()),
            ("STEELYARD_STANDBY", standby),
        ];
        self.world.launch("processor", &env)
    }

    /// Postgres is back: the sinks catch up, and all books agree.
    fn heals(&self) {
        self.gate.open();
        self.world.audit();
    }
}

/// How often `node` started from what.
async fn bases(node: &Node, from: &str) -> f64 {
    let label = format!("from=\"{from}\"");
    node.metric("steelyard_takeover_bases_total", &label).await
}

/// Sends a command that was decided long ago; the outcome says so, and changes nothing.
async fn is_replayed(world: &World, command: &(Uuid, Value)) {
    let (key, value) = (command.0.to_string(), command.1.to_string());
    let sent = Sent {
        partition: None,
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: Vec::new(),
    };
    let place = world.send(sent).await;
    let outcome = world.outcome(place).await;
    assert!(!outcome["replay_of"].is_null(), "{outcome}");
    assert_eq!(outcome["status"], "applied", "{outcome}");
    let changes = outcome["entries"].as_array().map_or(0, Vec::len);
    assert_eq!(changes, 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_without_postgres_starts_from_the_log_alone() {
    let gated = Gated::of(2).await;
    let world = &gated.world;
    let mut first = gated.processor("none");
    first.ready().await;
    let accounts = funded(world).await;
    pays(world, &accounts, 0).await;
    gated.gate.shut();
    pays(world, &accounts, 1).await;
    first.kill();

    let second = gated.processor("none");
    until("both partitions to be taken over", async || {
        (bases(&second, "log").await == 2.0).then_some(())
    })
    .await;
    owns(&second, 2).await;
    let said = second.said();
    assert!(said.contains("from the log alone"), "{said}");
    pays(world, &accounts, 2).await;
    let early = pay("pay-0-1", &accounts[1], &accounts[3], "0.01");
    is_replayed(world, &early).await;
    gated.heals();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_without_postgres_starts_from_a_standby() {
    let gated = Gated::of(2).await;
    let world = &gated.world;
    let mut first = gated.processor("all");
    first.ready().await;
    let accounts = funded(world).await;
    let second = gated.processor("all");
    second.ready().await;
    pays(world, &accounts, 0).await;
    until("each to own one partition", async || {
        let [one, other] = [&first, &second].map(|node| node.metric("steelyard_standby_whole", ""));
        (one.await == 1.0 && other.await == 1.0).then_some(())
    })
    .await;
    gated.gate.shut();
    pays(world, &accounts, 1).await;
    first.kill();
    until("the other partition to be taken over", async || {
        (bases(&second, "standby").await >= 1.0).then_some(())
    })
    .await;
    owns(&second, 2).await;
    assert_eq!(bases(&second, "log").await, 0.0);
    pays(world, &accounts, 2).await;
    gated.heals();
}

/// The latest record of `key` on `snapshots`, if its version is `version`.
fn latest(world: &World, key: &str, version: u64) -> Option<Vec<u8>> {
    let records = world.records(&world.topic("snapshots"), Some(0));
    let mut ours = records.iter().rev();
    let record = ours.find(|record| record.key() == Some(key.as_bytes()))?;
    let body = json_of(record)?;
    (body["version"] == version).then(|| record.payload().unwrap_or_default().to_vec())
}

/// A late snapshot of a hold that has ended is named by the sink and published again by its owner:
/// whatever compaction leaves, the next owner knows what became of the hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_snapshot_of_a_hold_is_covered_up() {
    let gated = Gated::of(1).await;
    let world = &gated.world;
    let mut first = gated.processor("none");
    first.ready().await;
    let accounts = funded(world).await;
    let (home, mut hold) = pay("hold", &accounts[0], &accounts[1], "1.00");
    hold["hold"] = json!({});
    let held = world.command_record(home, &hold).await;
    let id = world.outcome(held).await["transaction_id"].clone();
    let key = format!("hold:{}", id.as_str().unwrap());
    let open = until("the open hold", async || latest(world, &key, 1)).await;
    let on = |kind: &str, reference: &str| {
        let mut body = json!({"reference": reference, "type": kind, "ledger": "main"});
        body[kind] = json!({"hold": id, "balance": home});
        body
    };
    world.command_record(home, &on("void", "void")).await;
    until("the hold that has ended", async || latest(world, &key, 2)).await;
    world.audit();

    let late = (0, key.as_bytes(), &open[..]);
    world.append("snapshots", late).await;
    let next = pay("next", &accounts[2], &accounts[3], "0.01");
    world.command_record(next.0, &next.1).await;
    until("its end again", async || latest(world, &key, 2)).await;

    gated.gate.shut();
    first.kill();
    let second = gated.processor("none");
    owns(&second, 1).await;
    assert_eq!(bases(&second, "log").await, 1.0);
    let post = world.command_record(home, &on("post", "post")).await;
    let refused = world.outcome(post).await;
    assert_eq!(refused["reason"], "hold-voided", "{refused}");
    gated.heals();
}

/// How many balances and commands there are, unless told as `BALANCES,COMMANDS`.
fn asked() -> (usize, usize) {
    let Ok(text) = std::env::var("STEELYARD_LOG_ALONE") else {
        return (300, 1_000);
    };
    let (balances, commands) = text.split_once(',').unwrap();
    (balances.parse().unwrap(), commands.parse().unwrap())
}

/// Megabytes of memory that `node` has now, and has had at most.
fn memory(node: &Node) -> [u64; 2] {
    let path = format!("/proc/{}/status", node.pid());
    let status = std::fs::read_to_string(path).unwrap();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.trim().parse::<u64>().unwrap() / 1024
    })
}

/// The more there is, the longer it takes, which it prints.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_alone_tells_of_many_balances() {
    let (balances, commands) = asked();
    let gated = Gated::of(1).await;
    let world = &gated.world;
    let mut first = gated.processor("none");
    first.ready().await;
    let name = |n: usize| format!("m{}", n % balances);
    let open = (0..balances).map(|n| {
        let body = json!({"reference": format!("open-{n}"), "type": "open", "ledger": "main",
            "open": {"account": name(n), "asset": "USD", "floor": "-1000000"}});
        (balance_id(&name(n)), body)
    });
    let paid =
        (0..commands - balances).map(|n| pay(&format!("pay-{n}"), &name(n), &name(n + 1), "0.01"));
    let commands: Vec<(Uuid, Value)> = open.chain(paid).collect();
    for some in commands.chunks(50_000) {
        world.send_all(some).await;
        let label = "partition=\"0\"";
        let end = world.end("commands", 0) - 1;
        until("all of them to be decided", async || {
            let at = first
                .metric("steelyard_partition_applied_offset", label)
                .await;
            (at as i64 >= end).then_some(())
        })
        .await;
    }
    gated.gate.shut();
    first.kill();
    let second = gated.processor("none");
    until("the partition to be taken over", async || {
        (bases(&second, "log").await == 1.0).then_some(())
    })
    .await;
    owns(&second, 1).await;
    let said = second.said();
    let line = said
        .lines()
        .find(|line| line.contains("partition taken over"));
    println!("{}", line.unwrap());
    println!("memory: {:?} MB now and at most", memory(&second));
    gated.heals();
}
