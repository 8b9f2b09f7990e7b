//! One world per test: its own topics, Redis prefix and schema, and the nodes it starts.

pub mod broker;
pub mod ending;
pub mod gate;
pub mod kafka;
pub mod node;
pub mod redis;
pub mod secure;
pub mod tools;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::ending::Ending;
use self::node::Node;

/// Everything that a test shares with nobody.
pub struct World {
    pub name: String,
    pub partitions: u16,
    pub kafka: String,
    /// librdkafka's properties for every client.
    properties: Vec<(String, String)>,
    redis: String,
    database: String,
    pub ending: Ending,
    /// Whether a node with sinks was ever launched.
    sinks: AtomicBool,
}

/// How long a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    /// A fresh world of `partitions` partitions.
    pub fn new(partitions: u16) -> Self {
        Self::on_kafka(partitions, need("STEELYARD_KAFKA_BROKERS"), Vec::new())
    }

    /// A fresh world on another broker, whose clients have these properties.
    pub fn on_kafka(partitions: u16, kafka: String, properties: Vec<(String, String)>) -> Self {
        let world = Self::unmade(partitions, kafka, properties);
        world.run(&["topics", "apply"]);
        world.run(&["migrate"]);
        world
    }

    /// A world without topics and tables.
    fn unmade(partitions: u16, kafka: String, properties: Vec<(String, String)>) -> Self {
        Self {
            name: format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..12]),
            partitions,
            kafka,
            properties,
            redis: need("STEELYARD_REDIS_URL"),
            database: need("STEELYARD_DATABASE_URL"),
            ending: Ending::default(),
            sinks: AtomicBool::new(false),
        }
    }

    /// A world whose topics are as declared and empty, genesis records and tables not there.
    pub async fn empty(partitions: u16) -> Self {
        let kafka = need("STEELYARD_KAFKA_BROKERS");
        let world = Self::unmade(partitions, kafka, Vec::new());
        let mut log = broker::TestLog::new(partitions);
        log.options.topic_prefix.clone_from(&world.name);
        log.names = log.options.topics();
        for topic in log.names.all() {
            log.create_bare(topic).await;
        }
        world
    }

    /// The same world with its balances in another Redis.
    pub fn on_redis(mut self, url: String) -> Self {
        self.redis = url;
        self
    }

    /// What hot holds of accounts, byte for byte.
    pub async fn hot_bytes(&self, accounts: &[&str]) -> Vec<Option<String>> {
        use steelyard::ledger::{BalanceId, partition_of};
        let keys = steelyard::hot::key::Keys::new(&self.name);
        let names = accounts.iter().map(|account| {
            let id = BalanceId::new(balance_id(account));
            keys.balance(partition_of(id, self.partitions), id)
        });
        let names: Vec<String> = names.collect();
        let mut ask = ::redis::cmd("MGET");
        let mut redis = self.redis().await;
        ask.arg(names).query_async(&mut redis).await.expect("hot")
    }

    /// The binary with this world's environment and nothing else of ours.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steelyard"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STEELYARD_")) {
            command.env_remove(name);
        }
        command
            .env("STEELYARD_KAFKA_BROKERS", &self.kafka)
            .env("STEELYARD_KAFKA_PROPERTIES", lines(&self.properties))
            .env("STEELYARD_REDIS_URL", &self.redis)
            .env("STEELYARD_DATABASE_URL", &self.database)
            .env("STEELYARD_TOPIC_PREFIX", &self.name)
            .env("STEELYARD_REDIS_PREFIX", &self.name)
            .env("STEELYARD_DATABASE_SCHEMA", &self.name)
            .env("STEELYARD_PARTITIONS", self.partitions.to_string())
            .env("STEELYARD_REPLICATION_FACTOR", "1")
            .env("STEELYARD_LEG_SECRET", SECRET)
            .env("STEELYARD_REPLY_TOPICS", format!("{}.answers", self.name))
            .env("STEELYARD_WAIT_DEFAULT", "15s")
            .env("STEELYARD_CLAIM_TIMEOUT", "5s")
            .env("STEELYARD_FLUSH_MS", "100")
            .env("STEELYARD_SESSION_MS", "6000");
        command
    }

    /// How this world's log is reached.
    pub fn log(&self) -> steelyard::log::Options {
        steelyard::log::Options {
            kafka_brokers: self.kafka.clone(),
            kafka_properties: vec![self.properties.clone()],
            topic_prefix: self.name.clone(),
        }
    }

    /// Runs a command to its end.
    pub fn output(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("the binary runs")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "steelyard {args:?} failed:\n{out}\n{err}"
        );
        out.into_owned()
    }

    /// Starts a node that runs `role` and waits until it is ready.
    pub async fn start(&self, role: &str) -> Node {
        let node = self.launch(role, &[]);
        node.ready().await;
        node
    }

    /// Starts a node, with more of an environment, without waiting.
    pub fn launch(&self, role: &str, more: &[(&str, &str)]) -> Node {
        let mut command = self.command();
        command.env("STEELYARD_INSECURE", "true");
        command.envs(more.iter().copied());
        if ["all", "sink"].contains(&role) {
            self.sinks.store(true, Ordering::SeqCst);
        }
        Node::start(command, role, self.ending.clone())
    }

    /// The audit's verdict once the sinks have caught up, started where the test needed none; the
    /// test fails if it is not clean. Processors are still at work.
    pub fn audit(&self) {
        let sinks = self.sinks.load(Ordering::SeqCst);
        let _sinks = (!sinks).then(|| self.launch("sink", &[]));
        let output = self.output(&["audit", "--wait", "60"]);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "the audit is not clean:\n{out}\n{err}"
        );
        self.ending.audited();
    }

    /// A connection to this world's Redis.
    pub async fn redis(&self) -> ::redis::aio::MultiplexedConnection {
        let client = ::redis::Client::open(self.redis.as_str()).expect("a redis URL");
        client
            .get_multiplexed_async_connection()
            .await
            .expect("redis answers")
    }

    /// A connection pool to this world's schema.
    pub async fn postgres(&self) -> sqlx::PgPool {
        use std::str::FromStr;
        let options = sqlx::postgres::PgConnectOptions::from_str(&self.database)
            .expect("a database URL")
            .options([("search_path", self.name.as_str())]);
        sqlx::PgPool::connect_with(options)
            .await
            .expect("postgres answers")
    }
}

