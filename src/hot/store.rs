//! The owner's side of hot: claim a partition, install its state, write a batch (H1, H2).
//!
//! Every write is one script that first compares (epoch, command offset) with what this owner
//! last wrote. A script whose reply was lost may have run: the next one accepts both positions.

use redis::aio::ConnectionManager;
use redis::{FromRedisValue, RedisResult, Script, Value};
use uuid::Uuid;

use super::key::{Keys, parse_stale};
use crate::ledger::{BalanceId, PartitionId};
use crate::wire::Subject;

/// How the owner of a partition writes to hot.
#[derive(Clone, Debug)]
pub struct Store {
    connection: ConnectionManager,
    keys: Keys,
    partition: PartitionId,
    generation: Uuid,
}

/// A balance to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: BalanceId,
    /// `<version> <JSON>`.
    pub text: bytes::Bytes,
}

/// Where hot stands, as its position says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: Option<u64>,
    pub offset: Option<u64>,
    /// The sink's watermark X.
    pub accepted: Option<u64>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done; the sink's watermark X, and how much the sink wants published again.
    Done { accepted: Option<u64>, stale: u64 },
    /// Hot is not what this owner last wrote.
    Conflict(Position),
    /// Hot belongs to another log: an operator must part them.
    OtherLog,
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Ours now; where it stood before.
    Yes(Position),
    /// A later owner has it.
    Newer(u64),
    OtherLog,
}

/// What a write expects and leaves.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub epoch: u64,
    /// Offsets that hot may stand at; `None` while installing, when only the epoch counts.
    pub expected: Option<(u64, u64)>,
    /// The last command in hot afterwards, if it is whole then.
    pub offset: u64,
    /// Log time of that command, in milliseconds.
    pub at_ms: i64,
    /// Whether hot is whole from here on. Until it is, its position stays where it stood, and
    /// readers look elsewhere.
    pub installed: bool,
}

const CLAIM: &str = r"
local stood = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'accepted', 'generation')
if stood[4] and stood[4] ~= ARGV[2] then return {'other'} end
if stood[1] and tonumber(stood[1]) > tonumber(ARGV[1]) then return {'newer', stood[1]} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'generation', ARGV[2])
redis.call('HDEL', KEYS[1], 'installed')
return {'yes', stood[1] or '', stood[2] or '', stood[3] or ''}
";

const WRITE: &str = r"
local stood = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'accepted', 'generation')
if stood[4] and stood[4] ~= ARGV[2] then return {'other'} end
local ours = stood[1] == ARGV[1]
local known = ARGV[3] == '' or stood[2] == ARGV[3] or stood[2] == ARGV[4]
if not ours or not known then
  return {'conflict', stood[1] or '', stood[2] or '', stood[3] or ''}
end
for i = 3, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 5]) end
if ARGV[7] == '1' then
  local clock = redis.call('TIME')
  local beat = clock[1] .. string.format('%03d', math.floor(tonumber(clock[2]) / 1000))
  redis.call('HSET', KEYS[1], 'offset', ARGV[5], 'at', ARGV[6], 'beat', beat, 'installed', '1')
else
  redis.call('HDEL', KEYS[1], 'installed')
end
return {'done', stood[3] or '', tostring(redis.call('SCARD', KEYS[2]))}
";

const WIPE: &str = r"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return 1
";

/// Most balances of one script call; larger writes are an installation in several.
pub const WRITE_MAX: usize = 5_000;

impl Store {
    pub fn new(
        connection: ConnectionManager,
        keys: Keys,
        partition: PartitionId,
        generation: Uuid,
    ) -> Self {
        Self {
            connection,
            keys,
            partition,
            generation,
        }
    }

