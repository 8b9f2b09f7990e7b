//! The audit against real stores: clean as the system would have left them, and each one broken
//! in turn.

#[path = "../../src/audit/tests/world.rs"]
#[expect(dead_code, reason = "shared with the audit's own tests")]
mod world;

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::PgPool;
use steelyard::audit::{self, Report, Verdict};
use steelyard::{cold, hot, ledger, log, wire};
use uuid::Uuid;

use wire::{BalanceBody, OutcomeBody};
use world::{Bytes, FIRST, GENERATION, World, day};

/// One test's own topics, keys and schema.
struct Stores {
    log: log::Options,
    hot: hot::Options,
    pool: PgPool,
    redis: redis::aio::ConnectionManager,
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names a service this test needs"))
}

impl Stores {
    async fn new() -> Self {
        let unique = format!("audit_{}", Uuid::new_v4().simple());
        let log = log::Options {
            kafka_brokers: env("STEELYARD_KAFKA_BROKERS"),
            kafka_properties: Vec::new(),
            topic_prefix: unique.clone(),
        };
        let hot = hot::Options {
            redis_url: env("STEELYARD_REDIS_URL"),
            redis_prefix: unique.clone(),
        };
        let cold = cold::Options {
            database_url: env("STEELYARD_DATABASE_URL"),
            database_schema: unique,
            database_connections: 4,
        };
        let pool = cold.connect().unwrap();
        cold.migrate(&pool).await.unwrap();
        let redis = hot.connect().unwrap();
        Self {
            log,
            hot,
            pool,
            redis,
        }
    }

