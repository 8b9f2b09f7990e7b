//! H3: a Redis that evicts by itself would lose balances that are not in cold yet.

use redis::aio::ConnectionManager;
use redis::{InfoDict, RedisResult};

/// Whether Redis keeps what has no time-to-live; else why it cannot be used. Asks `INFO`, which
/// hosted services allow where they refuse `CONFIG`.
pub async fn check(redis: &mut ConnectionManager) -> RedisResult<Result<(), String>> {
    let info: InfoDict = redis::cmd("INFO").arg("memory").query_async(redis).await?;
    let policy: Option<String> = info.get("maxmemory_policy");
    Ok(judge(policy.as_deref()))
}

fn judge(policy: Option<&str>) -> Result<(), String> {
    match policy {
        Some(policy) if policy.starts_with("allkeys-") => Err(format!(
            "redis has maxmemory-policy {policy}, which evicts balances that are not in postgres \
             yet; set noeviction or a volatile- policy"
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_any_key_is_refused() {
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            let why = judge(Some(policy)).unwrap_err();
            assert!(why.contains(policy), "{why}");
        }
        for policy in [
            None,
            Some("noeviction"),
            Some("volatile-lru"),
            Some("volatile-ttl"),
        ] {
            assert_eq!(judge(policy), Ok(()));
        }
    }
}
