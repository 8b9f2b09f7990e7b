//! One partition's watch: what was gathered, the marker to be checked, and the sums of the rows.

use std::time::{Duration, Instant};

use rdkafka::Message;
use uuid::Uuid;

use super::batch::{Pile, Snapshot};
use super::check::{Mismatch, Sorted, check, sort};
use super::watches::Ledgers;
use crate::cold::balances::{Row, Stands, Sums};
use crate::cold::holds;
use crate::cold::write::{Checkpoint, Move};
use crate::ledger::{Balance, BalanceId, Cut, Hold, PartitionId, TransactionId};
use crate::wire::record::{self, GENESIS_KEY};
use crate::wire::{
    BalanceBody, Decoder, HoldBody, Invalid, InvalidKind, MarkerBody, Subject, Time,
};

/// A marker that arrived, with the offset after it.
#[derive(Debug)]
struct Marker {
    cut: Cut,
    text: String,
    next: u64,
}

/// What a record of `snapshots` was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Snapshot,
    /// A marker; whether it takes the place of one that was not checked yet.
    Marker {
        superseding: bool,
    },
    /// Nothing to gather, or read before.
    Nothing,
}

/// What became of a marker.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) partition: PartitionId,
    pub(super) result: Result<(), Mismatch>,
    sorted: Sorted,
    step: Move,
}

/// What is to be told of a marker.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) accepted: Option<u64>,
    /// Commands whose effects came into cold with it.
    pub(super) commands: u64,
    pub(super) rows: u64,
    pub(super) synced: Vec<(BalanceId, u64)>,
    pub(super) stale: Vec<Subject>,
}

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) stored: Checkpoint,
    sums: Sums,
    /// Up to the marker, if there is one.
    gathered: Pile,
    marker: Option<Marker>,
    /// After the marker.
    after: Pile,
    /// The next offset to read.
    next: u64,
    /// Snapshots since they were counted.
    snapshots: u64,
    /// Whether a snapshot or marker has arrived that is not in cold, and since when, as far as that
    /// was asked.
    waits: bool,
    waiting_since: Option<Instant>,
}

impl Watch {
    pub(super) fn new(stored: Checkpoint, sums: Sums) -> Self {
        Self {
            sums,
            gathered: Pile::default(),
            marker: None,
            after: Pile::default(),
            next: stored.position,
            snapshots: 0,
            waits: false,
            waiting_since: None,
            stored,
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How long no marker was accepted although something waits for one.
    pub(super) fn waited(&mut self, now: Instant) -> Option<Duration> {
        if !self.waits {
            self.waiting_since = None;
            return None;
        }
        let since = *self.waiting_since.get_or_insert(now);
        Some(now.saturating_duration_since(since))
    }

    pub(super) fn balances(&self) -> usize {
        self.gathered.len() + self.after.len()
    }

    /// Snapshots read since the last call.
    pub(super) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.snapshots)
    }

    pub(super) fn take(
        &mut self,
        message: &impl Message,
        generation: Uuid,
        ledgers: &mut Ledgers,
    ) -> Result<Kind, Invalid> {
        let offset = u64::try_from(message.offset()).unwrap_or_default();
        if offset < self.next {
            return Ok(Kind::Nothing);
        }
        self.next = offset + 1;
        let (Some(key), Some(value)) = (message.key(), message.payload()) else {
            return Ok(Kind::Nothing);
        };
        if key.starts_with(b"balance:") {
            let body = BalanceBody::parse(value)?;
            let (id, snapshot) = self.snapshot(key, &body, ledgers)?;
            self.gathering().balances.add(id, snapshot);
            return Ok(Kind::Snapshot);
        }
        if key.starts_with(b"hold:") {
            let (id, snapshot) = self.hold(key, &HoldBody::parse(value)?)?;
            self.gathering().holds.add(id, snapshot);
            return Ok(Kind::Snapshot);
        }
        if key == record::marker_key(self.stored.partition).as_bytes() {
            return self.marker(value, generation);
        }
        if key == GENESIS_KEY.as_bytes() {
            own(generation, record::genesis(value)?.generation)?;
        }
        Ok(Kind::Nothing)
    }

    /// Where a snapshot that has just arrived belongs.
    fn gathering(&mut self) -> &mut Pile {
        self.snapshots += 1;
        self.waits = true;
        match self.marker {
            Some(_) => &mut self.after,
            None => &mut self.gathered,
        }
    }

    fn hold(
        &self,
        key: &[u8],
        body: &HoldBody<'_>,
    ) -> Result<(TransactionId, Snapshot<Hold>), Invalid> {
        let (id, state) = body.to_ledger(&mut Decoder::new())?;
        let epoch = body.epoch.unwrap_or_default();
        let ours =
            key == record::hold_key(id).as_bytes() && body.partition == Some(self.stored.partition);
        if !ours || !fits(&[body.version, body.command_offset, epoch]) {
            let detail = format!("speaks of hold {id} of partition {:?}", body.partition);
            return Err(Invalid::new(InvalidKind::MalformedRequest, "", detail));
        }
        let snapshot = Snapshot {
            state,
            epoch,
            overtaken: false,
        };
        Ok((id, snapshot))
    }

