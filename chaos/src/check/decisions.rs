//! Which outcome it is that decides a reference, and what an applied one moves.

use anyhow::{Result, bail};
use steelyard::ledger::{
    Body, Command, Decision as Said, Direction, Entry, Fingerprint, Outcome, PartitionId, Record,
    Rejection, TransactionId,
};
use uuid::Uuid;

use super::holds::Holds;
use super::replay::Expected;
use crate::drive::book::Verdict;

/// The first decision on a reference.
#[derive(Clone, Debug)]
pub struct Decision {
    pub verdict: Verdict,
    pub fingerprint: Fingerprint,
    pub transaction: Option<Uuid>,
    /// Where it was decided.
    pub at: (PartitionId, u64),
}

/// Debits and credits of a command, in minor units.
pub type Payment = Vec<(Uuid, i128)>;

/// Notes the first and only decision on a reference.
///
/// # Errors
/// If there is another one.
pub(super) fn note_decision(
    here: PartitionId,
    outcome: &Outcome,
    into: &mut Expected,
) -> Result<()> {
    let Some(command) = &outcome.command else {
        return Ok(());
    };
    let Some(verdict) = verdict(here, outcome, &into.holds) else {
        return Ok(());
    };
    let decision = Decision {
        verdict,
        fingerprint: command.fingerprint,
        transaction: outcome.transaction.map(TransactionId::uuid),
        at: (here, outcome.offset),
    };
    let reference = command.reference.to_string();
    let known = into.decisions.insert(reference, decision.clone());
    match known {
        None => Ok(()),
        Some(known) => bail!(
            "{} was decided twice: {known:?} and {decision:?}",
            command.reference
        ),
    }
}

/// What a client has to be told, if it is this outcome that decides: not a repeat, not a stop on
/// the way, and nothing that does what was decided elsewhere.
fn verdict(here: PartitionId, outcome: &Outcome, holds: &Holds) -> Option<Verdict> {
    if outcome.replay_of.is_some() {
        return None;
    }
    let settles = |entry: &Entry| entry.direction == Direction::Settle;
    let settled = outcome.effects.entries.iter().any(settles);
    let at_home = outcome.transaction.is_some_and(|id| id.home() == here);
    match outcome.decision {
        Said::Rejected(Rejection::ReferenceReused) => None,
        Said::Rejected(rejection) => Some(Verdict::Rejected(rejection.slug().to_owned())),
        Said::Applied => (!settled).then_some(Verdict::Applied),
        Said::Held => at_home.then_some(Verdict::Held),
        Said::Posted => (at_home && holds.decides(outcome)).then_some(Verdict::Posted),
        Said::Voided => at_home.then_some(Verdict::Voided),
        Said::Expired | Said::Forwarded | Said::Returned(_) | Said::Ignored(_) => None,
    }
}

/// Adds what a command would move.
pub(super) fn note_payment(record: &Record, into: &mut Expected) {
    let Record::Command(command) = record else {
        return;
    };
    let key = (command.reference.to_string(), command.fingerprint);
    into.payments.entry(key).or_insert_with(|| moved(command));
}

fn moved(command: &Command) -> Payment {
    let Body::Transfer(postings) = &command.body else {
        return Vec::new();
    };
    let both = postings.iter().flat_map(|posting| {
        let minor = posting.amount.minor();
        [
            (posting.source.id.uuid(), -minor),
            (posting.destination.id.uuid(), minor),
        ]
    });
    both.collect()
}
