//! Fold: the ledger's own fold over every outcome that counts, and what must hold of its state.
//!
//! The fold asserts L1, L2, L3 and the order of legs; a broken rule is a finding here, and ends
//! the books of that partition. What can be said of an entry alone is said before it is folded.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::report::{Check, Finding};
use crate::ledger::{
    Asset, Balance, BalanceId, Cut, Entry, Hold, Outcome, Partition, PartitionId, SeenMap,
    TransactionId,
};

/// One partition's state as its outcomes give it.
#[derive(Debug)]
pub(super) struct Books {
    number: PartitionId,
    /// Absent once a rule was broken: nothing of the state may be used after that.
    partition: Option<Partition>,
    fold: Check,
    versions: Check,
}

/// All balances and holds of a partition.
type State = (Vec<(BalanceId, Balance)>, Vec<(TransactionId, Hold)>);

impl Books {
    /// The books of a log that is there from its start.
    pub(super) fn new(number: PartitionId, count: PartitionId) -> Self {
        Self {
            number,
            partition: Some(Partition::new(number, count)),
            fold: Check::new("fold", "outcomes"),
            versions: Check::new("versions", "entries"),
        }
    }

    /// The books of a log that was trimmed: they start from `cut`, whose state was taken `from`
    /// somewhere.
    pub(super) fn from_cut(
        number: PartitionId,
        cut: &Cut,
        (balances, holds): State,
        from: &str,
    ) -> Self {
        let count = PartitionId::try_from(cut.sent.len()).unwrap_or(PartitionId::MAX);
        let mut books = Self::new(number, count.max(number.saturating_add(1)));
        let start = || Partition::from_cut(number, cut, balances, holds, SeenMap::default());
        match catch_unwind(AssertUnwindSafe(start)) {
            Ok(partition) if partition.cut().as_ref() == Some(cut) => {
                books.partition = Some(partition);
                books.fold.note(format!(
                    "partition {number}: outcomes are trimmed; the fold starts from {from}"
                ));
            }
            Ok(_) => books.stop(format!("it is not the cut that its marker says: {from}")),
            Err(panic) => books.stop(message(&*panic)),
        }
        books
    }

    /// The state, unless a rule was broken before.
    pub(super) fn state(&self) -> Option<&Partition> {
        self.partition.as_ref()
    }

    /// Folds the next outcome.
    pub(super) fn fold(&mut self, outcome: &Outcome, history: impl FnOnce() -> Vec<String>) {
        let Some(mut partition) = self.partition.take() else {
            return;
        };
        self.versions.examined += outcome.effects.entries.len() as u64;
        if let Some((entry, what)) = broken_entry(&partition, &outcome.effects.entries) {
            let finding = Finding::new(self.number, what).of(entry.balance);
            let finding = finding.at(Some(outcome.offset)).after(history());
            self.versions.miss(finding);
            return;
        }
        self.fold.examined += 1;
        match catch_unwind(AssertUnwindSafe(|| partition.fold(outcome))) {
            Ok(()) => {
                partition.take_touched();
                partition.take_touched_holds();
                self.partition = Some(partition);
            }
            Err(panic) => {
                let entries = outcome.effects.entries.iter().map(line);
                let finding = Finding::new(self.number, message(&*panic)).at(Some(outcome.offset));
                let history = history().into_iter().chain(entries).collect();
                self.fold.miss(finding.after(history));
            }
        }
    }

    /// Ends the books for a reason of the caller's.
    pub(super) fn stop(&mut self, what: String) {
        self.partition = None;
        self.fold.miss(Finding::new(self.number, what));
    }

    /// What the checks of fold and versions found, and the zero-sum of the state as it is.
    pub(super) fn finish(mut self) -> (Option<Partition>, [Check; 3]) {
        let mut zero = Check::new("zero-sum", "balances");
        match &self.partition {
            Some(partition) => zero_sum(partition, &mut zero),
            None => zero.cannot_tell(format!("partition {}: the fold stopped", self.number)),
        }
        (self.partition.take(), [self.fold, self.versions, zero])
    }
}

/// The first entry that skips a version, or leaves a negative reservation.
fn broken_entry<'a>(partition: &Partition, entries: &'a [Entry]) -> Option<(&'a Entry, String)> {
    for (at, entry) in entries.iter().enumerate() {
        let earlier = entries.iter().take(at).rev();
        let earlier = earlier.clone().find(|other| other.balance == entry.balance);
        let before = match earlier {
            Some(earlier) => earlier.after.version,
            None => partition
                .balance(entry.balance)
                .map_or(0, |balance| balance.state.version),
        };
        let after = entry.after;
        if before.checked_add(1) != Some(after.version) {
            return Some((
                entry,
                format!("goes from version {before} to {}", after.version),
            ));
        }
        if after.held < 0 || after.incoming < 0 {
            return Some((
                entry,
                format!("has a negative reservation: {}", line(entry)),
            ));
        }
    }
    None
}

/// Sums posted by asset, without the ledger's own running sums.
fn zero_sum(partition: &Partition, check: &mut Check) {
    let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
    for (_, balance) in partition.balances() {
        check.examined += 1;
        let sum = sums.entry(balance.asset).or_default();
        *sum = sum.saturating_add(balance.state.posted);
    }
    for (asset, sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
        let what = format!("{asset} sums to {sum} minor units");
        check.miss(Finding::new(partition.id(), what).at(partition.applied()));
    }
}

fn line(entry: &Entry) -> String {
    let (posted, held) = (entry.after.posted, entry.after.held);
    format!(
        "{} {} of {} {} to version {}, posted {posted}, held {held}, incoming {}, in minor units",
        entry.balance,
        entry.direction.slug(),
        entry.amount,
        entry.asset,
        entry.after.version,
        entry.after.incoming
    )
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a rule is broken".to_owned())
}