    fn snapshot(
        &self,
        key: &[u8],
        body: &BalanceBody<'_>,
        ledgers: &mut Ledgers,
    ) -> Result<(BalanceId, Snapshot<Balance>), Invalid> {
        let (id, balance) = body.to_ledger(ledgers.shared(&body.ledger))?;
        if key != record::snapshot_key(id).as_bytes()
            || body.partition != self.stored.partition
            || !fits(&[body.version, body.command_offset, body.epoch])
        {
            let detail = format!("speaks of balance {id} of partition {}", body.partition);
            return Err(Invalid::new(InvalidKind::MalformedRequest, "", detail));
        }
        let snapshot = Snapshot {
            state: balance,
            epoch: body.epoch,
            overtaken: false,
        };
        Ok((id, snapshot))
    }

    fn marker(&mut self, value: &[u8], generation: Uuid) -> Result<Kind, Invalid> {
        let body = MarkerBody::parse(value)?;
        own(generation, body.generation)?;
        let marker = Marker {
            cut: body.to_cut()?,
            text: String::from_utf8_lossy(value).into_owned(),
            next: self.next,
        };
        self.gathered.append(std::mem::take(&mut self.after));
        self.waits = true;
        let superseding = self.marker.replace(marker).is_some();
        Ok(Kind::Marker { superseding })
    }

    /// The step that accepting the marker would make.
    pub(super) fn step(&self) -> Option<Move> {
        self.marker.as_ref().map(|marker| Move {
            from: self.stored.position,
            to: Checkpoint {
                position: marker.next,
                command_offset: Some(marker.cut.command_offset),
                at: Some(Time(marker.cut.log_time_ms)),
                marker: Some(marker.text.clone()),
                ..self.stored.clone()
            },
        })
    }

    /// The balances that the marker is to be checked with.
    pub(super) fn ids(&self) -> impl Iterator<Item = Uuid> {
        let gathered = self.marker.is_some().then(|| self.gathered.balances.iter());
        gathered.into_iter().flatten().map(|(id, _)| id.uuid())
    }

    /// The holds that the marker is to be checked with.
    pub(super) fn keys(&self) -> impl Iterator<Item = holds::Key> {
        let gathered = self.marker.is_some().then(|| self.gathered.holds.iter());
        let partition = self.stored.partition;
        gathered
            .into_iter()
            .flatten()
            .map(move |(id, _)| (id, partition))
    }

    /// Checks the marker against the rows of its balances (S2).
    pub(super) fn judge(&self, stands: &Stands) -> Option<Judged> {
        let (marker, step) = (self.marker.as_ref()?, self.step()?);
        let sorted = sort(&self.gathered, stands, &self.sums, self.stored.partition);
        Some(Judged {
            partition: self.stored.partition,
            result: check(&marker.cut, &sorted, self.stored.command_offset),
            sorted,
            step,
        })
    }

    /// The rows that an accepted marker writes.
    pub(super) fn rows(&self, judged: &Judged) -> impl Iterator<Item = Row<'_>> {
        let newer = judged.sorted.newer.iter();
        newer.filter_map(|id| {
            let snapshot = self.gathered.balances.get(*id)?;
            Some((*id, self.stored.partition, &snapshot.state, snapshot.epoch))
        })
    }

    /// As [`Watch::rows`], of holds.
    pub(super) fn holds(&self, judged: &Judged) -> impl Iterator<Item = holds::Row<'_>> {
        let newer = judged.sorted.newer_holds.iter();
        newer.filter_map(|id| {
            let snapshot = self.gathered.holds.get(*id)?;
            let partition = self.stored.partition;
            Some((*id, partition, &snapshot.state, snapshot.epoch))
        })
    }

    /// The judgement is in cold: goes on from there, and says what is to be told.
    pub(super) fn settle(&mut self, judged: Judged) -> Told {
        let Judged {
            result,
            sorted,
            step,
            ..
        } = judged;
        self.marker = None;
        let after = std::mem::take(&mut self.after);
        if let Err(mismatch) = result {
            for id in &sorted.known {
                self.gathered.balances.remove(*id);
            }
            for id in &sorted.known_holds {
                self.gathered.holds.remove(*id);
            }
            self.gathered.append(after);
            if mismatch == Mismatch::Older && self.gathered.is_empty() {
                self.waits = false;
            }
            return Told {
                stale: sorted.stale,
                ..Told::default()
            };
        }
        let gathered = std::mem::replace(&mut self.gathered, after);
        let synced = gathered.balances.iter();
        let synced = synced.map(|(id, snapshot)| (id, snapshot.state.state.version));
        self.sums = sorted.sums;
        let next = |offset: Option<u64>| offset.map_or(0, |offset| offset.saturating_add(1));
        let before = next(self.stored.command_offset);
        self.stored = step.to;
        self.waits = !self.gathered.is_empty();
        self.waiting_since = None;
        Told {
            accepted: self.stored.command_offset,
            commands: next(self.stored.command_offset).saturating_sub(before),
            rows: (sorted.newer.len() + sorted.newer_holds.len()) as u64,
            synced: synced.collect(),
            stale: [sorted.stale, sorted.overtaken].concat(),
        }
    }
}

impl Judged {
    pub(super) fn moved(&self) -> Option<Move> {
        self.result.is_ok().then(|| self.step.clone())
    }
}

fn fits(numbers: &[u64]) -> bool {
    numbers.iter().all(|number| i64::try_from(*number).is_ok())
}

fn own(generation: Uuid, other: Uuid) -> Result<(), Invalid> {
    match generation == other {
        true => Ok(()),
        false => {
            let detail = format!("is of the log {other}");
            Err(Invalid::new(
                InvalidKind::MalformedRequest,
                "generation",
                detail,
            ))
        }
    }
}
