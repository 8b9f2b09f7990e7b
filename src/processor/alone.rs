//! A takeover's base out of the log alone: what it starts from where Postgres does not answer.
//!
//! After the claim it reads `snapshots` whole, and `outcomes` up to the claim: the state is as of
//! the newest marker left, and made of records of its command c and before ([`super::sift`]). The
//! fold goes on from there as on any other base. `docs/proofs.md` says why that is true, and the
//! models show it. Where the log does not tell, a takeover waits for Postgres as ever.
//!
//! It costs a read of all that is on both topics, which is what it takes to know references.

use std::sync::Arc;

use super::ports::World;
use super::restore::same_log;
use super::sift::Sift;
use super::{Failure, Shared};
use crate::cold::base::Base;
use crate::ledger::PartitionId;
use crate::log::reader::{Found, Stretch};
use crate::wire::MarkerBody;
use crate::wire::record::marker_key;

/// How far from the end of `snapshots` the newest marker is looked for first: each flush ends with
/// one.
const WINDOW: u64 = 1_000;

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
    sift.into_base(since)
}

/// Markers of a stretch of `snapshots`.
struct Markers {
    key: String,
    epoch: u64,
    newest: Option<MarkerBody>,
    /// One whose outcome comes after the claim: its writer went on, and another claim is needed if
    /// there is no older one.
    later: Option<u64>,
    bad: Option<String>,
}

impl Markers {
    fn take(&mut self, found: Found<'_>) -> bool {
        if found.key != self.key.as_bytes() {
            return true;
        }
        match MarkerBody::parse(found.value) {
            Ok(marker) if marker.position >= self.epoch => {
                self.later = self.later.max(Some(marker.command_offset));
            }
            Ok(marker) => {
                let known = self.newest.as_ref();
                if known.is_none_or(|known| known.command_offset < marker.command_offset) {
                    self.newest = Some(marker);
                }
            }
            Err(error) => self.bad = Some(format!("marker {}: {error}", found.offset)),
        }
        self.bad.is_none()
    }
}

/// The newest marker in the last stretch of `snapshots` that has one.
async fn newest_marker<W: World>(
    shared: &Shared<W>,
    number: PartitionId,
    (low, end): (u64, u64),
    epoch: u64,
) -> Result<Option<MarkerBody>, Failure> {
    let mut markers = Markers {
        key: marker_key(number),
        epoch,
        newest: None,
        later: None,
        bad: None,
    };
    let (mut end, mut window) = (end, WINDOW);
    while end > low && markers.newest.is_none() {
        let from = end.saturating_sub(window).max(low);
        let stretch = Stretch {
            topic: shared.topics.snapshots.clone(),
            partition: number,
            from,
            end,
        };
        markers = shared.world.read(stretch, markers, Markers::take).await?;
        if let Some(bad) = markers.bad {
            return Err(Failure::Untold(bad));
        }
        (end, window) = (from, window.saturating_mul(10));
    }
    match (markers.newest, markers.later) {
        (None, Some(base)) => Err(Failure::Torn { folded: None, base }),
        (newest, _) => Ok(newest),
    }
}
