//! Cold in memory: rows and positions that move together, and one consistent read.

use std::collections::BTreeMap;
use std::time::Duration;

use steelyard::cold::balances::{Stand, Stands, Sums, Verdict};
use steelyard::cold::base::Base;
use steelyard::cold::journal::Part;
use steelyard::cold::write::{Checkpoint, Move, Sink, Written};
use steelyard::ledger::{
    Balance, BalanceId, Decision, Fingerprint, PartitionId, Seen, SeenKey, TransactionId,
};
use steelyard::wire::{BalanceBody, MarkerBody, fingerprint};
use uuid::Uuid;

use crate::breaks::Break;
use crate::copied;
use crate::log::Topic;
use crate::truth::Past;
use crate::world::World;

/// A row of `transactions`, as far as it is read again.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) offset: u64,
    pub(crate) at_ms: i64,
    pub(crate) key: SeenKey,
    pub(crate) seen: Seen,
}

#[derive(Debug)]
pub(crate) struct Cold {
    positions: BTreeMap<(&'static str, PartitionId), Checkpoint>,
    pub(crate) balances: Vec<BTreeMap<BalanceId, Balance>>,
    pub(crate) transactions: Vec<Vec<Transaction>>,
    pub(crate) away_until: Duration,
    /// Where `outcomes` ends for a takeover that looks there first: a broken rule.
    pub(crate) end_read: Vec<Option<u64>>,
}

impl Cold {
    pub(crate) fn new(count: PartitionId) -> Self {
        Self {
            positions: BTreeMap::new(),
            balances: vec![BTreeMap::new(); count.into()],
            transactions: vec![Vec::new(); count.into()],
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

    fn stands_at(&self, sink: Sink, moves: &[Move]) -> bool {
        let starts = |step: &Move| self.checkpoint(sink, step.to.partition).position == step.from;
        moves.iter().all(starts)
    }

    fn advance(&mut self, sink: Sink, moves: &[Move]) {
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

/// A statement that Postgres did not answer.
pub(crate) fn away() -> sqlx::Error {
    sqlx::Error::PoolTimedOut
}

impl World {
    pub(crate) fn cold_is_away(&self) -> bool {
        self.now < self.cold.away_until
    }

    /// The watermark that a takeover with a standby asks for.
    pub(crate) fn cold_marker(
        &mut self,
        partition: PartitionId,
    ) -> Result<Option<MarkerBody>, sqlx::Error> {
        if self.cold_is_away() {
            self.reach("a takeover waits for cold");
            return Err(away());
        }
        let text = self.cold.checkpoint(Sink::Balances, partition).marker;
        if text.is_some() {
            self.reach("a takeover has a standby");
        }
        Ok(text.map(|text| MarkerBody::parse(text.as_bytes()).unwrap()))
    }

    /// The one consistent read of a takeover.
    pub(crate) fn cold_base(&mut self, partition: PartitionId) -> Result<Base, sqlx::Error> {
        if self.cold_is_away() {
            self.reach("a takeover waits for cold");
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
            holds: Vec::new(),
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

    /// Breaks a rule, if it is one of this read.
    fn misread(&mut self, partition: PartitionId, marker: &mut MarkerBody) {
        if self.is_broken(Break::CountersForgotten) {
            marker.sent.fill(0);
            marker.received.fill(0);
        }
        if self.is_broken(Break::EndBeforeCold) {
            self.reads_the_end_first(partition, marker);
        }
    }

    /// Rows of now, under a position of before, with sums that fit the rows.
    fn reads_the_end_first(&mut self, partition: PartitionId, marker: &mut MarkerBody) {
        let Some(older) = marker.command_offset.checked_sub(1) else {
            return;
        };
        let body =
            &self.truth[usize::from(partition)].decided[usize::try_from(older).unwrap()].body;
        let line = self.log.line(Topic::Outcomes, partition);
        let is_it = |at: &u64| line.get(*at).is_some_and(|rec| rec.value == *body);
        if let Some(at) = (line.low..line.end()).find(is_it) {
            marker.command_offset = older;
            marker.position = at;
            self.cold.end_read[usize::from(partition)] = Some(at + 1);
        }
    }

    fn references(&self, partition: PartitionId, marker: &MarkerBody) -> Vec<(SeenKey, Seen)> {
        let span_ms = i64::try_from(marker.horizon_seconds).unwrap() * 1000 + 1000;
        let rows = self.cold.transactions[usize::from(partition)].iter();
        let rows = rows.filter(|row| row.offset <= marker.command_offset);
        let counts = rows.filter(|row| row.at_ms >= marker.at.0 - span_ms);
        counts.map(|row| (row.key, row.seen)).collect()
    }

    pub(crate) fn cold_sums(&self, partition: PartitionId) -> Sums {
        let mut sums = Sums::default();
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
        ids: &[Uuid],
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
        let verdict = judge(&stands);
        assert!(verdict.holds.is_empty(), "nobody asked for a hold");
        self.reach(match verdict.moves.is_empty() {
            true => "a marker is passed over",
            false => "a marker is accepted",
        });
        for (id, partition, balance, _) in verdict.rows {
            self.cold_row(partition, id, balance);
        }
        self.cold.advance(Sink::Balances, &verdict.moves);
        if verdict.moves.is_empty() {
            self.misjudge(moves);
        }
        for Move { to, .. } in moves {
            let marker = to.marker.as_deref().unwrap_or_default();
            self.tell("cold", to.position, marker.as_bytes());
            self.cold_is_a_cut(to.partition);
        }
        Written::Done(())
    }

    /// A newer version wins.
    fn cold_row(&mut self, partition: PartitionId, id: BalanceId, balance: &Balance) {
        let rows = &mut self.cold.balances[usize::from(partition)];
        let row = rows.entry(id).or_insert_with(|| balance.clone());
        if row.state.version < balance.state.version {
            *row = balance.clone();
        }
    }

    /// Breaks a rule, if it is one of accepting markers.
    fn misjudge(&mut self, moves: &[Move]) {
        for step in moves {
            let gathered = self.gathered(step);
            let marker = step
                .to
                .marker
                .as_deref()
                .map(|text| MarkerBody::parse(text.as_bytes()).unwrap());
            let marker = marker.expect("a step comes with its marker");
            let partition = step.to.partition;
            let rows = &self.cold.balances[usize::from(partition)];
            let mut versions: BTreeMap<BalanceId, u64> = rows
                .iter()
                .map(|(id, row)| (*id, row.state.version))
                .collect();
            for (id, balance) in &gathered {
                let version = versions.entry(*id).or_default();
                *version = (*version).max(balance.state.version);
            }
            let stands = self
                .cold
                .checkpoint(Sink::Balances, partition)
                .command_offset;
            let sums_up = versions.values().sum::<u64>() == marker.version_sum
                && stands.is_none_or(|stands| stands <= marker.command_offset);
            let accepted = self.is_broken(Break::SumAlone) && sums_up;
            if accepted || self.is_broken(Break::RowsAheadOfMarker) {
                for (id, balance) in &gathered {
                    self.cold_row(partition, *id, balance);
                }
            }
            if accepted {
                self.cold
                    .advance(Sink::Balances, std::slice::from_ref(step));
            }
        }
    }

    /// Of every balance the newest snapshot on the way to a marker.
    fn gathered(&self, step: &Move) -> BTreeMap<BalanceId, Balance> {
        let line = self.log.line(Topic::Snapshots, step.to.partition);
        let mut gathered: BTreeMap<BalanceId, Balance> = BTreeMap::new();
        for rec in (step.from..step.to.position).filter_map(|offset| line.get(offset)) {
            if !rec.key.starts_with(b"balance:") {
                continue;
            }
            let body = BalanceBody::parse(&rec.value).unwrap();
            let (id, balance) = body.to_ledger((*body.ledger).into()).unwrap();
            let newest = gathered.entry(id).or_insert_with(|| balance.clone());
            if newest.state.version < balance.state.version {
                *newest = balance;
            }
        }
        gathered
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
    }

    pub(crate) fn cold_journal(&mut self, moves: &[Move], parts: &[&Part]) -> bool {
        if !self.cold.stands_at(Sink::Journal, moves) {
            self.reach("cold stands elsewhere");
            return false;
        }
        for part in parts {
            for row in copied::transactions(part.transactions()) {
                self.cold_transaction(&row);
            }
        }
        self.cold.advance(Sink::Journal, moves);
        for Move { to, .. } in moves {
            self.tell("journal", to.position, &[]);
            if let Some(last) = to.command_offset {
                let decided =
                    &self.truth[usize::from(to.partition)].decided[usize::try_from(last).unwrap()];
                assert_eq!(
                    to.last_hash,
                    Some(decided.hash),
                    "the journal ends with another outcome"
                );
            }
        }
        true
    }

    fn cold_transaction(&mut self, row: &copied::Row<'_>) {
        let id = TransactionId::from_uuid(row.id).expect("a transaction's id");
        let key = fingerprint::seen_key(row.ledger, row.reference);
        let key = match id.home() == row.partition {
            true => key,
            false => key.at_stop(id),
        };
        let decision = match Decision::from_wire(row.status, row.reason) {
            Some(Decision::Returned(reason)) => Decision::Rejected(reason),
            other => other.expect("a decision"),
        };
        let seen = Seen::new(Fingerprint(row.fingerprint), id, row.at_ms, decision);
        let rows = &mut self.cold.transactions[usize::from(row.partition)];
        assert!(
            rows.last().is_none_or(|last| last.offset < row.offset),
            "a transaction twice, or out of order"
        );
        rows.push(Transaction {
            offset: row.offset,
            at_ms: row.at_ms,
            key,
            seen,
        });
    }
}
