//! Dry runs: what transactions would do, in their order, to the balances as they can be read now.
//!
//! The pure core decides over copies. Nothing is claimed, published or written, and no reference
//! is used up or looked up: a dry run judges the balances. Each balance is read by itself, so they
//! need not be of one moment; `as_of` is that of the oldest one. What is on its way is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::response::Response;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use super::answer::json;
use super::auth::Caller;
use super::batch::Settlement;
use super::context::Context;
use super::decided::Decided;
use super::error::{Class, Kind};
use super::lookup::unavailable;
use super::problem::Problem;
use super::reading::{READ_AT_ONCE, Reading};
use super::submit::Settled;
use crate::cold::periods;
use crate::ledger::rehearsal::{Rehearsal, Rehearsed};
use crate::ledger::{Balance, BalanceId, Command, partition_of};
use crate::wire::http::{BalanceView, DryRunView, TransactionView};
use crate::wire::outcome::{NO_HASH, OutcomeBody};
use crate::wire::{BalanceBody, Invalid, InvalidKind};

/// The most balances that one dry run reads.
const BALANCES_MAX: usize = 1_000;

/// Whether a transaction is only tried.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DryRunQuery {
    #[serde(default)]
    pub dry_run: bool,
}

/// The reference of a trial that names none.
pub const UNNAMED: &str = "dry-run";

/// One transaction to try: the reference its client gave it, and what it asks.
pub type Trial = (Option<String>, Result<Command, Problem>);

impl Context {
    /// Tries transactions, each after the ones before it.
    pub async fn dry_run(
        &self,
        caller: &Caller,
        trials: Vec<Trial>,
        id: &str,
    ) -> Result<Response, Problem> {
        let trials: Vec<Trial> = trials.into_iter().map(triable).collect();
        let commands = trials
            .iter()
            .filter_map(|(_, command)| command.as_ref().ok());
        let named: BTreeSet<BalanceId> = commands.flat_map(balances).collect();
        if named.len() > BALANCES_MAX {
            let detail = format!(
                "a dry run may name {BALANCES_MAX} balances, this one names {}",
                named.len()
            );
            return Err(Problem::new(Kind::BatchTooLarge, detail));
        }
        let reading = futures::stream::iter(named.iter().copied())
            .map(|id| self.read_balance(id))
            .buffered(READ_AT_ONCE);
        let mut readings: Vec<Reading> = reading
            .try_filter_map(async |it| Ok(it))
            .try_collect()
            .await?;
        readings.retain(|reading| caller.reads(&reading.balance.ledger));
        let as_of = readings.iter().map(|reading| reading.as_of).min();
        let now = readings.iter().map(|reading| reading.as_of.0).max();
        let known = readings
            .into_iter()
            .map(|reading| (reading.id, reading.balance));
        let closed = self.closed_periods(&trials).await?;
        let mut rehearsal = Rehearsal::new(self.partitions, now.unwrap_or_default(), known, closed);
        let results: Vec<Settlement> = trials
            .into_iter()
            .map(|trial| self.try_one(&mut rehearsal, trial))
            .collect();
        let after = named
            .iter()
            .filter_map(|id| Some((*id, rehearsal.balance(*id)?)));
        let after: Vec<(BalanceId, Balance)> = after.collect();
        let views = after.iter().map(|(id, balance)| {
            let body = BalanceBody::of(*id, balance, partition_of(*id, self.partitions), 0);
            BalanceView::of(body, "dry-run", as_of)
        });
        let view = DryRunView {
            dry_run: true,
            results: results.iter().map(|result| result.raw(id)).collect(),
            balances: views.collect(),
            as_of,
        };
        Ok(json(
            Class::Ok,
            serde_json::to_vec(&view).unwrap_or_default(),
        ))
    }

    /// The closed periods of the ledgers of those trials that are dated, as cold knows them.
    async fn closed_periods(&self, trials: &[Trial]) -> Result<BTreeMap<Arc<str>, i64>, Problem> {
        let commands = trials
            .iter()
            .filter_map(|(_, command)| command.as_ref().ok());
        let dated = commands.filter(|command| command.note.effective_at.is_some());
        let ledgers: BTreeSet<Arc<str>> = dated.map(|command| command.ledger.clone()).collect();
        let mut closed = BTreeMap::new();
        for ledger in ledgers {
            let known = periods::closed(&self.pool, &ledger).await;
            let known = known.map_err(|error| unavailable(&error))?;
            if let Some(before) = known.iter().filter_map(|partition| partition.before).max() {
                closed.insert(ledger, before.timestamp_millis());
            }
        }
        Ok(closed)
    }

    fn try_one(&self, rehearsal: &mut Rehearsal, (reference, command): Trial) -> Settlement {
        let command = match command {
            Ok(command) => Arc::new(command),
            Err(problem) => return Settlement::refused(reference, problem),
        };
        let ledger = command.ledger.clone();
        let undecided = || Problem::new(Kind::Internal, "no partition would answer this");
        let result = rehearsal
            .play(command)
            .and_then(|rehearsed| self.decided(&rehearsed))
            .map(Settled::Decided)
            .ok_or_else(undecided);
        Settlement {
            reference,
            ledger: Some(ledger),
            result,
        }
    }

    fn decided(&self, rehearsed: &Rehearsed) -> Option<Decided> {
        let (partition, outcome) = &rehearsed.decided;
        let mut outcome = outcome.clone();
        outcome.effects.entries.clone_from(&rehearsed.entries);
        let body = OutcomeBody::of(&outcome, *partition, NO_HASH);
        let mut view = TransactionView::of_outcome(body, self.partitions)?;
        // There is no transaction, and no place in the log.
        (view.transaction_id, view.at) = (None, None);
        (view.partition, view.offset) = (None, None);
        view.partial = false;
        if outcome.decision.reason().is_some() {
            view.entries.clear();
        }
        Decided::of_view(&view)
    }
}

/// Refuses what depends on more than balances.
fn triable((reference, command): Trial) -> Trial {
    let command = command.and_then(|command| match command.kind() {
        "transfer" | "open" | "configure" => Ok(command),
        _ => {
            let detail = "cannot be tried: a dry run takes transfer, open and configure";
            Err(Invalid::new(InvalidKind::MalformedRequest, "type", detail).into())
        }
    });
    (reference, command)
}

/// Every balance that a command names.
fn balances(command: &Command) -> impl Iterator<Item = BalanceId> {
    let postings = command.postings().iter();
    let sides = postings.flat_map(|posting| [posting.source.id, posting.destination.id]);
    sides.chain([command.decider()])
}
