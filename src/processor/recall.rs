//! Replies to repeats that memory has forgotten, completed from cold, beside the partitions' turns.
//!
//! A repeat is decided by what a partition remembers of every reference: that it was decided, and
//! how. What it did is remembered for the latest ones only. Of older ones cold knows more, and one
//! task of the process asks it, for one reply after the other. Nothing waits for that task: where
//! its queue is full or cold does not answer, the asker gets the repeat's own outcome as it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::batch::Reply;
use super::finish::send_reply;
use super::ports::World;
use crate::cold::transaction::TransactionView;
use crate::log::producer::Acks;
use crate::wire::outcome::{EntryBody, OutcomeBody, RefusedBody};
use crate::wire::{Money, Time};

/// Replies that may wait to be completed.
pub(super) const QUEUE_MAX: usize = 1_000;
/// How long cold may take for one.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long cold is not asked after it did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Completes and sends replies until there is nobody left who hands them over.
pub(super) async fn run<W: World>(shared: Arc<Shared<W>>, mut waiting: mpsc::Receiver<Reply>) {
    let (world, acks) = (&shared.world, Acks::open());
    let mut ask_at = world.now();
    while let Some(mut reply) = waiting.recv().await {
        if world.now() >= ask_at {
            let asked = tokio::select! {
                biased;
                asked = whole(world, &reply.body) => asked.ok(),
                () = world.sleep(PATIENCE) => None,
            };
            match asked {
                Some(Some(body)) => reply.body = body.into(),
                Some(None) => {}
                None => ask_at = world.now() + PAUSE,
            }
        }
        send_reply(&shared, &reply, &acks);
    }
}

/// The outcome of a repeat, with what the first one did.
async fn whole<W: World>(world: &W, short: &[u8]) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let Ok(outcome) = OutcomeBody::parse(short) else {
        return Ok(None);
    };
    let (Some(ledger), Some(reference)) = (&outcome.ledger, &outcome.reference) else {
        return Ok(None);
    };
    let found = world.transaction(ledger, reference).await?;
    let found = found.filter(|found| {
        // Where the stop that decided is not in yet, cold knows of no answer.
        let same = Some(found.decider.transaction_id) == outcome.transaction_id;
        same && *found.status == *outcome.status
    });
    let Some(found) = found else {
        return Ok(None);
    };
    let metadata = found.decider.metadata.as_ref();
    let metadata = metadata.and_then(|json| serde_json::value::to_raw_value(json).ok());
    let mut outcome = outcome;
    complete(&mut outcome, &found);
    outcome.metadata = metadata.as_deref();
    Ok(serde_json::to_vec(&outcome).ok())
}

/// Adds what the stop that decided did, as its own outcome said it.
fn complete<'a>(outcome: &mut OutcomeBody<'a>, found: &'a TransactionView) {
    // It is not the record that was hashed any more.
    outcome.hash = None;
    let decider = &found.decider;
    let decided = (decider.partition, decider.command_offset);
    let entries = found.entries.iter();
    let entries = entries.filter(|entry| (entry.partition, entry.command_offset) == decided);
    outcome.entries = entries
        .map(|entry| EntryBody {
            balance: entry.balance_id,
            version: entry.version,
            direction: (*entry.direction).into(),
            amount: Money(entry.amount),
            asset: (*entry.asset).into(),
            posted: Money(entry.posted),
            held: Money(entry.held),
            incoming: Money(entry.incoming),
            terms: None,
        })
        .collect();
    outcome.refused = decider.refused_balance.map(|balance| RefusedBody {
        balance,
        version: decider
            .refused_version
            .and_then(|version| u64::try_from(version).ok()),
    });
    outcome.effective_at = decider.effective_at.map(|at| Time(at.timestamp_millis()));
    outcome.description = decider.description.as_deref().map(Into::into);
}
