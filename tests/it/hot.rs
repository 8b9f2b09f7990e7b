//! The owner's writes to hot, as its readers see them (H1, H2).

use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use steelyard::hot;
use steelyard::hot::key::Keys;
use steelyard::hot::read::{HotAnswer, Reader};
use steelyard::hot::store::{Claimed, Entry, Step, Store, Written};
use steelyard::ledger::BalanceId;
use uuid::Uuid;

struct Hot {
    redis: ConnectionManager,
    keys: Keys,
    store: Store,
    reader: Reader,
}

impl Hot {
    fn new() -> Self {
        let options = hot::Options {
            redis_url: std::env::var("STEELYARD_REDIS_URL").expect("run ./dev test"),
            redis_prefix: format!("h{}", Uuid::new_v4().simple()),
        };
        let redis = options.connect().unwrap();
        let keys = Keys::new(&options.redis_prefix);
        Self {
            store: Store::new(redis.clone(), keys.clone(), 0, Uuid::from_u128(7)),
            reader: Reader::new(redis.clone(), keys.clone(), Duration::from_secs(5)),
            redis,
            keys,
        }
    }

    async fn write(&mut self, step: Step, balances: &[(u128, u64)]) {
        let entry = |(number, version): &(u128, u64)| Entry {
            id: id(*number),
            text: format!("{version} {{}}").into(),
        };
        let entries: Vec<Entry> = balances.iter().map(entry).collect();
        let written = self.store.write(step, &entries).await.unwrap();
        assert!(matches!(written, Written::Done { .. }), "{written:?}");
    }

    /// The version that a reader sees.
    async fn version(&self, number: u128) -> Result<u64, HotAnswer> {
        match self.reader.balance(0, id(number)).await.unwrap() {
            HotAnswer::Found(found) => Ok(found.version),
            other @ (HotAnswer::Absent | HotAnswer::Untrusted) => Err(other),
        }
    }

    async fn offset(&mut self) -> Option<u64> {
        self.redis
            .hget(self.keys.position(0), "offset")
            .await
            .unwrap()
    }
}

fn id(number: u128) -> BalanceId {
    BalanceId::new(Uuid::from_u128(number))
}

fn step(expected: Option<(u64, u64)>, offset: u64, installed: bool) -> Step {
    Step {
        epoch: 5,
        expected,
        offset,
        at_ms: 1,
        installed,
    }
}

#[tokio::test]
async fn a_write_of_several_calls_shows_all_of_itself_or_nothing() {
    let mut hot = Hot::new();
    assert!(matches!(hot.store.claim(5).await, Ok(Claimed::Yes(_))));
    hot.write(step(None, 10, true), &[(1, 1), (2, 1)]).await;
    assert_eq!((hot.version(1).await, hot.version(2).await), (Ok(1), Ok(1)));

    // One of two calls: a credit may be in it, and its debit in the other.
    hot.write(step(Some((10, 10)), 20, false), &[(1, 2)]).await;
    assert_eq!(hot.version(1).await, Err(HotAnswer::Untrusted));
    assert_eq!(hot.version(2).await, Err(HotAnswer::Untrusted));
    assert_eq!(
        hot.offset().await,
        Some(10),
        "whoever claims it now must know"
    );

    hot.write(step(Some((10, 10)), 20, true), &[(2, 2)]).await;
    assert_eq!((hot.version(1).await, hot.version(2).await), (Ok(2), Ok(2)));
    assert_eq!(hot.offset().await, Some(20));
}

#[tokio::test]
async fn what_a_later_owner_installed_is_not_removed() {
    let mut hot = Hot::new();
    hot.store.claim(5).await.unwrap();
    hot.write(step(None, 10, true), &[(1, 1)]).await;
    hot.store.claim(6).await.unwrap();
    hot.store.wipe(5).await.unwrap();
    let key = hot.keys.balance(0, id(1));
    assert!(hot.redis.exists::<_, bool>(&key).await.unwrap());
    hot.store.wipe(6).await.unwrap();
    assert!(!hot.redis.exists::<_, bool>(&key).await.unwrap());
}
