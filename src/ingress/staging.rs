//! What a dry run stands on beside balances: what homes keep of holds, how originals were decided,
//! and which periods are closed.
//!
//! It comes from cold, which is given a moment to have all that hot had when it was asked for:
//! then whatever was answered before the request is in it. Where cold stays behind, `as_of` says
//! how far; of a hold that it may not have yet nothing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use tokio::time::{Instant, sleep};

use super::context::Context;
use super::error::Kind;
use super::lookup::{Found, LOOK_AGAIN, unavailable};
use super::problem::Problem;
use super::reading::READ_AT_ONCE;
use crate::cold::homes::{self, Homes};
use crate::cold::periods;
use crate::ledger::rehearsal::Rehearsal;
use crate::ledger::{
    BalanceId, Body, Command, Decision, Hold, PartitionId, Setting, TransactionId, partition_of,
};
use crate::telemetry::clock;
use crate::wire::Time;
use crate::wire::http::TransactionView;

/// What commands depend on, as it could be read.
#[derive(Debug)]
pub struct Staging {
    homes: Homes,
    /// By the id of what is to be reversed: when and how it was decided.
    originals: BTreeMap<TransactionId, (i64, Decision)>,
    /// Ends of closed periods by ledger, of commands that depend on them.
    pub closed: BTreeMap<Arc<str>, i64>,
    /// Up to when every change is in it; absent where no command depends on it.
    pub as_of: Option<Time>,
}

impl Context {
    /// Reads what `commands` depend on; waits for what is newer than cold, until `deadline`.
    pub async fn stage(
        &self,
        commands: &[&Command],
        deadline: Instant,
    ) -> Result<Staging, Problem> {
        let count = self.partitions;
        let wanted = commands.iter().filter_map(|command| {
            let id = concerns(command, count)?;
            Some((id, command.ledger.clone()))
        });
        let wanted: BTreeSet<(TransactionId, Arc<str>)> = wanted.collect();
        let ids: Vec<TransactionId> = wanted.iter().map(|(id, _)| *id).collect();
        let ledgers = commands.iter().filter(|command| is_dated(command));
        let ledgers: BTreeSet<Arc<str>> = ledgers.map(|it| it.ledger.clone()).collect();
        let periods = ledgers
            .iter()
            .map(|it| partition_of(BalanceId::period(it), count));
        let places = ids.iter().map(|id| id.home()).chain(periods);
        let places: BTreeSet<PartitionId> = places.collect();
        let (mut homes, as_of) = self.homes(&places, &ids, deadline).await?;
        // Whose ledger is another one knows nothing of it.
        homes
            .holds
            .retain(|id, hold| wanted.contains(&(*id, hold.ledger.clone())));
        Ok(Staging {
            homes,
            originals: self.originals_of(commands).await?,
            closed: self.closed(ledgers).await?,
            as_of,
        })
    }

