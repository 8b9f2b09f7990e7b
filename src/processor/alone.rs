//! A takeover's base out of the log alone: what it starts from where Postgres does not answer.
//!
//! After the claim it reads `snapshots` whole, and `outcomes` up to the claim: the state is as of
//! the newest marker left, and made of records of its command c and before
//! ([`crate::log::sift`]). The fold goes on from there as on any other base. `docs/proofs.md` says
//! why that is true, and the models show it. Where the log does not tell, a takeover waits for
//! Postgres as ever.
//!
//! It costs a read of all that is on both topics, which is what it takes to know references.

use std::sync::Arc;

use super::ports::World;
use super::restore::same_log;
use super::{Failure, Shared};
use crate::cold::base::Base;
use crate::ledger::PartitionId;
use crate::log::markers::Markers;
use crate::log::reader::Stretch;
use crate::log::sift::{Sift, Told, Untold};
use crate::wire::MarkerBody;

/// The base of a takeover that claimed at `epoch`. `since` is a command up to which cold is known
/// to have everything, if any is.
pub(super) async fn base<W: World>(
    shared: &Arc<Shared<W>>,
    number: PartitionId,
    epoch: u64,
    since: Option<u64>,
) -> Result<Base, Failure> {
    let topic = shared.topics.snapshots.clone();
    let (low, end) = shared.world.bounds(&topic, number).await?;
    let Some(marker) = newest_marker(shared, number, (low, end), epoch).await? else {
        return Ok(Base::default());
    };
    same_log(shared, &marker)?;
    let sift = Sift::new(marker, number);
    let stretch = Stretch {
        topic,
        partition: number,
        from: low,
        end,
    };
    let sift = shared.world.read(stretch, sift, Sift::snapshot).await?;
    let topic = shared.topics.outcomes.clone();
    let (low, _) = shared.world.bounds(&topic, number).await?;
    let stretch = Stretch {
        topic,
        partition: number,
        from: low,
        end: epoch,
    };
    let sift = shared.world.read(stretch, sift, Sift::outcome).await?;
    let told = sift.told()?;
    told.has_all_references()?;
    Ok(base_of(told, since))
}

/// Of ended holds, those that count within the horizon, or were changed after command `since`.
pub(super) fn base_of(told: Told, since: Option<u64>) -> Base {
    let from_ms = told.marker.horizon().timestamp_millis();
    let mut holds = told.holds;
    holds.retain(|(_, hold)| {
        let lasts = hold.stage.is_open() || hold.at_ms >= from_ms;
        lasts || since.is_none_or(|since| hold.offset > since)
    });
    Base {
        journal: Some((told.marker.position, told.marker.command_offset)),
        journal_hash: Some(told.hash),
        balances: told.balances,
        holds,
        seen: told.seen,
        marker: Some(told.marker),
    }
}

/// The newest marker in the last stretch of `snapshots` that has one.
async fn newest_marker<W: World>(
    shared: &Shared<W>,
    number: PartitionId,
    written: (u64, u64),
    epoch: u64,
) -> Result<Option<MarkerBody>, Failure> {
    let mut markers = Markers::new(number, written, epoch);
    while let Some((from, end)) = markers.stretch() {
        let stretch = Stretch {
            topic: shared.topics.snapshots.clone(),
            partition: number,
            from,
            end,
        };
        markers = shared.world.read(stretch, markers, Markers::take).await?;
    }
    if let Some(bad) = markers.bad {
        return Err(Untold(bad).into());
    }
    // Its writer went on behind the claim: another claim is needed if there is no older one.
    match (markers.newest, markers.later) {
        (None, Some(base)) => Err(Failure::Torn { folded: None, base }),
        (newest, _) => Ok(newest),
    }
}
