//! The checker: trusts nothing but the commands topic.
//!
//! | step | proves |
//! |---|---|
//! | [`replay`] | what every command had to become: decided again, offline, from the commands alone, by the oracle |
//! | [`outcomes`] | the topic holds exactly that, byte for byte; copies are copies, nothing is missing |
//! | [`money`] | per asset everything sums to zero, nothing is on the wire, every balance is what the applied payments and posts add up to, and has reserved what open holds have left |
//! | [`stores`] | Redis and Postgres hold the same last state |
//! | [`clients`] | every answer was the truth, no 2xx is missing, nothing was decided twice |
//! | [`reads`] | no read went backwards, and none showed what never was |
//!
//! The first difference ends it, with its history.

mod clients;
mod decisions;
mod holds;
mod money;
mod outcomes;
mod reads;
pub mod replay;
mod stores;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use self::replay::Expected;
use crate::drive::book::{Told, Verdict};
use crate::world::World;

/// What was compared.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub commands: u64,
    pub copies: u64,
    pub references: usize,
    pub answers: usize,
    pub replies: usize,
    pub reads: usize,
    pub retries: u64,
    pub balances: usize,
    pub holds: usize,
    pub reversals: usize,
    /// Transit balances that are kept for one ledger alone, by later rules.
    pub own_ways: usize,
    /// How many references were refused, by reason.
    pub refused: BTreeMap<String, usize>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} commands decided, {} copies by second owners, {} references, {} answers, {} \
             replies, {} retries, {} reads, {} balances, \
             {} holds, {} reversals, {} ways of one ledger",
            self.commands,
            self.copies,
            self.references,
            self.answers,
            self.replies,
            self.retries,
            self.reads,
            self.balances,
            self.holds,
            self.reversals,
            self.own_ways
        )?;
        let mut before = "; refused: ";
        for (reason, count) in &self.refused {
            write!(f, "{before}{count} {reason}")?;
            before = ", ";
        }
        Ok(())
    }
}

/// Checks a world that has come to rest, and in which no hold is left that expires before `due_ms`.
///
/// # Errors
/// The first difference, with its history.
pub async fn check(world: &World, told: Told, due_ms: i64) -> Result<Tally> {
    let reading = world.clone();
    let read = tokio::task::spawn_blocking(move || {
        let expected = replay::replay(&reading).context("commands")?;
        let copies = outcomes::check(&reading, &expected).context("outcomes")?;
        let replies = clients::replies(&reading).context("replies")?;
        anyhow::Ok((expected, copies, replies))
    });
    let (expected, copies, replies) = read.await??;
    money::check(&expected).context("money")?;
    if let Some(reference) = expected.holds.overdue(due_ms) {
        bail!("holds: the time of {reference} is over, and it is still open");
    }
    let balances = stores::check(world, &expected).await.context("stores")?;
    let mut answers = told.finals;
    let tally = Tally {
        commands: expected.count(),
        copies,
        references: expected.decisions.len(),
        answers: answers.len(),
        replies: replies.len(),
        reads: told.shown.len(),
        retries: told.retries,
        balances,
        holds: expected.holds.count(),
        reversals: expected.holds.reversals(),
        own_ways: money::own_ways(&expected),
        refused: refused(&expected),
    };
    answers.extend(replies);
    clients::check(&expected, &answers, &told.accepted, &told.places).context("clients")?;
    reads::check(&expected, told.shown).context("reads")?;
    ensure!(
        told.denied.is_empty(),
        "reads: a balance was said not to exist: {}",
        told.denied.join("; ")
    );
    ensure!(
        told.unexplained.is_empty(),
        "reads: open holds do not explain what is held: {}",
        told.unexplained.join("; ")
    );
    ensure!(
        told.premature.is_empty(),
        "clients: who was told of a hold was then told that it is not decided: {}",
        told.premature.join(", ")
    );
    ensure!(
        told.unanswered.is_empty(),
        "clients: no final answer in time about {}",
        told.unanswered.join(", ")
    );
    Ok(tally)
}

fn refused(expected: &Expected) -> BTreeMap<String, usize> {
    let mut refused = BTreeMap::new();
    for decision in expected.decisions.values() {
        if let Verdict::Rejected(reason) = &decision.verdict {
            *refused.entry(reason.clone()).or_default() += 1;
        }
    }
    refused
}