fn need(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run ./dev test"))
}

fn lines(properties: &[(String, String)]) -> String {
    let lines = properties
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    lines.collect()
}

/// Seals the legs of every test.
pub const SECRET: &str = "a secret that only the tests know";

impl Drop for World {
    fn drop(&mut self) {
        kafka::delete_topics(self);
        self.ending.demand();
    }
}

/// Asks `ask` again and again until it gives something; `what` is said when patience ends.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, ask).await
}

/// [`until`] with another patience.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < patience, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A transfer's body for HTTP.
pub fn transfer(reference: &str, source: &str, destination: &str, amount: &str) -> Value {
    json!({
        "reference": reference,
        "postings": [
            {"source": source, "destination": destination, "amount": amount, "asset": "USD"}
        ],
    })
}

/// The id of a default balance of an account in USD in `default/main`.
pub fn balance_id(account: &str) -> uuid::Uuid {
    use steelyard::ledger::{Asset, BalanceId};
    let asset = Asset::parse("USD").expect("an asset");
    BalanceId::of("default/main", account, &asset, "default").uuid()
}

/// An account of the family `stem0, stem1…` whose balance is in `partition` of `count`.
pub fn account_in(stem: &str, partition: u16, count: u16) -> String {
    use steelyard::ledger::{BalanceId, partition_of};
    let lives = |name: &String| partition_of(BalanceId::new(balance_id(name)), count) == partition;
    (0..)
        .map(|n| format!("{stem}{n}"))
        .find(lives)
        .expect("some account lives there")
}
