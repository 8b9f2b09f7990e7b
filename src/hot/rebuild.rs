//! Emptying a partition of hot, so that its owner fills it again (H1, H2).
//!
//! The position goes in the same script as the balances: readers never trust a partition that
//! lacks what is not in cold yet, and nothing that the owner installs afterwards is removed. An
//! owner that finds its position gone claims hot anew and installs what it has touched since the
//! accepted marker; the rest is current in cold.

use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisResult};

use super::Options;
use super::key::Keys;
use crate::ledger::{BalanceId, PartitionId};

const EMPTY: &str = r"
redis.call('DEL', KEYS[1])
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return #KEYS - 1
";

/// The script takes about a second for a million balances, and Redis does nothing else meanwhile.
const SCRIPT_MAX: Duration = Duration::from_secs(60);

/// Removes these balances of a partition, and its position; how many there were.
///
/// # Errors
/// If Redis does not answer.
pub async fn empty(
    options: &Options,
    partition: PartitionId,
    balances: &[BalanceId],
) -> RedisResult<u64> {
    let client = redis::Client::open(options.redis_url.as_str())?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(SCRIPT_MAX));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let keys = Keys::new(&options.redis_prefix);
    let script = redis::Script::new(EMPTY);
    let mut call = script.key(keys.position(partition));
    for id in balances {
        call.key(keys.balance(partition, *id));
    }
    call.invoke_async(&mut connection).await
}
