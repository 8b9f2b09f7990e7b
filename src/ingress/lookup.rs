//! A transaction by its reference: the claim first, then cold.
//!
//! Not finding it is told from not being able to look: only a store that answered can say 404.

use std::time::Duration;

use rust_decimal::Decimal;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::context::Context;
use super::decided::Decided;
use super::error::Kind;
use super::problem::Problem;
use crate::cold::holds::HoldRow;
use crate::cold::read::EntryRow;
use crate::cold::transaction::{self, TransactionView as ColdView};
use crate::hot::claims::Known;
use crate::ledger::amount::minor_of;
use crate::ledger::{Asset, Command, PartitionId, Stage};
use crate::wire::hold::PartBody;
use crate::wire::http::hold::HeldPostingView;
use crate::wire::http::view::{HELD, PENDING, POSTED, VOIDED, transits};
use crate::wire::http::{EntryView, HoldView, SumView, TransactionView};
use crate::wire::scalar::{Money, Str, Time};

/// How long a reader waits for what cold adds to a decision that is known.
pub const COLD_PATIENCE: Duration = Duration::from_millis(500);

/// How long what a request builds on may still be on its way, and how often that is looked at.
pub const ARRIVES: Duration = Duration::from_secs(1);
pub const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is known of a reference.
#[derive(Debug)]
pub enum Found {
    Decided(Decided),
    Pending,
    Nothing,
}

impl Context {
    /// What is known of `reference` in `ledger` (`organization/ledger`).
    pub async fn find(&self, ledger: &str, reference: &str) -> Result<Found, Problem> {
        let known = self.claims.find(ledger, reference).await;
        let claimed = match &known {
            Known::Done(view) => Decided::of_claim(view.clone()),
            Known::Pending | Known::Nothing | Known::Unknown => None,
        };
        if let Some(decided) = &claimed
            && !decided.partial
        {
            return Ok(Found::Decided(decided.clone()));
        }
        let cold = self.find_cold(ledger, reference).await;
        match (cold, claimed, known) {
            (Ok(Found::Decided(decided)), _, _) | (_, Some(decided), _) => {
                Ok(Found::Decided(decided))
            }
            (Ok(Found::Pending), _, _) | (_, _, Known::Pending) => Ok(Found::Pending),
            (Err(problem), None, _) => Err(problem),
            (Ok(Found::Nothing), None, Known::Unknown) => {
                let detail = "it is not in cold, and what is newer cannot be looked up just now";
                Err(Problem::new(Kind::StorageUnavailable, detail))
            }
            (Ok(Found::Nothing), None, Known::Nothing | Known::Done(_)) => Ok(Found::Nothing),
        }
    }

