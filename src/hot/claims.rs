//! Claims: which reference an ingress has taken in, with what content, and what became of it.
//!
//! An optimisation only (A2). A claim saves the log a repeat and tells a reader that a
//! transaction is on its way; without claims the processor still applies once. So nothing here
//! waits long: a call that fails or takes too long opens a circuit, and claims are skipped for a
//! moment. Final answers are written behind, in batches, by [`Writer`].
//!
//! A claim may be deleted at any time without harm. It is never kept for a refusal of the
//! reference itself (`reference-reused`): that one belongs to the content decided first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::ConnectionManager;
use tokio::sync::mpsc;

use super::claims_writer::{Write, Writer};
use super::key::Keys;
use crate::ledger::Fingerprint;

const PENDING: u8 = b'p';
const DONE: u8 = b'd';
const FINGERPRINT_BYTES: usize = 32;
/// Writes waiting for one; more are dropped.
const QUEUE_MAX: usize = 65_536;
/// References of one round trip.
const BEGIN_MAX: usize = 500;

/// How claims are kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a claim lasts; shorter than the dedupe horizon.
    pub time_to_live: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// How long claims are skipped after a call that failed.
    pub pause: Duration,
}

/// What is known of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was not known; now it is claimed.
    Fresh,
    /// Claimed before with the same content, and not final as far as is known here.
    Pending,
    /// Final: the view that was answered.
    Done(Vec<u8>),
    /// The reference belongs to other content, which is final.
    Other,
    /// Claimed with other content, and not final as far as is known here: that may be refused yet
    /// because the reference belongs to a third one, or to this.
    Contested,
    /// Nothing: Redis did not answer in time.
    Unknown,
}

/// What is known of a reference to somebody who only asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    Nothing,
    Pending,
    Done(Vec<u8>),
    /// Redis did not answer in time.
    Unknown,
}

/// A reference of `organization/ledger`, and its content.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    pub ledger: &'a str,
    pub reference: &'a str,
    pub fingerprint: Fingerprint,
}

/// The claims of all ingresses.
#[derive(Debug)]
pub struct Claims {
    redis: ConnectionManager,
    keys: Keys,
    settings: Settings,
    started: Instant,
    /// Milliseconds since `started` until which claims are skipped.
    closed_until: AtomicU64,
    writes: mpsc::Sender<Write>,
}

