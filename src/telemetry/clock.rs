//! The machine's clock, for measuring, for operators and for dry runs. No decision depends on it.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

static OFF_MS: OnceLock<i64> = OnceLock::new();

/// From now on it is as if the machine's clock were so many seconds ahead; the first call counts.
pub fn set_off(seconds: i32) {
    tracing::warn!(seconds, "this process has a wrong clock on purpose");
    OFF_MS.get_or_init(|| i64::from(seconds) * 1000);
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the clock"
    )]
    let now = SystemTime::now();
    let now = now.duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    now + OFF_MS.get().copied().unwrap_or(0)
}
