//! Cold in memory: rows and positions that move together, and one consistent read.

use std::collections::BTreeMap;
use std::time::Duration;

use steelyard::cold::balances::{Stand, Stands, Sums, Verdict};
use steelyard::cold::base::Base;
use steelyard::cold::holds;
use steelyard::cold::write::{Checkpoint, Move, Sink, Written};
use steelyard::ledger::{
    Balance, BalanceId, Decision, Hold, PartitionId, Seen, SeenKey, TransactionId,
};
use steelyard::wire::MarkerBody;
use uuid::Uuid;

use crate::journal::Journal;
use crate::truth::Past;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Cold {
    positions: BTreeMap<(&'static str, PartitionId), Checkpoint>,
    pub(crate) balances: Vec<BTreeMap<BalanceId, Balance>>,
    pub(crate) holds: Vec<BTreeMap<TransactionId, Hold>>,
    /// What the journal's sink has written.
    pub(crate) journal: Journal,
    pub(crate) away_until: Duration,
    /// Where `outcomes` ends for a takeover that looks there first: a broken rule.
    pub(crate) end_read: Vec<Option<u64>>,
}

impl Cold {
    pub(crate) fn new(count: PartitionId) -> Self {
        Self {
            positions: BTreeMap::new(),
            balances: vec![BTreeMap::new(); count.into()],
            holds: vec![BTreeMap::new(); count.into()],
            journal: Journal::new(count),
            away_until: Duration::ZERO,
            end_read: vec![None; count.into()],
        }
    }

    pub(crate) fn checkpoint(&self, sink: Sink, partition: PartitionId) -> Checkpoint {
        let stands = self.positions.get(&(sink.name(), partition));
        stands.cloned().unwrap_or(Checkpoint {
            partition,
            position: 0,
            command_offset: None,
            at: None,
            marker: None,
            last_hash: None,
        })
    }

    pub(crate) fn stands_at(&self, sink: Sink, moves: &[Move]) -> bool {
        let starts = |step: &Move| self.checkpoint(sink, step.to.partition).position == step.from;
        moves.iter().all(starts)
    }

    pub(crate) fn advance(&mut self, sink: Sink, moves: &[Move]) {
        for Move { to, .. } in moves {
            let before = self.checkpoint(sink, to.partition);
            assert!(
                before.command_offset <= to.command_offset,
                "S2: the watermark never moves back"
            );
            self.positions
                .insert((sink.name(), to.partition), to.clone());
        }
    }
}

/// The log time before which nothing that has ended counts any more.
pub(crate) fn horizon(marker: &MarkerBody) -> i64 {
    let span_ms = i64::try_from(marker.horizon_seconds).unwrap() * 1000 + 1000;
    marker.at.0 - span_ms
}

/// A statement that Postgres did not answer.
pub(crate) fn away() -> sqlx::Error {
    sqlx::Error::PoolTimedOut
}

impl World {
    pub(crate) fn cold_is_away(&self) -> bool {
        self.now < self.cold.away_until
    }

    /// The watermark, which a standby asks for and a takeover by way of it.
    pub(crate) fn cold_marker(
        &mut self,
        partition: PartitionId,
    ) -> Result<Option<MarkerBody>, sqlx::Error> {
        if self.cold_is_away() {
            self.reach("a takeover finds cold away");
            return Err(away());
        }
        let text = self.cold.checkpoint(Sink::Balances, partition).marker;
        Ok(text.map(|text| MarkerBody::parse(text.as_bytes()).unwrap()))
    }

    /// The one consistent read of a takeover.
    pub(crate) fn cold_base(&mut self, partition: PartitionId) -> Result<Base, sqlx::Error> {
        if self.cold_is_away() {
            self.reach("a takeover finds cold away");
            return Err(away());
        }
        let rows = self.cold.checkpoint(Sink::Balances, partition);
        let marker = rows
            .marker
            .map(|text| MarkerBody::parse(text.as_bytes()).unwrap());
        let journal = self.cold.checkpoint(Sink::Journal, partition);
        let seen = marker
            .as_ref()
            .map(|marker| self.references(partition, marker));
        let balances = self.cold.balances[usize::from(partition)].iter();
        let mut base = Base {
            holds: match &marker {
                Some(marker) => self.holds_to_know(partition, marker),
                None => Vec::new(),
            },
            balances: balances
                .map(|(id, balance)| (*id, balance.clone()))
                .collect(),
            journal: journal.command_offset.map(|last| (journal.position, last)),
            journal_hash: journal.last_hash,
            seen: seen.unwrap_or_default(),
            marker,
        };
        match (&base.marker, base.journal) {
            (Some(marker), Some((_, last))) if last < marker.command_offset => {
                self.reach("a takeover finds the journal behind the balances");
            }
            (Some(_), _) => self.reach("a takeover starts from cold"),
            (None, _) => self.reach("a takeover starts from nothing"),
        }
        if let Some(marker) = &mut base.marker {
            self.misread(partition, marker);
        }
        Ok(base)
    }

    fn references(&self, partition: PartitionId, marker: &MarkerBody) -> Vec<(SeenKey, Seen)> {
        let rows = self.cold.journal.transactions[usize::from(partition)].iter();
        let rows = rows.filter(|row| row.offset <= marker.command_offset);
        // A hold's expiry has no reference of its own.
        let rows = rows.filter(|row| row.decision != Decision::Expired);
        let counts = rows.filter(|row| row.at_ms >= horizon(marker));
        counts.map(|row| (row.key, row.seen)).collect()
    }

    pub(crate) fn cold_sums(&self, partition: PartitionId) -> Sums {
        let mut sums = Sums {
            holds: self.hold_sums(partition),
            ..Sums::default()
        };
        for balance in self.cold.balances[usize::from(partition)].values() {
            sums.versions += i128::from(balance.state.version);
            sums.highest = sums.highest.max(Some(balance.offset));
            *sums.posted.entry(balance.asset).or_default() += balance.state.posted;
        }
        sums
    }

    /// S1 to S3: rows with their positions, or nothing.
    pub(crate) fn cold_balances<'a>(
        &mut self,
        moves: &[Move],
        (ids, keys): (&[Uuid], &[holds::Key]),
        judge: impl FnOnce(&Stands) -> Verdict<'a>,
    ) -> Written<()> {
        if !self.cold.stands_at(Sink::Balances, moves) {
            self.reach("cold stands elsewhere");
            return Written::Moved;
        }
        let mut stands = Stands::default();
        for id in ids.iter().copied().map(BalanceId::new) {
            let row = self.cold.balances.iter().find_map(|rows| rows.get(&id));
            let stand = row.map(|row| Stand {
                version: row.state.version,
                posted: row.state.posted,
            });
            stands.balances.extend(stand.map(|stand| (id, stand)));
        }
        stands.holds = self.hold_stands(keys);
        let verdict = judge(&stands);
        self.reach(match verdict.moves.is_empty() {
            true => "a marker is passed over",
            false => "a marker is accepted",
        });
        for (id, partition, balance, _) in verdict.rows {
            self.cold_row(partition, id, balance);
        }
        for (id, partition, hold, _) in verdict.holds {
            self.cold_hold(partition, id, hold);
        }
        self.cold.advance(Sink::Balances, &verdict.moves);
        for step in moves {
            let to = &step.to;
            let accepts = |accepted: &Move| accepted.to.partition == to.partition;
            if !verdict.moves.iter().any(accepts) {
                self.misjudge(step);
            }
            let marker = to.marker.as_deref().unwrap_or_default();
            self.tell("cold", to.position, marker.as_bytes());
            self.cold_is_a_cut(to.partition);
        }
        Written::Done(())
    }

    /// A newer version wins.
    pub(crate) fn cold_row(&mut self, partition: PartitionId, id: BalanceId, balance: &Balance) {
        let rows = &mut self.cold.balances[usize::from(partition)];
        let row = rows.entry(id).or_insert_with(|| balance.clone());
        if row.state.version < balance.state.version {
            *row = balance.clone();
        }
    }

    /// S1: cold is exactly the partition as of its watermark.
    pub(crate) fn cold_is_a_cut(&self, partition: PartitionId) {
        let watermark = self
            .cold
            .checkpoint(Sink::Balances, partition)
            .command_offset;
        let rows = &self.cold.balances[usize::from(partition)];
        let truth = &self.truth[usize::from(partition)];
        let there = |id| watermark.and_then(|offset| truth.as_of(id, offset));
        for id in truth.past.keys() {
            let row = rows.get(id).map(|row| Past {
                offset: row.offset,
                state: row.state,
                floor: row.floor,
                ceiling: row.ceiling,
                status: row.status,
            });
            assert_eq!(
                row,
                there(*id),
                "S1: balance {id} of partition {partition} at {watermark:?}"
            );
        }
        for id in truth.past_holds.keys() {
            assert_eq!(
                self.cold.holds[usize::from(partition)].get(id),
                watermark.and_then(|offset| truth.hold_as_of(*id, offset)),
                "S1: hold {id} of partition {partition} at {watermark:?}"
            );
        }
    }
}
