//! What compaction will leave of `snapshots`.

use std::collections::BTreeMap;

use steelyard::ledger::{BalanceId, PartitionId, TransactionId};
use steelyard::wire::{BalanceBody, HoldBody, Subject};

use crate::log::Topic;
use crate::world::World;

impl World {
    /// A balance, or a hold that counts, of which the latest record up to the last marker is not
    /// the newest version: what a takeover from the log alone could not know once its outcomes are
    /// trimmed. The sink sees what is late by the marker that comes next.
    pub(crate) fn hidden(&self, partition: PartitionId) -> Option<String> {
        let latest = self.latest(partition);
        let truth = &self.truth[usize::from(partition)];
        let state = &truth.partition;
        let (now_ms, horizon) = (state.log_time_ms(), self.setting.horizon_seconds);
        let balances = state.balances();
        let balances = balances.map(|(id, balance)| (Subject::Balance(id), balance.state.version));
        let holds = state.holds().iter();
        let holds = holds.filter(|(id, _)| state.holds().find(*id, now_ms, horizon).is_some());
        let holds = holds.map(|(id, hold)| (Subject::Hold(id), hold.version));
        let mut known = balances.chain(holds);
        let hidden = known.find(|(subject, version)| latest.get(subject) != Some(version));
        hidden.map(|(subject, version)| {
            let found = latest.get(&subject);
            format!("partition {partition}: {subject:?} is at {version}, on snapshots at {found:?}")
        })
    }

    /// The version that the latest record says, up to the last marker.
    fn latest(&self, partition: PartitionId) -> BTreeMap<Subject, u64> {
        let line = self.log.line(Topic::Snapshots, partition);
        let records = (line.low..line.end()).filter_map(|offset| line.get(offset));
        let records: Vec<_> = records.collect();
        let marker = records
            .iter()
            .rposition(|rec| rec.key.starts_with(b"marker:"));
        let judged = records.iter().take(marker.unwrap_or_default());
        let versions = judged.filter_map(|rec| {
            if rec.key.starts_with(b"balance:") {
                let body = BalanceBody::parse(&rec.value).unwrap();
                return Some((Subject::Balance(BalanceId::new(body.id)), body.version));
            }
            let is_hold = rec.key.starts_with(b"hold:");
            let body = is_hold.then(|| HoldBody::parse(&rec.value).unwrap())?;
            let id = TransactionId::from_uuid(body.id).unwrap();
            Some((Subject::Hold(id), body.version))
        });
        versions.collect()
    }
}