impl Claims {
    pub fn new(redis: ConnectionManager, keys: Keys, settings: Settings) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::new(redis.clone(), settings.time_to_live, receiver);
        let claims = Self {
            redis,
            keys,
            settings,
            started: Instant::now(),
            closed_until: AtomicU64::new(0),
            writes: sender,
        };
        (claims, writer)
    }

    /// Claims a reference, in one round trip.
    pub async fn begin(&self, claimed: Claimed<'_>) -> Claim {
        let answer: Option<Option<Vec<u8>>> = self.ask(&self.set(claimed)).await;
        answer.map_or(Claim::Unknown, |held| read(held, claimed.fingerprint))
    }

    /// Claims many, in order, a few hundred per round trip.
    pub async fn begin_many(&self, claimed: &[Claimed<'_>]) -> Vec<Claim> {
        let mut claims = Vec::with_capacity(claimed.len());
        for chunk in claimed.chunks(BEGIN_MAX) {
            let mut pipe = redis::pipe();
            for one in chunk {
                pipe.add_command(self.set(*one));
            }
            let answer: Option<Vec<Option<Vec<u8>>>> = self
                .within(async { pipe.query_async(&mut self.redis.clone()).await })
                .await;
            match answer {
                Some(held) if held.len() == chunk.len() => {
                    let pairs = held.into_iter().zip(chunk);
                    claims.extend(pairs.map(|(held, one)| read(held, one.fingerprint)));
                }
                Some(_) | None => claims.extend(chunk.iter().map(|_| Claim::Unknown)),
            }
        }
        claims
    }

    /// What is known of a reference, without claiming it.
    pub async fn find(&self, ledger: &str, reference: &str) -> Known {
        let mut get = redis::cmd("GET");
        get.arg(self.keys.claim(ledger, reference));
        match self.ask::<Option<Vec<u8>>>(&get).await {
            None => Known::Unknown,
            Some(None) => Known::Nothing,
            Some(Some(mut held)) => match held.first() {
                Some(&DONE) if held.len() > FINGERPRINT_BYTES => {
                    Known::Done(held.split_off(FINGERPRINT_BYTES + 1))
                }
                Some(_) | None => Known::Pending,
            },
        }
    }

    /// Notes the final answer. Says whether there was room to.
    pub fn finish(&self, claimed: Claimed<'_>, view: &[u8]) -> bool {
        self.write(claimed, Some(value(DONE, claimed.fingerprint, view)))
    }

    /// Gives a claim up: nothing was decided for this content.
    pub fn release(&self, claimed: Claimed<'_>) -> bool {
        self.write(claimed, None)
    }

    /// Whether claims are skipped just now.
    pub fn closed(&self) -> bool {
        self.now() < self.closed_until.load(Ordering::Relaxed)
    }

    fn write(&self, claimed: Claimed<'_>, value: Option<Vec<u8>>) -> bool {
        let key = self.keys.claim(claimed.ledger, claimed.reference);
        self.writes.try_send(Write { key, value }).is_ok()
    }

    fn set(&self, claimed: Claimed<'_>) -> redis::Cmd {
        let mut set = redis::cmd("SET");
        set.arg(self.keys.claim(claimed.ledger, claimed.reference))
            .arg(value(PENDING, claimed.fingerprint, &[]))
            .arg("NX")
            .arg("GET")
            .arg("EX")
            .arg(self.settings.time_to_live.as_secs().max(1));
        set
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Option<T> {
        self.within(async { command.query_async(&mut self.redis.clone()).await })
            .await
    }

    /// The answer, if the circuit is closed and it comes in time.
    async fn within<T>(&self, call: impl Future<Output = redis::RedisResult<T>>) -> Option<T> {
        if self.closed() {
            return None;
        }
        match tokio::time::timeout(self.settings.timeout, call).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => self.pause(&error.to_string()),
            Err(_) => self.pause("no answer in time"),
        }
    }

    fn pause<T>(&self, error: &str) -> Option<T> {
        let until = self.now().saturating_add(millis(self.settings.pause));
        let before = self.closed_until.fetch_max(until, Ordering::Relaxed);
        if before.saturating_add(millis(self.settings.pause)) < until {
            tracing::warn!(
                error,
                "claims are skipped for a moment; nothing is lost by that"
            );
        }
        None
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

fn value(state: u8, fingerprint: Fingerprint, view: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + FINGERPRINT_BYTES + view.len());
    value.push(state);
    value.extend_from_slice(hex::encode(fingerprint.0).as_bytes());
    value.extend_from_slice(view);
    value
}

fn read(held: Option<Vec<u8>>, fingerprint: Fingerprint) -> Claim {
    let Some(mut held) = held else {
        return Claim::Fresh;
    };
    let mut ours = [0; FINGERPRINT_BYTES];
    let encoded = hex::encode_to_slice(fingerprint.0, &mut ours);
    let content = held.get(1..=FINGERPRINT_BYTES);
    let same = encoded.is_ok() && content == Some(&ours[..]);
    match (held.first(), same) {
        (Some(&DONE), true) => Claim::Done(held.split_off(FINGERPRINT_BYTES + 1)),
        (Some(&DONE), false) => Claim::Other,
        (_, true) => Claim::Pending,
        (_, false) => Claim::Contested,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Fingerprint = Fingerprint([1; 16]);
    const TWO: Fingerprint = Fingerprint([2; 16]);

    #[test]
    fn a_held_claim_is_told_by_state_and_content() {
        assert_eq!(read(None, ONE), Claim::Fresh);
        assert_eq!(read(Some(value(PENDING, ONE, &[])), ONE), Claim::Pending);
        assert_eq!(
            read(Some(value(DONE, ONE, b"{}")), ONE),
            Claim::Done(b"{}".to_vec())
        );
        assert_eq!(read(Some(value(DONE, ONE, b"{}")), TWO), Claim::Other);
        assert_eq!(read(Some(value(PENDING, TWO, &[])), ONE), Claim::Contested);
        assert_eq!(read(Some(b"?".to_vec()), ONE), Claim::Contested);
    }
}
