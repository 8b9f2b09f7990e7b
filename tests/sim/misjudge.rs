//! Cold's part of the rules that can be switched off: what a takeover reads, which markers count.

use std::collections::BTreeMap;

use steelyard::cold::write::{Move, Sink};
use steelyard::ledger::{Balance, BalanceId, PartitionId};
use steelyard::wire::{BalanceBody, MarkerBody};

use crate::breaks::Break;
use crate::log::Topic;
use crate::world::World;

impl World {
    /// Breaks a rule, if it is one of this read.
    pub(crate) fn misread(&mut self, partition: PartitionId, marker: &mut MarkerBody) {
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

    /// Breaks a rule, if it is one of accepting markers.
    pub(crate) fn misjudge(&mut self, moves: &[Move]) {
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
}
