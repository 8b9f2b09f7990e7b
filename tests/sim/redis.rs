//! Hot in memory: what the scripts of the real one do, each in one step, and what Redis does to us.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use steelyard::hot::store::{Claimed, Entry, Position, Step, Written};
use steelyard::ledger::{BalanceId, PartitionId};
use steelyard::wire::Subject;

use crate::breaks::Break;
use crate::check;
use crate::world::World;

/// What hot has of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) position: Position,
    pub(crate) installed: bool,
    pub(crate) balances: BTreeMap<BalanceId, Hot>,
    stale: BTreeSet<Subject>,
}

/// A balance in hot.
#[derive(Clone, Debug)]
pub(crate) struct Hot {
    pub(crate) version: u64,
    pub(crate) text: Bytes,
    /// It has a time-to-live.
    mortal: bool,
}

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) slots: Vec<Slot>,
    /// A dump, or a replica that has fallen behind.
    saved: Vec<Slot>,
    pub(crate) away_until: Duration,
    /// The newest version that any reader was shown.
    shown: BTreeMap<BalanceId, u64>,
}

impl Redis {
    pub(crate) fn new(count: PartitionId) -> Self {
        let slots = vec![Slot::default(); count.into()];
        Self {
            saved: slots.clone(),
            slots,
            away_until: Duration::ZERO,
            shown: BTreeMap::new(),
        }
    }
}

impl World {
    pub(crate) fn redis_is_away(&self) -> bool {
        self.now < self.redis.away_until
    }

    pub(crate) fn hot_claim(&mut self, partition: PartitionId, epoch: u64) -> Claimed {
        let slot = &mut self.redis.slots[usize::from(partition)];
        let before = slot.position;
        if let Some(stands) = before.epoch.filter(|stands| *stands > epoch) {
            self.reach("hot refuses the claim of an earlier owner");
            return Claimed::Newer(stands);
        }
        slot.position.epoch = Some(epoch);
        slot.installed = false;
        self.tell("hot claim", epoch, &[]);
        Claimed::Yes(before)
    }

    pub(crate) fn hot_write(
        &mut self,
        partition: PartitionId,
        step: Step,
        values: &[Entry],
    ) -> Written {
        let slot = &self.redis.slots[usize::from(partition)];
        let stands = slot.position;
        let ours = stands.epoch == Some(step.epoch);
        let known = step
            .expected
            .is_none_or(|(wrote, tried)| [Some(wrote), Some(tried)].contains(&stands.offset));
        if !(ours && known || self.is_broken(Break::RewriteWithoutClaim)) {
            self.reach("hot refuses a write");
            return Written::Conflict(stands);
        }
        for value in values {
            let (version, json) = split(&value.text);
            let (inside, _) = check::balance_is_true(self, partition, json, "hot");
            assert_eq!(version, inside, "hot's version is its value's");
        }
        let Redis { slots, shown, .. } = &mut self.redis;
        let slot = &mut slots[usize::from(partition)];
        for value in values {
            let version = split(&value.text).0;
            if slot.installed && step.installed {
                shows(shown, value.id, version);
            }
            let hot = Hot {
                version,
                text: value.text.clone(),
                mortal: false,
            };
            slot.balances.insert(value.id, hot);
        }
        if step.installed {
            slot.position.offset = Some(step.offset);
            if !slot.installed {
                for (id, hot) in &slot.balances {
                    shows(shown, *id, hot.version);
                }
            }
        }
        slot.installed = step.installed;
        let (accepted, stale) = (stands.accepted, slot.stale.len() as u64);
        self.tell("hot write", step.offset, &[]);
        Written::Done { accepted, stale }
    }

    pub(crate) fn hot_wipe(&mut self, partition: PartitionId, epoch: u64) {
        let slot = &mut self.redis.slots[usize::from(partition)];
        if slot.position.epoch == Some(epoch) {
            slot.balances.clear();
            self.reach("an owner empties an old hot");
        }
    }

    pub(crate) fn hot_take_stale(&mut self, partition: PartitionId) -> Vec<Subject> {
        let slot = &mut self.redis.slots[usize::from(partition)];
        std::mem::take(&mut slot.stale).into_iter().collect()
    }

    /// What the sink leaves: its watermark, times-to-live, stale snapshots.
    pub(crate) fn hot_synced(
        &mut self,
        partition: PartitionId,
        accepted: Option<u64>,
        synced: &[(BalanceId, u64)],
        stale: &BTreeSet<Subject>,
    ) {
        let slot = &mut self.redis.slots[usize::from(partition)];
        slot.stale.extend(stale);
        if slot.position.epoch.is_none() {
            return;
        }
        slot.position.accepted = slot.position.accepted.max(accepted);
        for (id, version) in synced {
            let hot = slot.balances.get_mut(id);
            if let Some(hot) = hot.filter(|hot| hot.version <= *version) {
                hot.mortal = true;
            }
        }
        for subject in stale {
            self.reach(match subject {
                Subject::Balance(_) => "a stale snapshot of a balance is named",
                Subject::Hold(_) => "a stale snapshot of a hold is named",
            });
        }
    }

    /// H3: what has a time-to-live may go at any time.
    pub(crate) fn hot_expires(&mut self) {
        let partition = self.chance.index(self.redis.slots.len());
        let (slot, rows) = (
            &mut self.redis.slots[partition],
            &self.cold.balances[partition],
        );
        let before = slot.balances.len();
        slot.balances.retain(|id, hot| {
            let row = rows.get(id).map_or(0, |row| row.state.version);
            let synced = hot.version <= row;
            assert!(!hot.mortal || synced, "H3: {id} expires before cold has it");
            !hot.mortal
        });
        if slot.balances.len() < before {
            self.reach("hot lets synced balances go");
        }
    }

    pub(crate) fn hot_is_emptied(&mut self) {
        self.redis.slots.fill_with(Slot::default);
        self.reach("hot is emptied");
    }

    pub(crate) fn hot_is_saved(&mut self) {
        self.redis.saved = self.redis.slots.clone();
    }

    /// Redis comes back as it was: it is Redis that shows older versions, until its owner looks.
    pub(crate) fn hot_is_rolled_back(&mut self) {
        self.redis.slots = self.redis.saved.clone();
        self.redis.shown.clear();
        self.reach("hot is rolled back");
    }
}

/// H2: who has seen a version never sees an older one.
fn shows(shown: &mut BTreeMap<BalanceId, u64>, id: BalanceId, version: u64) {
    let before = shown.insert(id, version).unwrap_or(0);
    assert!(
        before <= version,
        "H2: balance {id} was shown at {before}, and now at {version}"
    );
}

/// The version and the JSON of a value.
pub(crate) fn split(text: &[u8]) -> (u64, &[u8]) {
    let at = text
        .iter()
        .position(|byte| *byte == b' ')
        .expect("a version comes first");
    let version = std::str::from_utf8(&text[..at]).unwrap().parse().unwrap();
    (version, &text[at + 1..])
}
