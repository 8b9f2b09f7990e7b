//! A marker: everything up to one command is on the log, and what the partition then sums to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::invalid::{Invalid, InvalidKind};
use super::scalar::{Money, Time};
use crate::ledger::amount::minor_of;
use crate::ledger::{Asset, Cut, HoldSums, PartitionId, RULES_FIRST, Raise, Rules, Setting};

/// The value of `marker:<partition>` on `snapshots`. The same text is kept in cold beside the
/// watermark, so a takeover reads the whole cut back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkerBody {
    pub partition: PartitionId,
    /// X: the last command whose effects are in the snapshots before this marker.
    pub command_offset: u64,
    /// Where on `outcomes` the writer's copy of X's outcome is.
    pub position: u64,
    pub version_sum: u64,
    pub highest_command_offset: Option<u64>,
    /// By asset; all zero (L1).
    pub posted: BTreeMap<String, Money>,
    /// An older binary left it out where none was open.
    #[serde(default)]
    pub holds: HoldSumsBody,
    pub sent: Vec<u64>,
    pub received: Vec<u64>,
    /// By ledger: nothing may take effect before that any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub closed: BTreeMap<String, Time>,
    pub epoch: u64,
    pub generation: Uuid,
    pub horizon_seconds: u64,
    /// By which rules the record after X is decided; absent where they are the first ones.
    #[serde(default = "first_rules", skip_serializing_if = "are_first")]
    pub rules: u32,
    /// Where they were raised, up to X.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raised: Vec<RaiseBody>,
    /// Log time of X.
    pub at: Time,
}

/// A record that raised the rules of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseBody {
    /// By which everything after it is decided.
    pub rules: u32,
    pub command_offset: u64,
}

/// How many holds are open, and sums of versions as [`HoldSums`] has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSumsBody {
    pub open: u64,
    pub version_sum: u64,
    /// An older binary does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<u64>,
}

impl MarkerBody {
    pub fn of(cut: &Cut, partition: PartitionId, position: u64, epoch: u64) -> Self {
        let posted = cut.posted.iter();
        Self {
            partition,
            command_offset: cut.command_offset,
            position,
            version_sum: cut.version_sum,
            highest_command_offset: cut.highest_offset,
            posted: posted
                .map(|(a, sum)| (a.to_string(), Money::of(*sum, a.scale())))
                .collect(),
            holds: HoldSumsBody {
                open: cut.holds.open,
                version_sum: cut.holds.version_sum,
                changes: cut.holds.changes,
            },
            sent: cut.sent.clone(),
            received: cut.received.clone(),
            closed: cut
                .closed
                .iter()
                .map(|(ledger, before_ms)| (ledger.to_string(), Time(*before_ms)))
                .collect(),
            epoch,
            generation: cut.setting.generation,
            horizon_seconds: cut.setting.horizon_seconds,
            rules: cut.rules.now(),
            raised: cut.rules.raises().iter().map(raise_body).collect(),
            at: Time(cut.log_time_ms),
        }
    }

    pub fn parse(json: &[u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(json).map_err(|error| broken("", error.to_string()))
    }

    /// The log time before which no reference counts any more as of X; earlier by up to a second.
    pub fn horizon(&self) -> DateTime<Utc> {
        let span = i64::try_from(self.horizon_seconds).unwrap_or(i64::MAX);
        let span = span.saturating_mul(1000).saturating_add(1000);
        DateTime::from_timestamp_millis(self.at.0.saturating_sub(span))
            .filter(|from| *from > DateTime::UNIX_EPOCH)
            .unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The rules up to X, if what is said of them agrees.
    fn rules(&self) -> Result<Rules, Invalid> {
        let mut rules = Rules::default();
        for raise in &self.raised {
            rules.raise(Raise {
                rules: raise.rules,
                offset: raise.command_offset,
            });
        }
        match rules.now() == self.rules {
            true => Ok(rules),
            false => Err(broken(
                "raised",
                format!("does not lead to rules {}", self.rules),
            )),
        }
    }

    pub fn to_cut(&self) -> Result<Cut, Invalid> {
        let mut posted = BTreeMap::new();
        for (asset, money) in &self.posted {
            let asset = Asset::parse(asset).map_err(|error| broken("posted", error.to_string()))?;
            let sum = minor_of(money.0, asset.scale());
            posted.insert(
                asset,
                sum.map_err(|error| broken("posted", error.to_string()))?,
            );
        }
        Ok(Cut {
            command_offset: self.command_offset,
            log_time_ms: self.at.0,
            version_sum: self.version_sum,
            highest_offset: self.highest_command_offset,
            posted,
            holds: HoldSums {
                open: self.holds.open,
                version_sum: self.holds.version_sum,
                changes: self.holds.changes,
            },
            sent: self.sent.clone(),
            received: self.received.clone(),
            closed: self
                .closed
                .iter()
                .map(|(ledger, before)| (ledger.as_str().into(), before.0))
                .collect(),
            setting: Setting {
                generation: self.generation,
                horizon_seconds: self.horizon_seconds,
            },
            rules: self.rules()?,
        })
    }
}

fn raise_body(raise: &Raise) -> RaiseBody {
    RaiseBody {
        rules: raise.rules,
        command_offset: raise.offset,
    }
}

fn first_rules() -> u32 {
    RULES_FIRST
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn are_first(rules: &u32) -> bool {
    *rules == RULES_FIRST
}

fn broken(field: &str, detail: String) -> Invalid {
    Invalid::new(InvalidKind::MalformedRequest, field, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An older binary never wrote them.
    #[test]
    fn the_first_rules_are_left_out() {
        let cut = |rules: &Rules| Cut {
            command_offset: 1,
            log_time_ms: 0,
            version_sum: 0,
            highest_offset: None,
            posted: BTreeMap::new(),
            holds: HoldSums::default(),
            sent: vec![0],
            received: vec![0],
            setting: Setting {
                generation: Uuid::nil(),
                horizon_seconds: 1,
            },
            closed: BTreeMap::new(),
            rules: rules.clone(),
        };
        let mut rules = Rules::default();
        for offset in 0..3 {
            let mut body = MarkerBody::of(&cut(&rules), 0, 1, 1);
            let text = serde_json::to_string(&body).unwrap();
            assert_eq!(text.contains("rules"), offset > 0, "{text}");
            let read = MarkerBody::parse(text.as_bytes()).unwrap();
            assert_eq!(read.to_cut().unwrap(), cut(&rules));
            body.rules += 1;
            assert_eq!(body.to_cut().unwrap_err().field, "raised");
            let next = rules.now() + 1;
            rules.raise(Raise {
                rules: next,
                offset,
            });
        }
    }
}
