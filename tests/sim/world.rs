//! The world of one run: the log, hot, cold, time, and what must be true of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::quality::{FixedState, FoldHasher};
use steelyard::ledger::{Asset, BalanceId, Command, PartitionId, Setting, TransactionId};
use steelyard::oracle::Oracle;
use steelyard::wire::Secret;
use uuid::Uuid;

use crate::breaks::Break;
use crate::chance::Chance;
use crate::cold::Cold;
use crate::gate::{Gate, Wait};
use crate::log::Log;
use crate::redis::Redis;
use crate::truth::Truth;

/// The log's identity in every run.
pub(crate) const GENERATION: Uuid = Uuid::from_u128(0x0190_7e1b_5d3a_7c40_8000_0000_0000_0042);
/// Where time begins, in milliseconds since the epoch.
const EPOCH_MS: i64 = 1_790_000_000_000;

/// A handle on the world.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) broken: Option<Break>,
    /// Since the run began.
    pub(crate) now: Duration,
    began: Instant,
    /// How far brokers' clocks are off, by partition.
    pub(crate) skew_ms: Vec<i64>,
    /// Calls on their way, there or back.
    pub(crate) calls: Vec<Arc<Gate>>,
    pub(crate) sleepers: BTreeMap<(Duration, u64), Arc<Gate>>,
    slept: u64,
    pub(crate) count: PartitionId,
    pub(crate) setting: Setting,
    pub(crate) secret: Secret,
    pub(crate) log: Log,
    pub(crate) redis: Redis,
    pub(crate) cold: Cold,
    pub(crate) truth: Vec<Truth>,
    pub(crate) oracle: Oracle,
    /// Every hold that was asked for, with its first source: what clients have heard of.
    pub(crate) holds: Vec<(TransactionId, BalanceId)>,
    /// Every transaction that could be reversed, with its command.
    pub(crate) moved: Vec<(TransactionId, Arc<Command>)>,
    /// By asset: what has no room any more where it came from.
    pub(crate) stays: BTreeMap<Asset, i128>,
    /// What was reached at least once, and how often.
    pub(crate) reached: BTreeMap<&'static str, u64>,
    digest: FoldHasher<'static>,
    /// Every event as text, if somebody wants to read it.
    pub(crate) story: Option<String>,
}

impl Sim {
    pub(crate) fn new(
        seed: u64,
        count: PartitionId,
        horizon_seconds: u64,
        broken: Option<Break>,
    ) -> Self {
        let setting = Setting {
            generation: GENERATION,
            horizon_seconds,
        };
        let secret = Secret::new("a secret of the simulator").unwrap();
        let world = World {
            chance: Chance::new(seed),
            broken,
            now: Duration::ZERO,
            began: Instant::now(),
            skew_ms: vec![0; count.into()],
            calls: Vec::new(),
            sleepers: BTreeMap::new(),
            slept: 0,
            count,
            setting,
            log: Log::new(count),
            redis: Redis::new(count),
            cold: Cold::new(count),
            truth: (0..count)
                .map(|id| Truth::new(id, count, &secret))
                .collect(),
            oracle: Oracle::new(count),
            holds: Vec::new(),
            moved: Vec::new(),
            secret,
            stays: BTreeMap::new(),
            reached: BTreeMap::new(),
            digest: FixedState::with_seed(seed).build_hasher(),
            story: std::env::var_os("STEELYARD_SIM_STORY").map(|_| String::new()),
        };
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call on its way: anything may happen before it arrives.
    pub(crate) async fn travel(&self) {
        let gate = Arc::new(Gate::default());
        self.lock().calls.push(gate.clone());
        Wait::at(gate).await;
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        let gate = Arc::new(Gate::default());
        let key = {
            let mut world = self.lock();
            world.slept += 1;
            let key = (world.now + time, world.slept);
            world.sleepers.insert(key, gate.clone());
            key
        };
        Wait::until(gate, self.clone(), key).await;
    }

    pub(crate) fn forget_sleeper(&self, key: (Duration, u64)) {
        self.lock().sleepers.remove(&key);
    }

    pub(crate) fn instant(&self) -> Instant {
        let world = self.lock();
        world.began + world.now
    }

    pub(crate) fn clock_ms(&self) -> i64 {
        self.lock().clock_ms()
    }
}

impl World {
    pub(crate) fn is_broken(&self, rule: Break) -> bool {
        self.broken == Some(rule)
    }

    pub(crate) fn clock_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.now.as_millis()).unwrap_or(0)
    }

    /// Notes that something which must happen sometimes has happened.
    pub(crate) fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// Makes the event part of what a replay must repeat.
    pub(crate) fn tell(&mut self, what: &str, number: u64, bytes: &[u8]) {
        self.digest.write(what.as_bytes());
        self.digest.write_u64(number);
        self.digest.write(bytes);
        if let Some(story) = &mut self.story {
            let text = String::from_utf8_lossy(bytes);
            let _ = writeln!(story, "{:?} {what} {number} {text}", self.now);
        }
    }

    /// What stands for everything that has happened.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Lets time pass, and wakes whoever waited for it.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        while let Some(first) = self.sleepers.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            first.remove().open();
        }
    }

    /// Lets time pass until the next sleeper wakes.
    pub(crate) fn pass_to_next(&mut self) -> bool {
        let Some((at, _)) = self.sleepers.first_key_value().map(|(key, _)| *key) else {
            return false;
        };
        self.pass(at.saturating_sub(self.now));
        true
    }
}
