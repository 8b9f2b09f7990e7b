//! Reading a balance from hot, and judging how far to trust it.
//!
//! Hot is trusted only while the owner of the partition has installed it, and is asked first as
//! long as the owner's beat is fresh by Redis's own clock. What it shows is as of the beat, not as
//! of now: an owner that has just lost its way to Redis goes on deciding, and clients are answered.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::ConnectionManager;

use super::key::Keys;
use crate::ledger::{BalanceId, PartitionId};

/// A beat younger than this means that the owner is at work.
pub const BEAT_FRESH: Duration = Duration::from_secs(5);

/// A balance as hot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotBalance {
    pub version: u64,
    /// The snapshot's JSON.
    pub json: String,
    /// Every change up to this moment is in it; milliseconds since the epoch.
    pub as_of: i64,
    /// Whether the owner was at work a moment ago.
    pub current: bool,
}

/// What hot says of a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HotAnswer {
    Found(HotBalance),
    /// Not in hot, so cold has its latest version, if it exists.
    Absent,
    /// The owner has not installed this partition: what is newer than cold cannot be told.
    Untrusted,
}

/// Reads balances from hot.
#[derive(Clone, Debug)]
pub struct Reader {
    redis: ConnectionManager,
    keys: Keys,
    timeout: Duration,
}

type Position = (Option<i64>, Option<String>);

impl Reader {
    pub fn new(redis: ConnectionManager, keys: Keys, timeout: Duration) -> Self {
        Self {
            redis,
            keys,
            timeout,
        }
    }

    /// Reads one balance and its partition's position, in one round trip and as of one moment: a
    /// balance that is absent just before an installation says nothing.
    ///
    /// # Errors
    /// If Redis does not answer in time; cold is the place to look then.
    pub async fn balance(
        &self,
        partition: PartitionId,
        id: BalanceId,
    ) -> redis::RedisResult<HotAnswer> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("GET").arg(self.keys.balance(partition, id));
        pipe.cmd("HMGET")
            .arg(self.keys.position(partition))
            .arg("beat")
            .arg("installed");
        pipe.cmd("TIME");
        let mut redis = self.redis.clone();
        let call = pipe.query_async(&mut redis);
        let answer = tokio::time::timeout(self.timeout, call).await;
        let (value, position, time) = answer.map_err(|_| late())??;
        Ok(judge(value, position, time))
    }

    /// The last command that hot has of each partition, as far as it has any.
    ///
    /// # Errors
    /// If Redis does not answer in time.
    pub async fn offsets(
        &self,
        partitions: &[PartitionId],
    ) -> redis::RedisResult<BTreeMap<PartitionId, u64>> {
        let mut pipe = redis::pipe();
        for partition in partitions {
            pipe.cmd("HGET")
                .arg(self.keys.position(*partition))
                .arg("offset");
        }
        let mut redis = self.redis.clone();
        let call = pipe.query_async::<Vec<Option<u64>>>(&mut redis);
        let answer = tokio::time::timeout(self.timeout, call).await;
        let offsets = answer.map_err(|_| late())??.into_iter();
        let known = partitions.iter().copied().zip(offsets);
        Ok(known
            .filter_map(|(id, offset)| Some((id, offset?)))
            .collect())
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> bool {
        let mut redis = self.redis.clone();
        let ping = redis::cmd("PING");
        let call = ping.query_async::<()>(&mut redis);
        matches!(tokio::time::timeout(self.timeout, call).await, Ok(Ok(())))
    }
}

fn late() -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::Io, "no answer in time"))
}

fn judge(value: Option<String>, (beat, installed): Position, time: (i64, i64)) -> HotAnswer {
    let (Some(beat), Some(_)) = (beat, installed.filter(|text| !text.is_empty())) else {
        return HotAnswer::Untrusted;
    };
    let Some(value) = value else {
        return HotAnswer::Absent;
    };
    let Some((version, json)) = value.split_once(' ') else {
        return HotAnswer::Untrusted;
    };
    let Ok(version) = version.parse() else {
        return HotAnswer::Untrusted;
    };
    let now = time.0.saturating_mul(1000).saturating_add(time.1 / 1000);
    let age = now.saturating_sub(beat);
    let current = u128::try_from(age).unwrap_or(0) < BEAT_FRESH.as_millis();
    HotAnswer::Found(HotBalance {
        version,
        json: json.to_owned(),
        as_of: beat,
        current,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(value: &str, beat: Option<i64>, installed: Option<&str>) -> HotAnswer {
        judge(
            Some(value.to_owned()),
            (beat, installed.map(str::to_owned)),
            (100, 500_000),
        )
    }

    #[test]
    fn hot_is_trusted_only_when_installed() {
        let found = |as_of, current| {
            let json = "{}".to_owned();
            HotAnswer::Found(HotBalance {
                version: 7,
                json,
                as_of,
                current,
            })
        };
        assert_eq!(ask("7 {}", Some(100_000), Some("1")), found(100_000, true));
        assert_eq!(ask("7 {}", Some(95_501), Some("1")), found(95_501, true));
        assert_eq!(ask("7 {}", Some(95_500), Some("1")), found(95_500, false));
        assert_eq!(ask("7 {}", Some(100_000), None), HotAnswer::Untrusted);
        assert_eq!(ask("7 {}", Some(100_000), Some("")), HotAnswer::Untrusted);
        assert_eq!(ask("7 {}", None, Some("1")), HotAnswer::Untrusted);
        assert_eq!(ask("torn", Some(100_000), Some("1")), HotAnswer::Untrusted);
        assert_eq!(
            judge(None, (Some(1), Some("1".into())), (1, 0)),
            HotAnswer::Absent
        );
    }
}
