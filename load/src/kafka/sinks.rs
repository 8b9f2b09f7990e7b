//! How far the sinks are behind the log: the lag of their consumer groups.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::group::Group;
use super::road::Road;

pub struct Sinks {
    groups: Vec<(&'static str, Group)>,
}

/// A sink, and when it had nothing left to do.
#[derive(Clone, Debug)]
pub struct Drained {
    pub sink: &'static str,
    /// Nothing if it was not in time.
    pub after: Option<Duration>,
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sinks")
    }
}

impl Sinks {
    pub fn watch(road: &Road) -> Result<Self> {
        let sinks = [
            ("journal-sink", &road.topics.outcomes),
            ("balance-sink", &road.topics.snapshots),
        ];
        let groups = sinks.map(|(sink, topic)| {
            let name = road.options.group(sink);
            let group = Group::watch(&road.options, &name, topic, road.partitions)?;
            Ok((sink, group))
        });
        let groups = groups.into_iter().collect::<Result<_>>()?;
        Ok(Self { groups })
    }

    /// Records that the slowest sink has to write yet; nothing if one has never committed.
    pub fn lag(&self) -> Result<Option<u64>> {
        let mut most = Some(0);
        for (_, group) in &self.groups {
            most = most.zip(group.lag()?).map(|(most, lag)| most.max(lag));
        }
        Ok(most)
    }

    /// Waits until every sink has committed everything there is, at most until `since` is so long
    /// ago.
    pub async fn drain(
        &self,
        road: &Road,
        since: Instant,
        at_most: Duration,
    ) -> Result<Vec<Drained>> {
        let still = |(sink, _): &(&'static str, Group)| Drained { sink, after: None };
        let mut drained: Vec<_> = self.groups.iter().map(still).collect();
        while drained.iter().any(|sink| sink.after.is_none()) && since.elapsed() < at_most {
            road.stop.check()?;
            for ((_, group), drained) in self.groups.iter().zip(&mut drained) {
                if drained.after.is_none() && group.lag()? == Some(0) {
                    drained.after = Some(since.elapsed());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(drained)
    }
}
