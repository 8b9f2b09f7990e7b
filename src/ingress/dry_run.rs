//! Dry runs: what transactions would do, in their order, to balances and holds as they can be read
//! now.
//!
//! The pure core decides over copies. Nothing is claimed, published or written, and no reference
//! is used up or looked up: a dry run judges what is there. Each balance is read by itself, so they
//! need not be of one moment; `as_of` is that of the oldest one. What is on its way is not in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::Response;
use futures::{StreamExt, TryStreamExt};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::answer::{json, refusal};
use super::auth::Caller;
use super::batch::Settlement;
use super::context::Context;
use super::decided::Decided;
use super::error::{Class, Kind};
use super::lookup::{ARRIVES, LOOK_AGAIN};
use super::mode::{Mode, UNNAMED};
use super::problem::Problem;
use super::reading::{READ_AT_ONCE, Reading};
use super::record::encode;
use super::staging::{Staging, behind};
use super::submit::Settled;
use super::transactions::mismatch;
use crate::ledger::rehearsal::{Rehearsal, Rehearsed};
use crate::ledger::{BalanceId, Command, Setting, partition_of};
use crate::telemetry::clock;
use crate::wire::http::request::resubmission;
use crate::wire::http::{BalanceView, DryRunView, TransactionView};
use crate::wire::outcome::{NO_HASH, OutcomeBody};
use crate::wire::record::bound_walk;
use crate::wire::{BalanceBody, Time};

/// The most balances that one dry run reads.
const BALANCES_MAX: usize = 1_000;

/// One transaction to try.
#[derive(Debug)]
pub struct Trial {
    /// As its client gave it.
    pub reference: Option<String>,
    pub command: Result<Command, Problem>,
    /// How often to submit it again with the version that refused it.
    pub retries: u8,
}

/// What a dry run came to.
struct Played {
    results: Vec<Settlement>,
    balances: Vec<(BalanceId, crate::ledger::Balance)>,
    as_of: Option<Time>,
}

impl Context {
    /// Tries one command, whose request had an `If-Match` or not; what cannot be told is the
    /// request's own failure.
    pub async fn try_alone(
        &self,
        caller: &Caller,
        (command, retries): (Command, u8),
        precondition: bool,
        mode: &Mode,
    ) -> Result<Response, Problem> {
        let reference = (&*command.reference != UNNAMED).then(|| command.reference.to_string());
        let trial = Trial {
            reference,
            command: Ok(command),
            retries,
        };
        let mut played = self.rehearse(caller, vec![trial]).await?;
        for settlement in &mut played.results {
            match &settlement.result {
                Err(problem) => return Err(problem.clone()),
                Ok(Settled::Decided(decided)) if !decided.applied => {
                    settlement.result = Err(refusal(decided, precondition));
                }
                Ok(_) => {}
            }
        }
        Ok(self.played(&played, &mode.id))
    }

    /// Tries transactions, each after the ones before it.
    pub async fn dry_run(
        &self,
        caller: &Caller,
        trials: Vec<Trial>,
        id: &str,
    ) -> Result<Response, Problem> {
        let played = self.rehearse(caller, trials).await?;
        Ok(self.played(&played, id))
    }

    fn played(&self, played: &Played, id: &str) -> Response {
        let after = played.balances.iter().map(|(id, balance)| {
            let body = BalanceBody::of(*id, balance, partition_of(*id, self.partitions), 0);
            BalanceView::of(body, "dry-run", played.as_of)
        });
        let view = DryRunView {
            dry_run: true,
            results: played.results.iter().map(|result| result.raw(id)).collect(),
            balances: after.collect(),
            as_of: played.as_of,
        };
        json(Class::Ok, serde_json::to_vec(&view).unwrap_or_default())
    }