    /// As [`Context::find`]; what is on its way is given a moment to arrive. An answer may be out
    /// before its claim says so.
    pub async fn find_soon(&self, ledger: &str, reference: &str) -> Result<Found, Problem> {
        let deadline = Instant::now() + ARRIVES;
        loop {
            let found = self.find(ledger, reference).await?;
            if !matches!(found, Found::Pending) || Instant::now() >= deadline {
                return Ok(found);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// As [`Context::find`], and what became of the transaction since, as far as cold answers soon.
    pub async fn look_up(&self, ledger: &str, reference: &str) -> Result<Found, Problem> {
        let found = self.find(ledger, reference).await?;
        let Found::Decided(decided) = &found else {
            return Ok(found);
        };
        if decided.applied && decided.replayed {
            let cold = self.find_cold(ledger, reference);
            if let Ok(Ok(Found::Decided(latest))) = timeout(COLD_PATIENCE, cold).await {
                return Ok(Found::Decided(latest));
            }
        }
        Ok(found)
    }

    /// Completes an answer that says no more than that it was decided.
    pub async fn complete(
        &self,
        command: &Command,
        short: Option<Decided>,
    ) -> Result<Decided, Problem> {
        match (self.find(&command.ledger, &command.reference).await, short) {
            (Ok(Found::Decided(found)), _) => Ok(Decided {
                replayed: true,
                ..found
            }),
            (_, Some(short)) => Ok(short),
            (Ok(Found::Pending | Found::Nothing) | Err(_), None) => {
                let detail = "the transaction was decided before, and how cannot be looked up \
                    just now; read it by its reference later";
                Err(Problem::new(Kind::OutcomeUnknown, detail))
            }
        }
    }

    async fn find_cold(&self, ledger: &str, reference: &str) -> Result<Found, Problem> {
        let found = transaction::transaction(&self.pool, ledger, reference).await;
        match found.map_err(|error| unavailable(&error))? {
            None => Ok(Found::Nothing),
            Some(cold) if cold.status == "forwarded" => Ok(Found::Pending),
            Some(cold) => {
                let view = view(cold, self.partitions);
                Ok(Decided::of_view(&view).map_or(Found::Nothing, Found::Decided))
            }
        }
    }
}

/// Cold did not answer; the inside stays inside.
pub fn unavailable(error: &sqlx::Error) -> Problem {
    tracing::debug!(%error, "cold does not answer");
    Problem::new(Kind::StorageUnavailable, "cold does not answer just now")
}

fn view(cold: ColdView, partitions: PartitionId) -> TransactionView<'static> {
    let ColdView {
        status,
        reason,
        decider,
        stops,
        entries,
        hold,
        reversed_by,
        ..
    } = cold;
    let hold = hold.and_then(hold_view);
    let reversed = hold.as_ref().map_or_else(Vec::new, reversed);
    let walks = !matches!(&*decider.status, HELD | POSTED | VOIDED | "expired");
    let settled = entries.iter().any(|entry| entry.direction == "reserve");
    let waiting = walks
        && settled
        && !entries
            .iter()
            .any(|e| e.direction == "settle" || e.direction == "release");
    let here: Vec<PartitionId> = stops.iter().map(|stop| stop.partition).collect();
    let assets = entries.iter().map(|entry| entry.asset.as_str());
    let transit: Vec<Uuid> = match here.len() > 1 {
        true => transits(&here, partitions, &decider.ledger, assets),
        false => Vec::new(),
    };
    let ours = |entry: &EntryRow| !transit.contains(&entry.balance_id);
    let entries: Vec<_> = entries.into_iter().filter(ours).map(entry).collect();
    let changed = match decider.kind.as_str() {
        "open" | "configure" => entries.first().map(|entry| entry.balance),
        _ => None,
    };
    let text = |text: String| Str(text.into());
    let mut view = TransactionView {
        reference: text(decider.reference),
        status: text(status),
        reason: reason.map(text),
        transaction_id: Some(decider.transaction_id),
        kind: Some(text(decider.kind)),
        ledger: text(decider.ledger),
        at: Some(Time(decider.at.timestamp_millis())),
        partition: Some(decider.partition),
        offset: Some(decider.command_offset),
        balance: decider.refused_balance.or(changed),
        version: decider
            .refused_version
            .and_then(|version| u64::try_from(version).ok()),
        entries,
        hold: hold.filter(|hold| &*hold.state != Stage::Moved.slug()),
        reverses: decider.reverses,
        reversed,
        reversed_by: reversed_by.into_iter().map(text).collect(),
        partial: waiting,
        effective_at: decider.effective_at.map(|at| Time(at.timestamp_millis())),
        description: decider.description.map(text),
        metadata: decider
            .metadata
            .and_then(|json| serde_json::value::to_raw_value(&json).ok()),
        retry_of: None,
    };
    view.name_retry();
    debug_assert!(&*view.status != PENDING);
    view
}

/// How much is reversed, by asset.
fn reversed(hold: &HoldView<'_>) -> Vec<SumView<'static>> {
    let mut sums: Vec<SumView<'static>> = Vec::new();
    for posting in &hold.postings {
        let Some(reversed) = posting.reversed else {
            continue;
        };
        match sums.iter_mut().find(|sum| *sum.asset == *posting.asset) {
            Some(sum) => sum.amount.0 += reversed.0,
            None => sums.push(SumView {
                asset: Str(posting.asset.to_string().into()),
                amount: reversed,
            }),
        }
    }
    sums
}

/// A hold as a client reads it; nothing, if its postings are not what this binary writes.
pub fn hold_view(row: HoldRow) -> Option<HoldView<'static>> {
    let postings = row.postings.to_string();
    let parts: Vec<PartBody<'_>> = serde_json::from_str(&postings).ok()?;
    let posting = |part: PartBody<'_>| HeldPostingView {
        source: part.source,
        destination: part.destination,
        asset: Str(part.asset.to_string().into()),
        amount: part.amount,
        rest: part.rest,
        posted: part.posted,
        reversed: part.reversed,
    };
    Some(HoldView {
        id: row.id,
        reference: Str(row.reference.into()),
        state: Str(row.state.into()),
        expires_at: row.expires_at.map(|at| Time(at.timestamp_millis())),
        postings: parts.into_iter().map(posting).collect(),
    })
}

/// An entry as a client reads it.
pub fn entry(row: EntryRow) -> EntryView<'static> {
    EntryView {
        balance: row.balance_id,
        version: row.version,
        direction: Str(row.direction.into()),
        amount: money(row.amount, &row.asset),
        posted: money(row.posted, &row.asset),
        held: money(row.held, &row.asset),
        incoming: money(row.incoming, &row.asset),
        asset: Str(row.asset.into()),
        terms: None,
        transaction_id: Some(row.transaction_id),
        at: Some(Time(row.at.timestamp_millis())),
        effective_at: row.effective_at.map(|at| Time(at.timestamp_millis())),
    }
}

/// An amount of cold, printed with the decimals of its asset.
pub fn money(decimal: Decimal, asset: &str) -> Money {
    let minor = Asset::parse(asset).ok().and_then(|asset| {
        let minor = minor_of(decimal, asset.scale()).ok()?;
        Some(Money::of(minor, asset.scale()))
    });
    minor.unwrap_or(Money(decimal))
}
