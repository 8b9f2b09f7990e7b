//! What the balance sink leaves in hot: the accepted watermark, times-to-live, stale snapshots.
//!
//! H3: a balance gets a time-to-live only for a version that is in cold. Hot may be down: what
//! could not be left then is kept, up to a bound, and left later. The sink never stops for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{RedisResult, Script};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Options;
use super::key::{Keys, stale_name};
use crate::ledger::{BalanceId, PartitionId};
use crate::wire::Subject;

/// Most balances of one script call.
const CHUNK: usize = 1_000;
/// Most balances kept for a hot that is down. Beyond, a balance waits for its next change.
const KEPT_MAX: usize = 1_000_000;
/// How long a call may take, and how long hot is left alone after one that failed.
const CALL_MAX: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(1);

/// KEYS: position, stale set, balances. ARGV: generation, X (empty: none yet), time-to-live in ms,
/// number of stale names, the stale names, one version per balance. Answers how many balances got a
/// time-to-live, or -1 if hot is not of this generation. X only grows (S2).
const SCRIPT: &str = r"
local stale = tonumber(ARGV[4])
for i = 5, 4 + stale do redis.call('SADD', KEYS[2], ARGV[i]) end
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return -1 end
local x = tonumber(ARGV[2])
local accepted = tonumber(redis.call('HGET', KEYS[1], 'accepted') or '') or -1
if x and accepted < x then redis.call('HSET', KEYS[1], 'accepted', ARGV[2]) end
local set = 0
for i = 3, #KEYS do
  local head = string.match(redis.call('GETRANGE', KEYS[i], 0, 20), '^(%d+) ')
  if head and tonumber(head) <= tonumber(ARGV[2 + stale + i]) then
    set = set + redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
end
return set
";

/// What is to be left for one partition.
#[derive(Debug, Default)]
struct Note {
    accepted: Option<u64>,
    synced: HashMap<BalanceId, u64>,
    stale: HashSet<Subject>,
}

/// The sink's way into hot.
pub struct Synced {
    hot: ConnectionManager,
    keys: Keys,
    script: Script,
    generation: String,
    time_to_live_ms: u64,
    notes: HashMap<PartitionId, Note>,
    kept: usize,
    not_before: Instant,
}

impl std::fmt::Debug for Synced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Synced")
            .field("notes", &self.notes.len())
            .finish_non_exhaustive()
    }
}

impl Synced {
    /// # Errors
    /// If the URL cannot be read.
    pub fn new(options: &Options, generation: Uuid, time_to_live: Duration) -> RedisResult<Self> {
        Ok(Self {
            hot: options.connect()?,
            keys: Keys::new(&options.redis_prefix),
            script: Script::new(SCRIPT),
            generation: generation.to_string(),
            time_to_live_ms: u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX),
            notes: HashMap::new(),
            kept: 0,
            not_before: Instant::now(),
        })
    }

    /// Notes that cold has `partition` up to command `accepted`, with these versions.
    pub fn note(
        &mut self,
        partition: PartitionId,
        accepted: u64,
        synced: impl IntoIterator<Item = (BalanceId, u64)>,
    ) {
        let note = self.notes.entry(partition).or_default();
        note.accepted = note.accepted.max(Some(accepted));
        for (id, version) in synced {
            if self.kept < KEPT_MAX && note.synced.insert(id, version).is_none() {
                self.kept += 1;
            }
        }
    }

    /// Names balances and holds whose latest snapshot is not the newest that was published.
    pub fn name_stale(&mut self, partition: PartitionId, stale: impl IntoIterator<Item = Subject>) {
        self.notes.entry(partition).or_default().stale.extend(stale);
    }

    /// Leaves what was noted; what cannot be left now stays noted.
    ///
    /// # Errors
    /// If hot did not take it.
    pub async fn leave(&mut self) -> RedisResult<()> {
        if Instant::now() < self.not_before {
            return Ok(());
        }
        while let Some(partition) = self.notes.keys().next().copied() {
            let note = self.notes.remove(&partition).unwrap_or_default();
            if let Err(error) = self.tell(partition, &note).await {
                self.notes.insert(partition, note);
                self.not_before = Instant::now() + PAUSE;
                return Err(error);
            }
            self.kept -= note.synced.len();
        }
        Ok(())
    }

    async fn tell(&mut self, partition: PartitionId, note: &Note) -> RedisResult<()> {
        let synced: Vec<_> = note.synced.iter().collect();
        let mut stale: Vec<_> = note.stale.iter().collect();
        let mut chunks = synced.chunks(CHUNK);
        let mut chunk = chunks.next().unwrap_or_default();
        loop {
            let mut call = self.script.key(self.keys.position(partition));
            call.key(self.keys.stale(partition));
            // An absent X is an argument too: without one all others would move up.
            let accepted = note.accepted.map(|x| x.to_string()).unwrap_or_default();
            call.arg(&self.generation)
                .arg(accepted)
                .arg(self.time_to_live_ms);
            call.arg(stale.len());
            for subject in stale.drain(..) {
                call.arg(stale_name(*subject));
            }
            for (id, version) in chunk {
                call.key(self.keys.balance(partition, **id)).arg(**version);
            }
            let call = call.invoke_async::<i64>(&mut self.hot);
            timeout(CALL_MAX, call).await.map_err(|_| {
                redis::RedisError::from((redis::ErrorKind::Io, "hot does not answer in time"))
            })??;
            match chunks.next() {
                Some(next) => chunk = next,
                None => return Ok(()),
            }
        }
    }
}
