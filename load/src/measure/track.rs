//! What became of every command of one phase.
//!
//! Indexed by sequence number, so senders, delivery reports and the reader of outcomes meet here
//! without a map: each command has three cells, written by whoever learns of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::latency::{Latency, Meter};
use super::schedule::Schedule;
use crate::reference::Tag;

/// What the sender knows.
pub(super) const ACCEPTED: u8 = 1;
pub(super) const REFUSED: u8 = 2;
const UNKNOWN: u8 = 3;

/// A final outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    Applied,
    Rejected(&'a str),
}

#[derive(Debug)]
pub struct Track {
    pub tag: Tag,
    pub schedule: Schedule,
    began: OnceLock<Instant>,
    /// Nanoseconds from the start, plus one; zero is not sent.
    pub(super) sent: Box<[AtomicU64]>,
    pub(super) told: Box<[AtomicU8]>,
    pub(super) finals: Box<[AtomicU8]>,
    accept: Mutex<Meter>,
    settle: Mutex<Meter>,
    pub(super) notes: Mutex<Notes>,
    sent_count: AtomicU64,
    told_count: AtomicU64,
    settled_count: AtomicU64,
    pub(super) queue_full: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) applied: u64,
    pub(super) rejected: BTreeMap<String, u64>,
    pub(super) replayed: u64,
    pub(super) refusals: BTreeMap<String, u64>,
}

impl Track {
    pub fn new(tag: Tag, schedule: Schedule) -> Self {
        let cells = schedule.planned;
        let meter = || Mutex::new(Meter::new(schedule.measured.clone()));
        Self {
            tag,
            began: OnceLock::new(),
            sent: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            told: (0..cells).map(|_| AtomicU8::new(0)).collect(),
            finals: (0..cells).map(|_| AtomicU8::new(0)).collect(),
            accept: meter(),
            settle: meter(),
            notes: Mutex::default(),
            sent_count: AtomicU64::new(0),
            told_count: AtomicU64::new(0),
            settled_count: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            schedule,
        }
    }

    /// Starts the clock, once everything else is ready.
    pub fn start(&self) -> Instant {
        *self.began.get_or_init(Instant::now)
    }

    pub fn has_started(&self) -> bool {
        self.began.get().is_some()
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.began
            .get()
            .map_or(0, |began| super::schedule::nanos(began.elapsed()))
    }

    /// The moment `nanos` after the start.
    pub fn moment(&self, nanos: u64) -> Instant {
        self.start() + Duration::from_nanos(nanos)
    }

    /// A command is about to be sent, for the first time.
    pub fn send(&self, sequence: usize) {
        if let Some(cell) = self.sent.get(sequence) {
            cell.store(self.now() + 1, Ordering::Relaxed);
            self.sent_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn queue_full(&self) {
        self.queue_full.fetch_add(1, Ordering::Relaxed);
    }

    /// The command is durable: it was acknowledged.
    pub fn accepted(&self, sequence: usize) {
        if self.tell(sequence, ACCEPTED) {
            let (due, now) = (self.due(sequence), self.now());
            guard(&self.accept).note(due, now);
        }
    }

    /// Nothing happened, and nothing will.
    pub fn refused(&self, sequence: usize, why: &str) {
        if self.tell(sequence, REFUSED) {
            count(&mut guard(&self.notes).refusals, why);
        }
    }

    /// The connection broke, or the answer says that nobody knows.
    pub fn unknown(&self, sequence: usize, why: &str) {
        if self.tell(sequence, UNKNOWN) {
            count(&mut guard(&self.notes).refusals, why);
        }
    }

    fn tell(&self, sequence: usize, what: u8) -> bool {
        let Some(cell) = self.told.get(sequence) else {
            return false;
        };
        let first = cell.swap(what, Ordering::Relaxed) == 0;
        if first {
            self.told_count.fetch_add(1, Ordering::Relaxed);
        }
        first
    }

    /// A final outcome was read from the log.
    pub fn settled(&self, sequence: usize, verdict: Verdict<'_>, replayed: bool) {
        let Some(cell) = self.finals.get(sequence) else {
            return;
        };
        let before = cell.load(Ordering::Relaxed);
        cell.store(before.saturating_add(1), Ordering::Relaxed);
        if before > 0 {
            return;
        }
        let (due, now) = (self.due(sequence), self.now());
        guard(&self.settle).note(due, now);
        let mut notes = guard(&self.notes);
        match verdict {
            _ if replayed => notes.replayed += 1,
            Verdict::Applied => notes.applied += 1,
            Verdict::Rejected(reason) => count(&mut notes.rejected, reason),
        }
        self.settled_count.fetch_add(1, Ordering::Release);
    }

    pub(super) fn due(&self, sequence: usize) -> u64 {
        self.schedule
            .due(sequence)
            .unwrap_or_else(|| self.sent_at(sequence).unwrap_or_default())
    }

    pub(super) fn sent_at(&self, sequence: usize) -> Option<u64> {
        let cell = self.sent.get(sequence)?;
        cell.load(Ordering::Relaxed).checked_sub(1)
    }

    pub fn sent_count(&self) -> u64 {
        self.sent_count.load(Ordering::Relaxed)
    }

    pub fn settled_count(&self) -> u64 {
        self.settled_count.load(Ordering::Acquire)
    }

    /// Sent, and without a final outcome. A command that was refused counts until the end: a
    /// closed loop that is refused all the time comes to a stop, which is right.
    pub fn in_flight(&self) -> usize {
        let open = self.sent_count().saturating_sub(self.settled_count());
        usize::try_from(open).unwrap_or(usize::MAX)
    }

    /// Whether every command that was sent has been told about, and every accepted one settled.
    pub fn is_complete(&self) -> bool {
        let told = self.told_count.load(Ordering::Relaxed);
        if told < self.sent_count() || self.settled_count() < guard(&self.accept).total {
            return false;
        }
        let cells = self.told.iter().zip(&self.finals);
        !cells.into_iter().any(|(told, finals)| {
            told.load(Ordering::Relaxed) == ACCEPTED && finals.load(Ordering::Relaxed) == 0
        })
    }

    pub fn accepted_per_second(&self) -> f64 {
        guard(&self.accept).rate()
    }

    pub fn settled_per_second(&self) -> f64 {
        guard(&self.settle).rate()
    }

    pub fn accept_latency(&self) -> Latency {
        guard(&self.accept).latency.clone()
    }

    pub fn settle_latency(&self) -> Latency {
        guard(&self.settle).latency.clone()
    }

    /// How long after they were due the measured commands were sent: the generator's own share.
    pub fn send_latency(&self) -> Latency {
        let mut latency = Latency::default();
        for sequence in 0..self.sent.len() {
            let due = self.due(sequence);
            if let (Some(sent), true) = (
                self.sent_at(sequence),
                self.schedule.measured.contains(&due),
            ) {
                latency.record(sent.saturating_sub(due));
            }
        }
        latency
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