    /// Claims the partition for `epoch`. Readers fall back to cold until it is installed.
    pub async fn claim(&mut self, epoch: u64) -> RedisResult<Claimed> {
        let script = Script::new(CLAIM);
        let mut call = script.key(self.keys.position(self.partition));
        call.arg(epoch).arg(self.generation.to_string());
        let reply: Vec<Value> = call.invoke_async(&mut self.connection).await?;
        Ok(match word(&reply, 0)?.as_str() {
            "other" => Claimed::OtherLog,
            "newer" => Claimed::Newer(number(&reply, 1)?.unwrap_or(u64::MAX)),
            _ => Claimed::Yes(Position {
                epoch: number(&reply, 1)?,
                offset: number(&reply, 2)?,
                accepted: number(&reply, 3)?,
            }),
        })
    }

    /// Writes a batch: at most [`WRITE_MAX`] balances, all or nothing.
    pub async fn write(&mut self, step: Step, values: &[Entry]) -> RedisResult<Written> {
        let script = Script::new(WRITE);
        let mut call = script.prepare_invoke();
        call.key(self.keys.position(self.partition));
        call.key(self.keys.stale(self.partition));
        let expected = |offset: Option<u64>| offset.map(|offset| offset.to_string());
        let (first, second) = (step.expected.map(|e| e.0), step.expected.map(|e| e.1));
        call.arg(step.epoch)
            .arg(self.generation.to_string())
            .arg(expected(first).unwrap_or_default())
            .arg(expected(second).unwrap_or_default())
            .arg(step.offset)
            .arg(step.at_ms)
            .arg(u8::from(step.installed));
        for value in values {
            call.key(self.keys.balance(self.partition, value.id));
            call.arg(&value.text[..]);
        }
        let reply: Vec<Value> = call.invoke_async(&mut self.connection).await?;
        Ok(match word(&reply, 0)?.as_str() {
            "other" => Written::OtherLog,
            "done" => Written::Done {
                accepted: number(&reply, 1)?,
                stale: number(&reply, 2)?.unwrap_or(0),
            },
            _ => Written::Conflict(Position {
                epoch: number(&reply, 1)?,
                offset: number(&reply, 2)?,
                accepted: number(&reply, 3)?,
            }),
        })
    }

    /// Whether Redis answers.
    pub async fn ping(&mut self) -> RedisResult<()> {
        redis::cmd("PING").query_async(&mut self.connection).await
    }

    /// Refuses a Redis that may throw balances away by itself (H3).
    pub async fn check_policy(&mut self) -> RedisResult<Result<(), String>> {
        super::policy::check(&mut self.connection).await
    }

    /// Removes every balance of the partition as long as `epoch` owns it; its position stays. What
    /// a later owner has installed is never removed.
    pub async fn wipe(&mut self, epoch: u64) -> RedisResult<()> {
        let script = Script::new(WIPE);
        let pattern = self.keys.balances(self.partition);
        let mut cursor = 0_u64;
        loop {
            let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(1_000)
                .query_async(&mut self.connection)
                .await?;
            if !found.is_empty() {
                let mut call = script.key(self.keys.position(self.partition));
                for key in found {
                    call.key(key);
                }
                let ours: bool = call.arg(epoch).invoke_async(&mut self.connection).await?;
                if !ours {
                    return Ok(());
                }
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Takes what the sink wants published again.
    pub async fn take_stale(&mut self) -> RedisResult<Vec<Subject>> {
        let key = self.keys.stale(self.partition);
        let names: Vec<String> = redis::cmd("SPOP")
            .arg(key)
            .arg(WRITE_MAX)
            .query_async(&mut self.connection)
            .await?;
        Ok(names.iter().filter_map(|name| parse_stale(name)).collect())
    }
}

fn word(reply: &[Value], at: usize) -> RedisResult<String> {
    match reply.get(at) {
        Some(value) => String::from_redis_value_ref(value).map_err(Into::into),
        None => Ok(String::new()),
    }
}

fn number(reply: &[Value], at: usize) -> RedisResult<Option<u64>> {
    Ok(word(reply, at)?.parse().ok())
}
