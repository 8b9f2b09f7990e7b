//! Every Redis key in one place.

use uuid::Uuid;

use crate::ledger::{BalanceId, PartitionId, TransactionId};
use crate::wire::Subject;

/// What a hold's name among the stale ones begins with.
const HOLD: &str = "hold:";

/// Keys under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The position of a partition: a hash with `epoch`, `offset` (of the last command in hot),
    /// `generation`, `at` (log time, ms), `beat` (the owner's last visit by Redis's clock, ms),
    /// `installed` and `accepted` (the sink's watermark X).
    pub fn position(&self, partition: PartitionId) -> String {
        format!("{{{}:{partition}}}:position", self.prefix)
    }

    /// A balance: `<version> <JSON of the snapshot>`. No time-to-live until cold has the version.
    pub fn balance(&self, partition: PartitionId, id: BalanceId) -> String {
        format!("{{{}:{partition}}}:balance:{id}", self.prefix)
    }

    /// The pattern of all balances of a partition.
    pub fn balances(&self, partition: PartitionId) -> String {
        format!("{{{}:{partition}}}:balance:*", self.prefix)
    }

    /// The pattern of all balances of all partitions.
    pub fn all_balances(&self) -> String {
        format!("{{{}:*}}:balance:*", self.prefix)
    }

    /// Reads the key of a balance back.
    pub fn parse_balance(&self, key: &str) -> Option<(PartitionId, BalanceId)> {
        let rest = key.strip_prefix('{')?.strip_prefix(&*self.prefix)?;
        let (partition, id) = rest.strip_prefix(':')?.split_once("}:balance:")?;
        let id = Uuid::try_parse(id).ok()?;
        Some((partition.parse().ok()?, BalanceId::new(id)))
    }

    /// Balances and holds whose record on `snapshots` is older than what was published before: a
    /// set of names that the sink fills, and whose members the owner publishes again.
    pub fn stale(&self, partition: PartitionId) -> String {
        format!("{{{}:{partition}}}:stale", self.prefix)
    }

    /// An ingress claim on a reference of `organization/ledger`.
    pub fn claim(&self, ledger: &str, reference: &str) -> String {
        format!("{}:claim:{ledger}:{reference}", self.prefix)
    }
}

/// How [`Keys::stale`] names `subject`: a balance by its id alone, which is all that older binaries
/// understand.
pub fn stale_name(subject: Subject) -> String {
    match subject {
        Subject::Balance(id) => id.to_string(),
        Subject::Hold(id) => format!("{HOLD}{id}"),
    }
}

/// Reads a name among the stale ones back.
pub fn parse_stale(name: &str) -> Option<Subject> {
    match name.strip_prefix(HOLD) {
        Some(id) => {
            let id = TransactionId::from_uuid(Uuid::try_parse(id).ok()?)?;
            Some(Subject::Hold(id))
        }
        None => Some(Subject::Balance(BalanceId::new(
            Uuid::try_parse(name).ok()?,
        ))),
    }
}