    async fn topics(&self, partitions: usize) {
        let admin: AdminClient<_> = self.log.client().create().unwrap();
        let topics = self.log.topics();
        let count = i32::try_from(partitions).unwrap();
        let new = [&topics.commands, &topics.outcomes]
            .map(|name| NewTopic::new(name, count, TopicReplication::Fixed(1)));
        let made = admin
            .create_topics(&new, &AdminOptions::new())
            .await
            .unwrap();
        made.into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    /// Appends records, `skip` of each partition left out.
    async fn append(&self, topic: &str, partitions: &[Vec<Bytes>], skip: usize) {
        let producer: FutureProducer = self.log.producer().create().unwrap();
        for (partition, records) in (0..).zip(partitions) {
            for (key, value) in records.iter().skip(skip) {
                let record = FutureRecord::to(topic)
                    .partition(partition)
                    .key(key)
                    .payload(value);
                producer
                    .send(record, Duration::from_secs(20))
                    .await
                    .unwrap();
            }
        }
    }

    /// Leaves everything as a system that has come to rest would.
    async fn settle(&mut self, world: &World) {
        self.topics(world.partitions.len()).await;
        let topics = self.log.topics();
        self.append(&topics.commands, &world.commands, 0).await;
        self.append(&topics.outcomes, &world.outcomes, 0).await;
        for partition in 0..u16::try_from(world.partitions.len()).unwrap() {
            self.fill_hot(world, partition).await;
            self.fill_cold(world, partition).await;
        }
    }

    async fn fill_hot(&mut self, world: &World, partition: u16) {
        let keys = hot::key::Keys::new(&self.hot.redis_prefix);
        let marker = world.marker(partition);
        let mut pipe = redis::pipe();
        for (id, value) in world.hot(partition) {
            pipe.set(keys.balance(partition, id), value).ignore();
        }
        let fields = [
            ("epoch", "1".to_owned()),
            ("offset", marker.command_offset.to_string()),
            ("generation", GENERATION.to_string()),
            ("installed", "1".to_owned()),
            ("accepted", marker.command_offset.to_string()),
        ];
        pipe.hset_multiple(keys.position(partition), &fields)
            .ignore();
        pipe.exec_async(&mut self.redis).await.unwrap();
    }

    async fn fill_cold(&self, world: &World, partition: u16) {
        let state = &world.partitions[usize::from(partition)];
        for (id, balance) in state.balances() {
            let body = BalanceBody::of(id, &balance, partition, 1);
            sqlx::query(
                "insert into balances values \
                 ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            )
            .bind(body.id)
            .bind(&*body.ledger)
            .bind(&*body.account)
            .bind(&*body.key)
            .bind(&*body.asset)
            .bind(body.posted.0)
            .bind(body.held.0)
            .bind(body.incoming.0)
            .bind(body.floor.map(|floor| floor.0))
            .bind(body.ceiling.map(|ceiling| ceiling.0))
            .bind(&*body.status)
            .bind(stored(body.version))
            .bind(i32::from(partition))
            .bind(stored(body.command_offset))
            .bind(1_i64)
            .execute(&self.pool)
            .await
            .unwrap();
        }
        for (_, value) in world.outcomes[usize::from(partition)].iter().skip(FIRST) {
            self.journal(&OutcomeBody::parse(value).unwrap()).await;
        }
        let marker = world.marker(partition);
        let (_, last) = world.outcomes[usize::from(partition)].last().unwrap();
        for sink in ["balances", "journal"] {
            sqlx::query(
                "insert into sink_positions values ($1, $2, $3, $4, $5, $6, $7, $8, now())",
            )
            .bind(sink)
            .bind(i32::from(partition))
            .bind(stored(marker.position + 1))
            .bind(stored(marker.command_offset))
            .bind(marker.at.utc())
            .bind(serde_json::to_string(&marker).unwrap())
            .bind(wire::outcome::hash(last).0.to_vec())
            .bind(GENERATION)
            .execute(&self.pool)
            .await
            .unwrap();
        }
    }

    async fn journal(&self, body: &OutcomeBody<'_>) {
        sqlx::query("select ensure_month($1)")
            .bind(body.at.utc())
            .execute(&self.pool)
            .await
            .unwrap();
        let (Some(id), None) = (body.transaction_id, body.replay_of) else {
            return;
        };
        sqlx::query(
            "insert into transactions (transaction_id, partition, command_offset, at, ledger, \
             reference, type, status, reason, fingerprint) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, '')",
        )
        .bind(id)
        .bind(i32::from(body.partition))
        .bind(stored(body.offset))
        .bind(body.at.utc())
        .bind(body.ledger.as_deref())
        .bind(body.reference.as_deref())
        .bind(body.kind.as_deref())
        .bind(&*body.status)
        .bind(body.reason.as_deref())
        .execute(&self.pool)
        .await
        .unwrap();
        let home = ledger::TransactionId::from_uuid(id).unwrap();
        if (home.home(), home.offset()) == (body.partition, body.offset) {
            sqlx::query(
                "insert into transaction_references \
                 select ledger, reference, transaction_id, at from transactions \
                 where transaction_id = $1 on conflict do nothing",
            )
            .bind(id)
            .execute(&self.pool)
            .await
            .unwrap();
        }
        for entry in &body.entries {
            sqlx::query(
                "insert into entries values \
                 ($1, $2, $3, $4, $5, $6, null, $7, $8, $9, $10, $11, $12)",
            )
            .bind(entry.balance)
            .bind(stored(entry.version))
            .bind(id)
            .bind(i32::from(body.partition))
            .bind(stored(body.offset))
            .bind(body.at.utc())
            .bind(&*entry.direction)
            .bind(entry.amount.0)
            .bind(&*entry.asset)
            .bind(entry.posted.0)
            .bind(entry.held.0)
            .bind(entry.incoming.0)
            .execute(&self.pool)
            .await
            .unwrap();
        }
    }

    async fn audit(&self, wait_seconds: u64) -> Report {
        let options = audit::Options {
            wait_seconds,
            ..audit::Options::default()
        };
        audit::run(&options, &self.log, &self.hot, &self.pool, None)
            .await
            .unwrap()
    }

    async fn sql(&self, query: &'static str) {
        let done = sqlx::query(query).execute(&self.pool).await.unwrap();
        assert!(done.rows_affected() > 0, "{query} changed nothing");
    }

    /// The checks that are broken after `query`, which is then undone by `undo`.
    async fn broken_by(&self, query: &'static str, undo: &'static str) -> Vec<&'static str> {
        self.sql(query).await;
        let broken = broken(&self.audit(0).await);
        self.sql(undo).await;
        broken
    }

    async fn end(mut self) {
        let admin: AdminClient<_> = self.log.client().create::<AdminClient<_>>().unwrap();
        let topics = self.log.topics();
        let names = [&*topics.commands, &*topics.outcomes];
        admin
            .delete_topics(&names, &AdminOptions::new())
            .await
            .unwrap();
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("{{{}:*", self.hot.redis_prefix))
            .query_async(&mut self.redis)
            .await
            .unwrap();
        if !keys.is_empty() {
            let mut del = redis::cmd("DEL");
            del.arg(keys).exec_async(&mut self.redis).await.unwrap();
        }
        sqlx::raw_sql(
            "do $$ begin execute format('drop schema %I cascade', current_schema()); end $$",
        )
        .execute(&self.pool)
        .await
        .unwrap();
    }
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

fn broken(report: &Report) -> Vec<&'static str> {
    let broken = report
        .checks
        .iter()
        .filter(|check| check.verdict() == Verdict::Broken);
    broken.map(|check| check.name).collect()
}

