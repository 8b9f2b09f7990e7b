//! What an audit reads of hot. Writes nothing.

use redis::RedisResult;
use redis::aio::ConnectionManager;

use super::key::Keys;
use crate::ledger::{BalanceId, PartitionId};

/// Most values of one call.
pub const READ_MAX: usize = 1_000;

/// Where hot stands, as its position says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub epoch: Option<u64>,
    /// The last command in hot.
    pub offset: Option<u64>,
    pub generation: Option<String>,
    /// Whether readers may trust it.
    pub installed: bool,
    /// The sink's watermark X.
    pub accepted: Option<u64>,
}

/// Reads hot for an audit.
#[derive(Clone, Debug)]
pub struct Reader {
    connection: ConnectionManager,
    keys: Keys,
}

type Fields = (
    Option<u64>,
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<u64>,
);

impl Reader {
    pub fn new(connection: ConnectionManager, keys: Keys) -> Self {
        Self { connection, keys }
    }

    /// Where a partition stands; empty where hot is.
    pub async fn standing(&mut self, partition: PartitionId) -> RedisResult<Standing> {
        let (epoch, offset, generation, installed, accepted): Fields = redis::cmd("HMGET")
            .arg(self.keys.position(partition))
            .arg(&["epoch", "offset", "generation", "installed", "accepted"])
            .query_async(&mut self.connection)
            .await?;
        Ok(Standing {
            epoch,
            offset,
            generation,
            installed: installed.is_some(),
            accepted,
        })
    }

    /// The balances that have a key, of all partitions: one walk through the whole Redis, in
    /// small steps.
    pub async fn balances(&mut self) -> RedisResult<Vec<(PartitionId, BalanceId)>> {
        let pattern = self.keys.all_balances();
        let (mut cursor, mut found) = (0_u64, Vec::new());
        loop {
            let (next, names): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(READ_MAX)
                .query_async(&mut self.connection)
                .await?;
            found.extend(
                names
                    .iter()
                    .filter_map(|name| self.keys.parse_balance(name)),
            );
            if next == 0 {
                return Ok(found);
            }
            cursor = next;
        }
    }

    /// The values of at most [`READ_MAX`] balances of a partition, in order.
    pub async fn values(
        &mut self,
        partition: PartitionId,
        ids: &[BalanceId],
    ) -> RedisResult<Vec<Option<Vec<u8>>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = ids
            .iter()
            .map(|id| self.keys.balance(partition, *id))
            .collect();
        redis::cmd("MGET")
            .arg(keys)
            .query_async(&mut self.connection)
            .await
    }
}
