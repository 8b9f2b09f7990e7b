//! Correlation id → whoever waits for the reply.
//!
//! A correlation id is 8 random bytes of this instance and a counter, so a reply of another
//! instance is told at once. An entry lives exactly as long as its [`Waiter`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

const SHARDS: usize = 16;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The JSON of an outcome or of a dead letter.
    pub value: Vec<u8>,
    /// It repeats an earlier decision.
    pub replayed: bool,
}

/// Whose a reply is.
#[derive(Debug)]
pub enum Delivery {
    Awaited,
    /// Nobody waits any more; here it is back.
    Late(Reply),
    /// It belongs to another instance.
    Foreign,
}

type Shard = Mutex<HashMap<u64, oneshot::Sender<Reply>>>;

/// Everybody who waits for a reply.
#[derive(Debug)]
pub struct Waiters {
    instance: [u8; 8],
    next: AtomicU64,
    shards: Vec<Shard>,
}

/// One place among the waiting; leaving it takes the entry away.
#[derive(Debug)]
pub struct Waiter {
    waiters: Arc<Waiters>,
    number: u64,
    reply: oneshot::Receiver<Reply>,
}

impl Waiters {
    /// Nobody yet, of an instance that was never there before.
    pub fn of_new_instance() -> Self {
        let (instance, _) = Uuid::new_v4().as_u64_pair();
        Self {
            instance: instance.to_be_bytes(),
            next: AtomicU64::new(0),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    /// A correlation id that nobody waits for.
    pub fn correlation(&self) -> [u8; 16] {
        self.correlation_of(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A correlation id, and the place to wait for its reply.
    pub fn register(self: &Arc<Self>) -> ([u8; 16], Waiter) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        let mut shard = self
            .shard(number)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shard.insert(number, sender);
        drop(shard);
        let waiter = Waiter {
            waiters: self.clone(),
            number,
            reply,
        };
        (self.correlation_of(number), waiter)
    }

    /// Hands a reply to whoever waits for it.
    pub fn deliver(&self, correlation: &[u8], reply: Reply) -> Delivery {
        let Some((instance, number)) = correlation.split_first_chunk::<8>() else {
            return Delivery::Foreign;
        };
        let Ok(number) = <[u8; 8]>::try_from(number).map(u64::from_be_bytes) else {
            return Delivery::Foreign;
        };
        if *instance != self.instance {
            return Delivery::Foreign;
        }
        match self.take(number) {
            None => Delivery::Late(reply),
            Some(sender) => match sender.send(reply) {
                Ok(()) => Delivery::Awaited,
                Err(reply) => Delivery::Late(reply),
            },
        }
    }

    fn take(&self, number: u64) -> Option<oneshot::Sender<Reply>> {
        self.shard(number)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number)
    }

    fn shard(&self, number: u64) -> &Shard {
        let shards = u64::try_from(self.shards.len()).unwrap_or(1);
        &self.shards[usize::try_from(number % shards).unwrap_or_default()]
    }

    fn correlation_of(&self, number: u64) -> [u8; 16] {
        let mut correlation = [0; 16];
        let (head, tail) = correlation.split_at_mut(8);
        head.copy_from_slice(&self.instance);
        tail.copy_from_slice(&number.to_be_bytes());
        correlation
    }
}

impl Waiter {
    /// The reply, whenever it comes.
    pub async fn reply(&mut self) -> Reply {
        match (&mut self.reply).await {
            Ok(reply) => reply,
            // The sender lives in the map until this waiter is dropped.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.take(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply {
            value: text.into(),
            replayed: false,
        }
    }

    #[tokio::test]
    async fn a_reply_finds_its_waiter_once() {
        let waiters = Arc::new(Waiters::of_new_instance());
        let (correlation, mut waiter) = waiters.register();
        assert!(matches!(
            waiters.deliver(&correlation, reply("1")),
            Delivery::Awaited
        ));
        assert_eq!(waiter.reply().await, reply("1"));
        assert!(matches!(
            waiters.deliver(&correlation, reply("2")),
            Delivery::Late(_)
        ));
    }

    #[test]
    fn a_waiter_that_left_is_forgotten() {
        let waiters = Arc::new(Waiters::of_new_instance());
        let (correlation, waiter) = waiters.register();
        drop(waiter);
        assert!(matches!(
            waiters.deliver(&correlation, reply("1")),
            Delivery::Late(_)
        ));
        assert!(
            waiters
                .shards
                .iter()
                .all(|shard| shard.lock().unwrap().is_empty())
        );
    }

    #[test]
    fn a_reply_of_another_instance_is_foreign() {
        let (ours, theirs) = (
            Arc::new(Waiters::of_new_instance()),
            Arc::new(Waiters::of_new_instance()),
        );
        let (correlation, _waiter) = theirs.register();
        for correlation in [&correlation[..], &correlation[..8], &[][..], &[0; 17][..]] {
            assert!(matches!(
                ours.deliver(correlation, reply("1")),
                Delivery::Foreign
            ));
        }
    }
}
