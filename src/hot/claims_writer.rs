//! Final answers, written to claims behind the requests, in batches.

use std::time::Duration;

use redis::aio::ConnectionManager;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Writes of one round trip.
const WRITES_MAX: usize = 256;

/// A change of one claim.
#[derive(Debug)]
pub struct Write {
    pub key: String,
    /// The new value, or none to delete.
    pub value: Option<Vec<u8>>,
}

/// Writes final answers behind.
#[derive(Debug)]
pub struct Writer {
    redis: ConnectionManager,
    time_to_live: Duration,
    writes: mpsc::Receiver<Write>,
}

impl Writer {
    pub fn new(
        redis: ConnectionManager,
        time_to_live: Duration,
        writes: mpsc::Receiver<Write>,
    ) -> Self {
        Self {
            redis,
            time_to_live,
            writes,
        }
    }

    /// Writes until `stop`, then what is left. A write that fails is dropped: its claim stays
    /// pending, and a repeat asks the log again.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(WRITES_MAX);
        loop {
            let received = tokio::select! {
                biased;
                received = self.writes.recv_many(&mut batch, WRITES_MAX) => received,
                () = stop.cancelled() => 0,
            };
            if received == 0 {
                return;
            }
            let mut pipe = redis::pipe();
            for write in batch.drain(..) {
                match write.value {
                    Some(value) => pipe
                        .cmd("SET")
                        .arg(write.key)
                        .arg(value)
                        .arg("EX")
                        .arg(self.time_to_live.as_secs().max(1))
                        .ignore(),
                    None => pipe.cmd("DEL").arg(write.key).ignore(),
                };
            }
            let written: redis::RedisResult<()> = pipe.query_async(&mut self.redis).await;
            if let Err(error) = written {
                tracing::debug!(%error, "final answers were not noted in claims");
            }
        }
    }
}