    async fn rehearse(&self, caller: &Caller, mut trials: Vec<Trial>) -> Result<Played, Problem> {
        let deadline = Instant::now() + ARRIVES;
        let (mut rehearsal, named, as_of) = loop {
            let commands: Vec<&Command> = possible(&trials).collect();
            let staging = self.stage(&commands, deadline).await?;
            let named = commands
                .iter()
                .flat_map(|it| staging.balances(it, self.partitions));
            let named: BTreeSet<BalanceId> = named.collect();
            let readings = self.read_named(caller, &named).await?;
            let as_of = readings.iter().map(|reading| reading.as_of);
            let as_of = as_of.chain(staging.as_of).min();
            let mut rehearsal = self.stage_of(&staging, readings);
            if staging.set(&mut rehearsal, &commands) {
                for Trial { command, .. } in &mut trials {
                    let checked = |it: &Command| {
                        bound_walk(encode(it)?.len(), it, self.partitions)?;
                        staging.check(it, self.partitions)
                    };
                    if let Err(problem) = command.as_ref().map_or(Ok(()), checked) {
                        *command = Err(problem);
                    }
                }
                break (rehearsal, named, as_of);
            }
            if Instant::now() >= deadline {
                return Err(behind());
            }
            sleep(LOOK_AGAIN).await;
        };
        let results = trials.into_iter();
        let results = results
            .map(|trial| self.try_one(&mut rehearsal, trial))
            .collect();
        let balances = named.into_iter();
        let balances = balances.filter_map(|id| Some((id, rehearsal.balance(id)?)));
        Ok(Played {
            results,
            balances: balances.collect(),
            as_of,
        })
    }

    /// The balances that there are, as far as the caller may read them.
    async fn read_named(
        &self,
        caller: &Caller,
        named: &BTreeSet<BalanceId>,
    ) -> Result<Vec<Reading>, Problem> {
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
        Ok(readings)
    }

    /// A stage at the log time that a command would have now.
    fn stage_of(&self, staging: &Staging, readings: Vec<Reading>) -> Rehearsal {
        let read = readings.iter().map(|reading| reading.as_of.0).max();
        let now = read.unwrap_or_default().max(clock::now_ms());
        let known = readings.into_iter();
        let known = known.map(|reading| (reading.id, reading.balance));
        // Without anything that depends on it, any will do.
        let setting = staging.setting().unwrap_or(Setting {
            generation: Uuid::nil(),
            horizon_seconds: u64::MAX,
        });
        Rehearsal::new(
            (self.partitions, setting),
            now,
            known,
            staging.closed.clone(),
        )
    }

    fn try_one(&self, rehearsal: &mut Rehearsal, trial: Trial) -> Settlement {
        let reference = trial.reference;
        let command = match trial.command {
            Ok(command) => Arc::new(command),
            Err(problem) => return Settlement::refused(reference, problem),
        };
        Settlement {
            reference,
            ledger: Some(command.ledger.clone()),
            result: self.insist_on(rehearsal, command, trial.retries),
        }
    }

    /// Plays a command, and again as an ingress would submit it again.
    fn insist_on(
        &self,
        rehearsal: &mut Rehearsal,
        mut command: Arc<Command>,
        retries: u8,
    ) -> Result<Settled, Problem> {
        let undecided = || Problem::new(Kind::Internal, "no partition would answer this");
        let original = command.reference.clone();
        let mut attempt = 0;
        loop {
            let rehearsed = rehearsal.play(command.clone());
            let decided = rehearsed.and_then(|rehearsed| self.decided(&rehearsed));
            let settled = decided.map(Settled::Decided).ok_or_else(undecided)?;
            let Some(seen) = mismatch(&settled).filter(|_| attempt < retries) else {
                return Ok(settled);
            };
            attempt += 1;
            let again = |decoder: &mut _| resubmission(&command, &original, attempt, seen, decoder);
            command = Arc::new(self.decode(again)?);
        }
    }

    fn decided(&self, rehearsed: &Rehearsed) -> Option<Decided> {
        let (partition, outcome) = &rehearsed.decided;
        let mut outcome = outcome.clone();
        outcome.effects.entries.clone_from(&rehearsed.entries);
        let body = OutcomeBody::of(&outcome, *partition, NO_HASH);
        let mut view = TransactionView::of_outcome(body, self.partitions)?;
        // There is no transaction, and no place in the log.
        if let Some(hold) = view
            .hold
            .as_mut()
            .filter(|it| Some(it.id) == view.transaction_id)
        {
            hold.id = Uuid::nil();
        }
        (view.transaction_id, view.at) = (None, None);
        (view.partition, view.offset) = (None, None);
        view.partial = false;
        if outcome.decision.reason().is_some() {
            view.entries.clear();
        }
        Decided::of_view(&view)
    }
}

fn possible(trials: &[Trial]) -> impl Iterator<Item = &Command> {
    let commands = trials.iter().map(|trial| trial.command.as_ref());
    commands.filter_map(Result::ok)
}