    /// What the homes of `ids` keep of them, and as of when, once cold has all that hot has now.
    async fn homes(
        &self,
        places: &BTreeSet<PartitionId>,
        ids: &[TransactionId],
        deadline: Instant,
    ) -> Result<(Homes, Option<Time>), Problem> {
        if places.is_empty() {
            return Ok((Homes::default(), None));
        }
        let places: Vec<PartitionId> = places.iter().copied().collect();
        let now = Time(clock::now_ms());
        let stood = self.hot.offsets(&places).await.unwrap_or_default();
        loop {
            let homes = homes::homes(&self.pool, &places, ids).await;
            let homes = homes.map_err(|error| unavailable(&error))?;
            let behind = |place: &&PartitionId| {
                let home = homes.known.get(place).map(|home| home.command_offset);
                stood.get(place).is_none_or(|offset| home < Some(*offset))
            };
            let behind: Vec<_> = places.iter().filter(behind).collect();
            let waits = behind.iter().any(|place| stood.contains_key(place));
            if !waits || Instant::now() >= deadline {
                let behind = behind.iter().filter_map(|place| homes.known.get(place));
                let oldest = behind.map(|home| Time(home.at.timestamp_millis())).min();
                return Ok((homes, Some(oldest.unwrap_or(now))));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// How what `commands` reverse was decided, under its own reference.
    async fn originals_of(
        &self,
        commands: &[&Command],
    ) -> Result<BTreeMap<TransactionId, (i64, Decision)>, Problem> {
        let reversals = commands.iter().filter_map(|command| command.reverse());
        let named = reversals.map(|it| {
            let Command {
                ledger, reference, ..
            } = &*it.original;
            (it.transaction, (ledger.clone(), reference.clone()))
        });
        let named: BTreeMap<TransactionId, (Arc<str>, Box<str>)> = named.collect();
        let mut found =
            futures::stream::iter(named)
                .map(|(id, (ledger, reference))| async move {
                    (id, self.find(&ledger, &reference).await)
                })
                .buffered(READ_AT_ONCE);
        let mut originals = BTreeMap::new();
        while let Some((id, found)) = found.next().await {
            let Found::Decided(decided) = found? else {
                continue;
            };
            let view: Option<TransactionView<'_>> = serde_json::from_slice(&decided.json).ok();
            let view = view.filter(|view| view.transaction_id == Some(id.uuid()));
            let decision = match decided.applied {
                true => Some(Decision::Applied),
                false => decided.rejection.map(Decision::Rejected),
            };
            let at = view.and_then(|view| view.at);
            originals.extend(
                at.zip(decision)
                    .map(|(at, decision)| (id, (at.0, decision))),
            );
        }
        Ok(originals)
    }

    /// The closed periods of `ledgers`, as cold knows them.
    async fn closed(
        &self,
        ledgers: BTreeSet<Arc<str>>,
    ) -> Result<BTreeMap<Arc<str>, i64>, Problem> {
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
}

impl Staging {
    /// What the log sets, if anything depends on it.
    pub fn setting(&self) -> Option<Setting> {
        let home = self.homes.known.values().next();
        home.map(|home| home.setting())
    }

    /// Every balance that `command` may change, and the one that it speaks of.
    pub fn balances(&self, command: &Command, count: PartitionId) -> Vec<BalanceId> {
        let hold = concerns(command, count).and_then(|id| self.homes.holds.get(&id));
        let parts = hold.map_or(&[][..], |hold| &hold.parts);
        let original = command.reverse().map(|reverse| &*reverse.original);
        let postings = original.unwrap_or(command).postings().iter();
        let postings = postings.map(|posting| [posting.source.id, posting.destination.id]);
        let sides = parts.iter().map(|part| [part.source, part.destination]);
        let own = match &command.body {
            Body::Open(open) => Some(open.balance),
            Body::Configure(configure) => Some(configure.balance),
            Body::Transfer(_)
            | Body::Hold(_)
            | Body::Post(_)
            | Body::Void(_)
            | Body::Expire(_)
            | Body::ClosePeriod(_)
            | Body::Reverse(_) => None,
        };
        sides.chain(postings).flatten().chain(own).collect()
    }

    /// Refuses to say anything of what cold may not have yet.
    pub fn check(&self, command: &Command, count: PartitionId) -> Result<(), Problem> {
        let Some(id) = concerns(command, count) else {
            return Ok(());
        };
        let known = match (self.homes.known.get(&id.home()), command.reverse()) {
            (None, _) => false,
            (Some(home), None) => {
                let ours = TransactionId::new(id.home(), id.offset(), home.generation) == id;
                !ours || home.command_offset >= id.offset()
            }
            // A transfer that was never reversed is kept nowhere.
            (Some(home), Some(reverse)) => {
                let decided = self.originals.get(&id).map(|(_, decision)| *decision);
                let held = reverse.original.hold().is_some() && decided == Some(Decision::Applied);
                !held || home.command_offset >= id.offset()
            }
        };
        match known {
            true => Ok(()),
            false => Err(behind()),
        }
    }

    /// Brings everything on the stage. False if balances and holds are not of one moment.
    pub fn set(&self, rehearsal: &mut Rehearsal, commands: &[&Command]) -> bool {
        for reverse in commands.iter().filter_map(|command| command.reverse()) {
            if let Some((at_ms, decision)) = self.originals.get(&reverse.transaction) {
                let original = (reverse.transaction, &*reverse.original);
                rehearsal.remember(original, *at_ms, *decision);
            }
        }
        let mut holds = self.homes.holds.iter();
        holds.all(|(id, hold): (_, &Hold)| rehearsal.keep(*id, hold))
    }
}

/// Cold is behind what a dry run would have to know.
pub fn behind() -> Problem {
    let detail = "what became of the hold cannot be looked up just now: cold is behind";
    Problem::new(Kind::StorageUnavailable, detail)
}

/// The transaction whose home decides on `command`, if it is one that can be there.
fn concerns(command: &Command, count: PartitionId) -> Option<TransactionId> {
    let reverses = command.reverse().map(|reverse| reverse.transaction);
    let id = command.target().map(|target| target.hold).or(reverses)?;
    (id.home() == partition_of(command.decider(), count)).then_some(id)
}

/// Whether closed periods matter to a command.
fn is_dated(command: &Command) -> bool {
    command.note.effective_at.is_some() || matches!(command.body, Body::ClosePeriod(_))
}