#[tokio::test]
async fn a_system_at_rest_is_clean_and_each_store_broken_is_found() {
    let (mut stores, world) = (Stores::new().await, day());
    stores.settle(&world).await;
    let report = stores.audit(5).await;
    println!("{report}");
    assert!(report.clean, "{report}");
    assert_eq!((report.exit_code(), report.checks.len()), (0, 12));
    assert!(
        report.checks.iter().all(|check| check.examined > 0),
        "{report}"
    );

    let row = "update balances set posted = posted + 1 where account like 'alice%'";
    let back = "update balances set posted = posted - 1 where account like 'alice%'";
    assert_eq!(stores.broken_by(row, back).await, ["cold"]);
    let entry = "update entries set amount = amount + 1 where direction = 'debit' and version = 3";
    let back = "update entries set amount = amount - 1 where direction = 'debit' and version = 3";
    assert_eq!(stores.broken_by(entry, back).await, ["journal"]);
    let status = "update transactions set status = 'applied' where reason is not null";
    let back = "update transactions set status = 'rejected' where reason is not null";
    assert_eq!(stores.broken_by(status, back).await, ["journal"]);
    let lost = "delete from transaction_references where reference = 'pay-1'";
    let back = "insert into transaction_references \
                select ledger, reference, transaction_id, at from transactions \
                where reference = 'pay-1'";
    assert_eq!(stores.broken_by(lost, back).await, ["references"]);
    let other = "update transaction_references r set transaction_id = t.transaction_id \
                 from transactions t where r.reference = 'pay-1' and t.reference = 'pay-4'";
    let back = "update transaction_references r set transaction_id = t.transaction_id \
                from transactions t where r.reference = 'pay-1' and t.reference = 'pay-1'";
    assert_eq!(stores.broken_by(other, back).await, ["references"]);
    let never = "insert into transaction_references \
                 select ledger, 'never', transaction_id, at from transactions \
                 where reference = 'pay-1'";
    let back = "delete from transaction_references where reference = 'never'";
    assert_eq!(stores.broken_by(never, back).await, ["references"]);
    let marker = "update sink_positions set marker = replace(marker, '\"position\":', '\"position\":1') where sink = 'balances'";
    let back = "update sink_positions set marker = replace(marker, '\"position\":1', '\"position\":') where sink = 'balances'";
    assert_eq!(stores.broken_by(marker, back).await, ["cold"]);

    let keys = hot::key::Keys::new(&stores.hot.redis_prefix);
    let (id, value) = world.hot(0)[0].clone();
    let changed = value.replacen("\"held\":\"0.00\"", "\"held\":\"1.00\"", 1);
    for (value, found) in [(changed, vec!["hot"]), (value, vec![])] {
        let mut set = redis::cmd("SET");
        set.arg(keys.balance(0, id)).arg(value);
        set.exec_async(&mut stores.redis).await.unwrap();
        let report = stores.audit(0).await;
        assert_eq!(broken(&report), found, "{report}");
    }
    let removed = redis::cmd("DEL").arg(keys.balance(0, id)).clone();
    removed.exec_async(&mut stores.redis).await.unwrap();
    assert!(stores.audit(0).await.clean, "what is absent is in cold");
    stores.end().await;
}

