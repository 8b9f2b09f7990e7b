//! Where a task waits for the world: a call on its way, or a time to come.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::world::Sim;

/// Opened by the world, once.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    /// Nobody waits any more.
    pub(crate) left: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Waits at a gate.
pub(crate) struct Wait {
    gate: Arc<Gate>,
    /// For a time to come: when, and its number among those of the same time.
    due: Option<(Sim, (Duration, u64))>,
}

impl Wait {
    pub(crate) fn at(gate: Arc<Gate>) -> Self {
        Self { gate, due: None }
    }

    pub(crate) fn until(gate: Arc<Gate>, sim: Sim, key: (Duration, u64)) -> Self {
        Self {
            gate,
            due: Some((sim, key)),
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.gate.open.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let mut waker = self
            .gate
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.gate.left.store(true, Ordering::Relaxed);
        if let Some((sim, key)) = &self.due {
            sim.forget_sleeper(*key);
        }
    }
}
