//! The outcomes topic against what it has to hold.

use anyhow::{Context, Result, bail, ensure};
use rdkafka::Message;
use steelyard::ledger::PartitionId;
use steelyard::log::reader::Reader;
use steelyard::wire::outcome::OutcomeBody;
use steelyard::wire::record::{CLAIM_KEY, GENESIS_KEY};

use super::replay::Expected;
use crate::world::World;

/// How many records are shown before a difference.
const HISTORY: usize = 6;

/// How many outcomes are copies.
///
/// # Errors
/// The first record that is not what its command had to become, or the first command without one.
pub fn check(world: &World, expected: &Expected) -> Result<u64> {
    let topic = world.log().topics().outcomes;
    let reader = Reader::open(&world.log())?;
    let mut copies = 0;
    for (partition, (low, high)) in (0..).zip(reader.all_bounds(&topic)?) {
        ensure!(low == 0, "partition {partition} was trimmed to {low}");
        let mut chain = Chain {
            expected,
            partition,
            last: None,
            claims: Vec::new(),
            copies: 0,
        };
        let mut failed = None;
        reader.read(&topic, partition, 0, high, |message| {
            failed = chain.one(message).err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        chain.finish()?;
        copies += chain.copies;
    }
    Ok(copies)
}

struct Chain<'a> {
    expected: &'a Expected,
    partition: PartitionId,
    /// The last command in the chain.
    last: Option<u64>,
    /// Who claimed the partition, and where.
    claims: Vec<String>,
    copies: u64,
}

impl Chain<'_> {
    fn one(&mut self, message: &impl Message) -> Result<()> {
        let position = message.offset();
        let key = message.key().unwrap_or_default();
        let value = message.payload().unwrap_or_default();
        if key == GENESIS_KEY.as_bytes() {
            return Ok(());
        }
        if key == CLAIM_KEY.as_bytes() {
            let claim = String::from_utf8_lossy(value);
            self.claims
                .push(format!("  claim at {position}: {claim}\n"));
            return Ok(());
        }
        let body = OutcomeBody::parse(value)
            .with_context(|| format!("{}/{position} cannot be read", self.partition))?;
        let decided = self.expected.decided.get(usize::from(self.partition));
        let at = usize::try_from(body.offset)?;
        // Commands have no holes: no transaction marker is ever on that topic.
        let decided = decided.and_then(|decided| decided.get(at));
        let decided = decided.filter(|decided| decided.offset == body.offset);
        let Some(decided) = decided else {
            bail!(
                "{}/{position} decides command {}, which is not there\n{}",
                self.partition,
                body.offset,
                self.history(body.offset)
            );
        };
        if decided.outcome != value {
            bail!(
                "{}/{position} is not what command {} had to become:\n  is      {}\n  must be {}\n{}",
                self.partition,
                body.offset,
                String::from_utf8_lossy(value),
                String::from_utf8_lossy(&decided.outcome),
                self.history(body.offset)
            );
        }
        match body.follows == self.last && self.last.is_none_or(|last| body.offset > last) {
            true => self.last = Some(body.offset),
            false => self.copies += 1,
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        let decided = self.expected.decided.get(usize::from(self.partition));
        let end = decided.and_then(|decided| decided.last());
        let end = end.map(|last| last.offset);
        if self.last != end {
            let missing = self.last.map_or(0, |last| last + 1);
            bail!(
                "partition {}: command {missing} has no outcome in the chain, which ends at {:?} \
                 of {end:?}\n{}",
                self.partition,
                self.last,
                self.history(missing)
            );
        }
        Ok(())
    }

    fn history(&self, offset: u64) -> String {
        let from = self.claims.len().saturating_sub(HISTORY);
        let claims = self.claims[from..].concat();
        let history = self.expected.history(self.partition, offset, HISTORY);
        format!("{claims}{history}")
    }
}
