//! Holds in cold, and what must be reserved for them.

use std::collections::{BTreeMap, HashMap};

use steelyard::cold::holds::{Key, Stand, Sums};
use steelyard::ledger::rules::RULES_OWN_TRANSIT;
use steelyard::ledger::{BalanceId, Hold, PartitionId, Stage, State, TransactionId, partition_of};
use steelyard::wire::MarkerBody;

use crate::breaks::Break;
use crate::cold::horizon;
use crate::world::World;

/// Holds that expire later than so many milliseconds after the run began stay open.
const EXPIRE_MS: i64 = 3_600_000;

impl World {
    /// What a takeover has to know: open holds, and those that ended within the horizon.
    pub(crate) fn holds_to_know(
        &self,
        partition: PartitionId,
        marker: &MarkerBody,
    ) -> Vec<(TransactionId, Hold)> {
        let rows = self.cold.holds[usize::from(partition)].iter();
        let remembers = !self.is_broken(Break::EndedHoldsForgotten);
        let counts =
            |hold: &Hold| hold.stage.is_open() || (remembers && hold.at_ms >= horizon(marker));
        let rows = rows.filter(|(_, hold)| counts(hold));
        rows.map(|(id, hold)| (*id, hold.clone())).collect()
    }

    pub(crate) fn hold_sums(&self, partition: PartitionId) -> Sums {
        let mut sums = Sums::default();
        let rows = self.cold.holds[usize::from(partition)].values();
        for hold in rows {
            sums.changes += i128::from(hold.version);
            if !hold.is_summed() {
                continue;
            }
            sums.open += i128::from(hold.stage.is_open());
            sums.versions += i128::from(hold.version);
        }
        sums
    }

    pub(crate) fn hold_stands(&self, keys: &[Key]) -> HashMap<Key, Stand> {
        let row = |(id, partition): &Key| self.cold.holds[usize::from(*partition)].get(id);
        let stands = keys.iter().filter_map(|key| {
            let hold = row(key)?;
            let stand = Stand {
                version: hold.version,
                open: hold.stage.is_open(),
                summed: hold.is_summed(),
            };
            Some((*key, stand))
        });
        stands.collect()
    }

    /// A newer version wins.
    pub(crate) fn cold_hold(&mut self, partition: PartitionId, id: TransactionId, hold: &Hold) {
        let rows = &mut self.cold.holds[usize::from(partition)];
        let row = rows.entry(id).or_insert_with(|| hold.clone());
        if row.version < hold.version {
            *row = hold.clone();
        }
    }

    /// A hold that is not where it must come to by itself: to its last stop, or to its end.
    pub(crate) fn hold_waits(&self) -> Option<String> {
        let began = self.clock_ms() - i64::try_from(self.now.as_millis()).unwrap_or(0);
        self.truth.iter().find_map(|truth| {
            let due = truth.partition.holds().due(began + EXPIRE_MS, 1).next();
            let due = due.map(|(id, hold)| format!("hold {id} is due at {:?}", hold.expires_at_ms));
            let mut holds = truth.partition.holds().iter();
            let walks = holds.find(|(_, hold)| hold.stage == Stage::Pending);
            due.or_else(|| walks.map(|(id, _)| format!("hold {id} walks")))
        })
    }
}

/// What the homes of all holds say is still reserved: as they alone decide, that must be what
/// stands on every balance, whatever other partitions keep.
pub(crate) struct Reserved(BTreeMap<BalanceId, (i128, i128)>);

impl Reserved {
    pub(crate) fn by_homes(world: &World) -> Self {
        let mut reserved: BTreeMap<BalanceId, (i128, i128)> = BTreeMap::new();
        let open = world.truth.iter().flat_map(|truth| {
            let (here, rules) = (truth.partition.id(), truth.partition.rules());
            let holds = truth.partition.holds().iter();
            let open = holds.filter(move |(id, hold)| id.home() == here && hold.stage.is_open());
            open.map(|(id, hold)| (rules.at(id.offset()) >= RULES_OWN_TRANSIT, hold))
        });
        let parts = open.flat_map(|(own, hold)| {
            let ledger = own.then_some(&*hold.ledger);
            hold.parts.iter().map(move |part| (ledger, part))
        });
        for (ledger, part) in parts {
            let place = |id| partition_of(id, world.count);
            let (from, to) = (place(part.source), place(part.destination));
            reserved.entry(part.source).or_default().0 += part.rest;
            reserved.entry(part.destination).or_default().1 += part.rest;
            if from != to {
                let way = BalanceId::transit((from, to), from, ledger, &part.asset);
                reserved.entry(way).or_default().1 += part.rest;
            }
        }
        Self(reserved)
    }

    /// L7, with nothing under way.
    pub(crate) fn is_on(&self, id: BalanceId, state: State) {
        let expected = self.0.get(&id).copied().unwrap_or_default();
        assert_eq!(
            (state.held, state.incoming),
            expected,
            "L7: what is reserved on balance {id}"
        );
    }
}
