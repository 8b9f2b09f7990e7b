//! Ticks: the owner's own records that expire holds which are due, so that they expire in an idle
//! partition too.
//!
//! Whether a hold is due is decided by the log time of its tick (L5); the owner's clock only says
//! when to ask. A tick that comes too early, too late or twice is ignored, and one that is lost is
//! written again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use rdkafka::message::{Header, OwnedHeaders};

use super::Shared;
use super::ports::World;
use crate::ledger::{Hold, Partition, TransactionId};
use crate::log::producer::{Acks, Append};
use crate::wire::command::{CommandBody, Kind, TargetBody};
use crate::wire::leg::{SEAL_HEADER, TICK_HEADER, VERSION};

/// How often an owner looks for holds that are due.
pub(super) const EVERY: Duration = Duration::from_millis(250);
/// How long a tick may take to come back before it is written again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most ticks on their way.
const MOST: usize = 1_000;

/// The ticks of one ownership.
pub(super) struct Ticks {
    /// By hold: when its tick was written.
    asked: HashMap<TransactionId, Instant, FixedState>,
    looked: Instant,
    acks: Arc<Acks>,
}

impl Ticks {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            asked: HashMap::default(),
            looked: now,
            acks: Acks::open(),
        }
    }

    /// Writes a tick for every hold that is due and has none on its way.
    pub(super) fn write<W: World>(&mut self, shared: &Shared<W>, partition: &Partition) {
        let now = shared.world.now();
        if now.saturating_duration_since(self.looked) < EVERY {
            return;
        }
        self.looked = now;
        self.asked.retain(|id, asked| {
            let waits = now.saturating_duration_since(*asked) < PATIENCE;
            waits
                && partition
                    .holds()
                    .get(*id)
                    .is_some_and(|hold| hold.stage.is_open())
        });
        // The log may know of a later time than a clock that is behind.
        let now_ms = shared.world.clock_ms().max(partition.log_time_ms());
        for (id, hold) in partition.holds().due(now_ms, MOST) {
            if !self.asked.contains_key(&id) && self.asked.len() < MOST {
                self.asked.insert(id, now);
                self.one(shared, partition, id, hold);
            }
        }
    }

    fn one<W: World>(
        &self,
        shared: &Shared<W>,
        partition: &Partition,
        id: TransactionId,
        hold: &Hold,
    ) {
        let Some(balance) = hold.parts.first().map(|part| part.source) else {
            return;
        };
        let mut body = CommandBody::new(Kind::Expire, &hold.ledger);
        body.reference = Some((*hold.reference).into());
        body.expire = Some(TargetBody {
            hold: id.uuid(),
            balance: balance.uuid(),
        });
        let key = balance.to_string();
        let value = serde_json::to_vec(&body).expect("a command is plain JSON");
        let seal = hex::encode(shared.secret.seal(key.as_bytes(), &value).0);
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: TICK_HEADER,
                value: Some(VERSION),
            })
            .insert(Header {
                key: SEAL_HEADER,
                value: Some(&seal),
            });
        let append = Append {
            topic: &shared.topics.commands,
            partition: Some(i32::from(partition.id())),
            key: key.as_bytes(),
            value: &value,
            headers: Some(headers),
        };
        shared.world.offer(append, &self.acks);
        let number = partition.id().to_string();
        shared.metrics.ticks.with_label_values(&[&number]).inc();
    }
}
