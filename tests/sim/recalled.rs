//! Replies to old repeats: what cold answers about a transaction, and what is made of it.

use chrono::{DateTime, Utc};
use steelyard::cold::read::EntryRow;
use steelyard::cold::transaction::{StopRow, TransactionView, merge};
use steelyard::ledger::PartitionId;
use steelyard::wire::{OutcomeBody, Time};
use uuid::Uuid;

use crate::world::World;

impl World {
    /// What the journal has of the transaction of `reference`.
    pub(crate) fn cold_transaction(
        &self,
        ledger: &str,
        reference: &str,
    ) -> Option<TransactionView> {
        let name = (ledger.into(), reference.into());
        let (id, _) = self.cold.journal.references.get(&name)?;
        let (mut stops, mut entries) = (Vec::new(), Vec::new());
        for (partition, rows) in (0..).zip(&self.cold.journal.transactions) {
            for row in rows.iter().filter(|row| row.id == *id) {
                let body = self.outcome(partition, row.offset);
                stops.push(stop(&body, (ledger, reference)));
                entries.extend(body.entries.iter().map(|entry| EntryRow {
                    balance_id: entry.balance,
                    version: entry.version,
                    transaction_id: id.uuid(),
                    partition,
                    command_offset: row.offset,
                    at: time(body.at),
                    effective_at: body.effective_at.map(time),
                    direction: entry.direction.to_string(),
                    amount: entry.amount.0,
                    asset: entry.asset.to_string(),
                    posted: entry.posted.0,
                    held: entry.held.0,
                    incoming: entry.incoming.0,
                }));
            }
        }
        stops.sort_by_key(|stop| (stop.at, stop.partition, stop.command_offset));
        entries.sort_by_key(|entry| (entry.at, entry.partition, entry.command_offset));
        merge(stops, entries, Vec::new())
    }

    fn outcome(&self, partition: PartitionId, offset: u64) -> OutcomeBody<'_> {
        let decided = &self.truth[usize::from(partition)].decided;
        let body = &decided[usize::try_from(offset).unwrap()].body;
        OutcomeBody::parse(body).expect("an outcome is plain JSON")
    }

    /// A repeat's reply that was completed tells what one outcome of its transaction did, and is
    /// the repeat's own in everything else.
    pub(crate) fn reply_is_complete(&mut self, body: &OutcomeBody<'_>) {
        let repeat = self.outcome(body.partition, body.offset);
        assert_eq!(
            (&repeat.status, repeat.transaction_id, repeat.replay_of),
            (&body.status, body.transaction_id, body.replay_of),
            "a completed reply is another repeat's"
        );
        let id = body.transaction_id.expect("a repeat is of a transaction");
        let journal = self.cold.journal.transactions.iter();
        let mut rows = (0..).zip(journal).flat_map(|(partition, rows)| {
            let rows = rows.iter().filter(move |row| row.id.uuid() == id);
            rows.map(move |row| (partition, row.offset))
        });
        let shown = changes(body);
        let told = rows.any(|(partition, offset)| {
            let outcome = self.outcome(partition, offset);
            // Where the stop that refused is not in yet, one that took its part back tells.
            let status = match &*outcome.status {
                "returned" => "rejected",
                status => status,
            };
            *status == *body.status && changes(&outcome) == shown
        });
        assert!(told, "a completed reply tells of changes that nobody made");
        self.reach("a reply is completed from cold");
    }
}

/// Balances and their versions.
fn changes(body: &OutcomeBody<'_>) -> Vec<(Uuid, u64)> {
    let entries = body.entries.iter();
    entries
        .map(|entry| (entry.balance, entry.version))
        .collect()
}

fn time(at: Time) -> DateTime<Utc> {
    at.utc()
}

fn stop(body: &OutcomeBody<'_>, (ledger, reference): (&str, &str)) -> StopRow {
    StopRow {
        transaction_id: body.transaction_id.expect("a transaction has an id"),
        partition: body.partition,
        command_offset: body.offset,
        at: time(body.at),
        ledger: ledger.to_owned(),
        reference: reference.to_owned(),
        kind: body.kind.as_deref().unwrap_or_default().to_owned(),
        status: body.status.to_string(),
        reason: body.reason.as_deref().map(str::to_owned),
        fingerprint: body.fingerprint.map_or(Vec::new(), |it| it.0.to_vec()),
        effective_at: body.effective_at.map(time),
        description: body.description.as_deref().map(str::to_owned),
        metadata: None,
        reverses: body.reverses,
        refused_balance: body.refused.map(|refused| refused.balance),
        refused_version: body.refused.and_then(|refused| {
            refused
                .version
                .map(|version| i64::try_from(version).unwrap())
        }),
    }
}
