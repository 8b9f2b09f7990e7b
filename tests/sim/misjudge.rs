//! Cold's part of the rules that can be switched off: what a takeover reads, which markers count.

use std::collections::BTreeMap;

use steelyard::cold::write::{Move, Sink};
use steelyard::ledger::{Asset, Balance, BalanceId, Hold, PartitionId, TransactionId};
use steelyard::wire::{BalanceBody, Decoder, HoldBody, MarkerBody};

use crate::breaks::Break;
use crate::log::{Rec, Topic};
use crate::world::World;

type Held = BTreeMap<TransactionId, Hold>;

/// What the legs that post a part of a hold have in their values.
const PARTS: [&[u8]; 2] = [b"\"step\":\"take\"", b"\"step\":\"give\""];

fn has(value: &[u8], part: &[u8]) -> bool {
    value.windows(part.len()).any(|window| window == part)
}

impl World {
    /// Breaks a rule, if it is one of this read.
    pub(crate) fn misread(&mut self, partition: PartitionId, marker: &mut MarkerBody) {
        if self.is_broken(Break::CountersForgotten) {
            marker.sent.fill(0);
            marker.received.fill(0);
        }
        self.miscount(partition, marker);
        if self.is_broken(Break::EndBeforeCold) {
            self.reads_the_end_first(partition, marker);
        }
    }

    /// Breaks a rule, if it is one of reading `snapshots` for a takeover.
    pub(crate) fn missift(&self, partition: PartitionId, rec: &mut Rec) {
        if self.is_broken(Break::TermsForgotten) && rec.key.starts_with(b"balance:") {
            let mut body = BalanceBody::parse(&rec.value).unwrap();
            (body.floor, body.ceiling) = (None, None);
            body.status = "open".into();
            rec.value = serde_json::to_vec(&body).unwrap().into();
        }
        if rec.key.starts_with(b"marker:") {
            let mut body = MarkerBody::parse(&rec.value).unwrap();
            self.miscount(partition, &mut body);
            if self.is_broken(Break::LogCountersForgotten) {
                body.sent.fill(0);
                body.received.fill(0);
            }
            rec.value = serde_json::to_vec(&body).unwrap().into();
        }
    }

    /// The leg that last posted a hold's part is left out.
    fn miscount(&self, partition: PartitionId, marker: &mut MarkerBody) {
        if !self.is_broken(Break::PostNotCounted) {
            return;
        }
        for (from, received) in marker.received.iter_mut().enumerate() {
            let legs = &self.truth[from].legs;
            let last = legs.get(&(partition, *received));
            let posts = |value: &[u8]| PARTS.iter().any(|part| has(value, part));
            *received -= u64::from(last.is_some_and(|(_, value)| posts(value)));
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

    /// Breaks a rule, if it is one of accepting markers: `step` leads to one that was passed over.
    pub(crate) fn misjudge(&mut self, step: &Move) {
        let [ahead, alone, holds] = [
            Break::RowsAheadOfMarker,
            Break::SumAlone,
            Break::HoldSumsLeftOut,
        ]
        .map(|rule| self.is_broken(rule));
        if !(ahead || alone || holds) {
            return;
        }
        let partition = step.to.partition;
        let (balances, held) = self.gathered(step);
        let accepted = !ahead && self.nearly_matches(step, &balances, alone);
        if !(ahead || accepted) {
            return;
        }
        for (id, balance) in &balances {
            self.cold_row(partition, *id, balance);
        }
        for (id, hold) in &held {
            self.cold_hold(partition, *id, hold);
        }
        if accepted {
            self.cold
                .advance(Sink::Balances, std::slice::from_ref(step));
        }
    }

    /// Whether rows and snapshots have the marker's sum of versions, and unless that is `alone`
    /// the highest command and the zero-sum too.
    fn nearly_matches(
        &self,
        step: &Move,
        gathered: &BTreeMap<BalanceId, Balance>,
        alone: bool,
    ) -> bool {
        let text = step.to.marker.as_deref().unwrap_or_default();
        let cut = MarkerBody::parse(text.as_bytes()).and_then(|body| body.to_cut());
        let cut = cut.expect("a step comes with its marker");
        let mut rows = self.cold.balances[usize::from(step.to.partition)].clone();
        for (id, balance) in gathered {
            let row = rows.entry(*id).or_insert_with(|| balance.clone());
            if row.state.version < balance.state.version {
                *row = balance.clone();
            }
        }
        let stands = self
            .cold
            .checkpoint(Sink::Balances, step.to.partition)
            .command_offset;
        let versions: u64 = rows.values().map(|row| row.state.version).sum();
        let highest = rows.values().map(|row| row.offset).max();
        let mut posted: BTreeMap<Asset, i128> = BTreeMap::new();
        for row in rows.values() {
            *posted.entry(row.asset).or_default() += row.state.posted;
        }
        stands <= Some(cut.command_offset)
            && versions == cut.version_sum
            && (alone || (highest == cut.highest_offset && posted.values().all(|sum| *sum == 0)))
    }

    /// Of every balance and hold the newest snapshot on the way to a marker.
    fn gathered(&self, step: &Move) -> (BTreeMap<BalanceId, Balance>, Held) {
        let line = self.log.line(Topic::Snapshots, step.to.partition);
        let mut balances: BTreeMap<BalanceId, Balance> = BTreeMap::new();
        let mut holds = Held::new();
        let mut decoder = Decoder::new();
        for rec in (step.from..step.to.position).filter_map(|offset| line.get(offset)) {
            if rec.key.starts_with(b"balance:") {
                let body = BalanceBody::parse(&rec.value).unwrap();
                let (id, balance) = body.to_ledger((*body.ledger).into()).unwrap();
                let newest = balances.entry(id).or_insert_with(|| balance.clone());
                if newest.state.version < balance.state.version {
                    *newest = balance;
                }
            } else if rec.key.starts_with(b"hold:") {
                let body = HoldBody::parse(&rec.value).unwrap();
                let (id, hold) = body.to_ledger(&mut decoder).unwrap();
                let newest = holds.entry(id).or_insert_with(|| hold.clone());
                if newest.version < hold.version {
                    *newest = hold;
                }
            }
        }
        (balances, holds)
    }
}