#[tokio::test]
async fn a_difference_is_told_with_its_history() {
    let (mut stores, world) = (Stores::new().await, day());
    stores.settle(&world).await;
    stores
        .sql("update balances set posted = 0 where account like 'alice%'")
        .await;
    let report = stores.audit(0).await;
    let first = report
        .check("cold")
        .and_then(|check| check.first.clone())
        .unwrap();
    assert!(
        first.what.contains("posted is 0, the outcomes give 68.5"),
        "{first}"
    );
    assert_eq!(first.history.len(), 5);
    assert!(
        first.history[4].ends_with("applied pay-4"),
        "{:?}",
        first.history
    );
    assert!(
        report.to_string().ends_with("audit: 1 difference"),
        "{report}"
    );
    assert_eq!(
        report.json()["checks"][7]["first"]["partition"],
        0,
        "{:#}",
        report.json()
    );
    stores.end().await;
}

#[tokio::test]
async fn a_log_with_a_hole_and_a_store_that_is_away() {
    let (mut stores, mut world) = (Stores::new().await, day());
    world.outcomes[0].remove(FIRST + 4);
    stores.settle(&world).await;
    stores.hot.redis_url = "redis://127.0.0.1:1".to_owned();
    let report = stores.audit(0).await;
    assert!(broken(&report).contains(&"chain"), "{report}");
    assert_eq!(
        report.check("hot").unwrap().verdict(),
        Verdict::Untold,
        "{report}"
    );
    assert_eq!(report.exit_code(), 1);
    stores.hot.redis_url = env("STEELYARD_REDIS_URL");
    stores.end().await;
}

#[tokio::test]
async fn a_reference_in_two_partitions_is_found_with_both_transactions() {
    let (mut stores, mut world) = (Stores::new().await, World::new(2));
    let (alice, carol, source) = (
        world.open("alice", 0),
        world.open("carol", 1),
        world.world(),
    );
    world.transfer("in-1", source, alice, "10.00");
    world.transfer("in-2", source, carol, "10.00");
    world.deliver();
    world.transfer("order-1", alice, source, "1.00");
    world.transfer("order-1", carol, source, "1.00");
    world.deliver();
    stores.settle(&world).await;
    let report = stores.audit(0).await;
    assert_eq!(broken(&report), ["once"], "{report}");
    let first = report
        .check("once")
        .and_then(|check| check.first.clone())
        .unwrap();
    let named = first
        .history
        .iter()
        .filter(|line| line.contains("reference order-1"));
    assert_eq!(named.count(), 2, "{first:?}");
    stores.end().await;
}

#[tokio::test]
async fn a_trimmed_log_starts_from_cold() {
    let (mut stores, mut world) = (Stores::new().await, day());
    stores.settle(&world).await;
    let low = i64::try_from(world.outcomes[0].len()).unwrap() - 1;
    let mut list = rdkafka::TopicPartitionList::new();
    let offset = rdkafka::Offset::Offset(low);
    list.add_partition_offset(&stores.log.topics().outcomes, 0, offset)
        .unwrap();
    let admin: AdminClient<_> = stores.log.client().create().unwrap();
    admin
        .delete_records(&list, &AdminOptions::new())
        .await
        .unwrap();
    let before = world.outcomes[0].len();
    let alice = world.open("late", 0);
    world.transfer("late-1", world.world(), alice, "1.00");
    let later = [world.outcomes[0][before..].to_vec()];
    let commands = [world.commands[0][world.commands[0].len() - 2..].to_vec()];
    let topics = stores.log.topics();
    stores.append(&topics.commands, &commands, 0).await;
    stores.append(&topics.outcomes, &later, 0).await;
    let report = stores.audit(0).await;
    assert!(report.clean, "{report}");
    let fold = report.check("fold").unwrap();
    assert!(fold.notes[0].contains("outcomes are trimmed"), "{report}");
    stores.fill_hot(&world, 0).await;
    sqlx::query("update sink_positions set command_offset = 0")
        .execute(&stores.pool)
        .await
        .unwrap();
    assert!(!stores.audit(0).await.clean);
    stores.end().await;
}

#[tokio::test]
async fn without_a_log_nothing_can_be_told() {
    let stores = Stores::new().await;
    let options = audit::Options::default();
    let told = audit::run(&options, &stores.log, &stores.hot, &stores.pool, None).await;
    assert!(told.unwrap_err().to_string().contains("kafka"));
    stores.end().await;
}
