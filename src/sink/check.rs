//! Whether a marker is accepted (S2): over the rows and what was gathered, the sum of versions,
//! the highest command offset, the zero-sum per asset and the sums of holds must be the marker's,
//! and no hold may be of a later command.
//!
//! The sums of the rows are kept and changed by what each snapshot replaces, so a check costs as
//! much as was gathered, however many balances there are.

use std::collections::BTreeMap;
use std::fmt;

use super::batch::{Pile, Versioned};
use crate::cold::balances::{Stand, Stands, Sums};
use crate::cold::holds;
use crate::ledger::{Asset, Balance, BalanceId, Cut, Hold, PartitionId, TransactionId};
use crate::wire::Subject;

/// How the gathered snapshots stand to the rows.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Newer than their rows, or without one: what is written if the marker is accepted.
    pub(super) newer: Vec<BalanceId>,
    /// Already in their rows, or older than them: nothing is gained by keeping them.
    pub(super) known: Vec<BalanceId>,
    /// As of balances.
    pub(super) newer_holds: Vec<TransactionId>,
    pub(super) known_holds: Vec<TransactionId>,
    /// Of the newer ones, those of which an older snapshot arrived later.
    pub(super) overtaken: Vec<Subject>,
    /// Of the known ones, those whose latest record on `snapshots` is older than the row.
    pub(super) stale: Vec<Subject>,
    /// The last command that changed one of the newer holds.
    last_hold: Option<u64>,
    /// The sums over the rows as they will be.
    pub(super) sums: Sums,
}

/// Sorts what was gathered in `partition`, given the rows of exactly these balances and holds and
/// the sums of all rows.
pub(super) fn sort(pile: &Pile, stands: &Stands, sums: &Sums, partition: PartitionId) -> Sorted {
    let mut sorted = Sorted {
        sums: sums.clone(),
        ..Sorted::default()
    };
    for (id, snapshot) in pile.balances.iter() {
        let stand = stands.balances.get(&id);
        let version = snapshot.state.version();
        if stand.is_none_or(|stand| version > stand.version) {
            replace(&mut sorted.sums, stand, &snapshot.state);
            sorted.newer.push(id);
            sorted
                .overtaken
                .extend(snapshot.overtaken.then_some(Subject::Balance(id)));
        } else {
            let older = stand.is_some_and(|stand| version < stand.version);
            sorted.known.push(id);
            sorted
                .stale
                .extend((older || snapshot.overtaken).then_some(Subject::Balance(id)));
        }
    }
    for (id, snapshot) in pile.holds.iter() {
        let stand = stands.holds.get(&(id, partition));
        let version = snapshot.state.version;
        if stand.is_none_or(|stand| version > stand.version) {
            replace_hold(&mut sorted.sums.holds, stand, &snapshot.state);
            sorted.last_hold = sorted.last_hold.max(Some(snapshot.state.offset));
            sorted.newer_holds.push(id);
            sorted
                .overtaken
                .extend(snapshot.overtaken.then_some(Subject::Hold(id)));
        } else {
            let older = stand.is_some_and(|stand| version < stand.version);
            sorted.known_holds.push(id);
            sorted
                .stale
                .extend((older || snapshot.overtaken).then_some(Subject::Hold(id)));
        }
    }
    sorted
}

/// Puts `hold` in the place of its row.
fn replace_hold(sums: &mut holds::Sums, row: Option<&holds::Stand>, hold: &Hold) {
    sums.changes += i128::from(hold.version) - row.map_or(0, |row| row.version.into());
    if let Some(row) = row.filter(|row| row.summed) {
        sums.open -= i128::from(row.open);
        sums.versions -= i128::from(row.version);
    }
    if hold.is_summed() {
        sums.open += i128::from(hold.stage.is_open());
        sums.versions += i128::from(hold.version);
    }
}

/// Puts `balance` in the place of its row.
fn replace(sums: &mut Sums, row: Option<&Stand>, balance: &Balance) {
    let (version, posted) = row.map_or((0, 0), |row| (row.version, row.posted));
    sums.versions += i128::from(balance.state.version) - i128::from(version);
    sums.highest = sums.highest.max(Some(balance.offset));
    *sums.posted.entry(balance.asset).or_default() += balance.state.posted - posted;
}

/// Why a marker is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It is of a command before the watermark, which never moves back.
    Older,
    Versions,
    Highest,
    Posted,
    Holds,
}

impl Mismatch {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Older => "older",
            Self::Versions => "versions",
            Self::Highest => "highest-offset",
            Self::Posted => "posted",
            Self::Holds => "holds",
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Compares a marker with what was sorted for it.
pub(super) fn check(cut: &Cut, sorted: &Sorted, watermark: Option<u64>) -> Result<(), Mismatch> {
    let sums = &sorted.sums;
    if watermark.is_some_and(|watermark| cut.command_offset < watermark) {
        Err(Mismatch::Older)
    } else if sums.versions != i128::from(cut.version_sum) {
        Err(Mismatch::Versions)
    } else if sums.highest != cut.highest_offset {
        Err(Mismatch::Highest)
    } else if !zero(&sums.posted) || !zero(&cut.posted) {
        Err(Mismatch::Posted)
    } else if sums.holds != of_cut(cut, &sums.holds) || sorted.last_hold > Some(cut.command_offset)
    {
        Err(Mismatch::Holds)
    } else {
        Ok(())
    }
}

/// What `cut` says of holds; of what it does not say, as an older binary's marker, `ours`.
fn of_cut(cut: &Cut, ours: &holds::Sums) -> holds::Sums {
    holds::Sums {
        open: cut.holds.open.into(),
        versions: cut.holds.version_sum.into(),
        changes: cut.holds.changes.map_or(ours.changes, i128::from),
    }
}

/// L1: every sum is zero; an asset without balances sums to zero too.
fn zero(posted: &BTreeMap<Asset, i128>) -> bool {
    posted.values().all(|sum| *sum == 0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{HoldSums, Setting};
    use crate::sink::batch::Snapshot;
    use crate::sink::batch::tests::{balance, id};

    fn cut(command_offset: u64, sums: &Sums) -> Cut {
        Cut {
            command_offset,
            log_time_ms: 0,
            version_sum: u64::try_from(sums.versions).unwrap(),
            highest_offset: sums.highest,
            posted: sums.posted.clone(),
            holds: HoldSums::default(),
            sent: vec![0],
            received: vec![0],
            closed: Default::default(),
            setting: Setting {
                generation: uuid::Uuid::nil(),
                horizon_seconds: 1,
            },
            rules: Default::default(),
        }
    }

    fn sums(versions: i128, highest: u64, posted: i128) -> Sums {
        Sums {
            versions,
            highest: Some(highest),
            posted: [(Asset::parse("USD/2").unwrap(), posted)].into(),
            holds: holds::Sums::default(),
        }
    }

    #[test]
    fn each_part_of_the_check_counts() {
        let marker = cut(9, &sums(12, 8, 0));
        let table = [
            (sums(12, 8, 0), None, Ok(())),
            (sums(12, 8, 0), Some(9), Ok(())),
            (sums(12, 8, 0), Some(10), Err(Mismatch::Older)),
            (sums(11, 8, 0), Some(5), Err(Mismatch::Versions)),
            (sums(12, 7, 0), Some(5), Err(Mismatch::Highest)),
            (sums(12, 8, 5), Some(5), Err(Mismatch::Posted)),
        ];
        for (sums, watermark, expected) in table {
            let sorted = Sorted {
                sums,
                ..Sorted::default()
            };
            assert_eq!(
                check(&marker, &sorted, watermark),
                expected,
                "{sorted:?} at {watermark:?}"
            );
        }
        let sorted = Sorted {
            sums: sums(12, 8, 5),
            ..Sorted::default()
        };
        let unbalanced = cut(9, &sorted.sums);
        assert_eq!(check(&unbalanced, &sorted, None), Err(Mismatch::Posted));
    }

    /// A hold that began and ended between two markers, of which no snapshot was seen, and one of
    /// a later command than the marker's.
    #[test]
    fn a_hold_that_is_missing_or_too_new_counts() {
        let table = [
            (Some(7), 7, Some(9), Ok(())),
            (Some(7), 4, None, Err(Mismatch::Holds)),
            (Some(7), 7, Some(10), Err(Mismatch::Holds)),
            (None, 4, Some(9), Ok(())),
        ];
        for (said, changes, last_hold, expected) in table {
            let mut marker = cut(9, &sums(12, 8, 0));
            marker.holds.changes = said;
            let mut sorted = Sorted {
                sums: sums(12, 8, 0),
                last_hold,
                ..Sorted::default()
            };
            sorted.sums.holds.changes = changes;
            assert_eq!(check(&marker, &sorted, None), expected, "{sorted:?}");
        }
    }

    /// Balances after some transfers: versions and offsets of a true history.
    type State = HashMap<BalanceId, Balance>;

    fn play(transfers: &[(u8, u8, i128)]) -> State {
        let mut state = State::new();
        for ((source, target, amount), offset) in transfers.iter().zip(1..) {
            for (number, change) in [(*source, -amount), (*target, *amount)] {
                let known = state.get(&id(number)).map(|balance| balance.state);
                let (version, posted) = known.map_or((0, 0), |state| (state.version, state.posted));
                state.insert(id(number), balance(version + 1, offset, posted + change));
            }
        }
        state
    }

    fn naive<'a>(balances: impl Iterator<Item = &'a Balance>) -> Sums {
        let mut sums = Sums::default();
        for balance in balances {
            replace(&mut sums, None, balance);
        }
        sums
    }

    fn stands(state: &State) -> Stands {
        let stand = |balance: &Balance| Stand {
            version: balance.state.version,
            posted: balance.state.posted,
        };
        let balances = state.iter().map(|(id, balance)| (*id, stand(balance)));
        Stands {
            balances: balances.collect(),
            holds: HashMap::new(),
        }
    }

    proptest! {
        /// From rows at one point of a history and snapshots of a later one, the kept sums equal
        /// the sums from scratch, and the marker is accepted exactly if nothing is missing.
        #[test]
        fn a_marker_is_accepted_exactly_when_nothing_is_missing(
            transfers in prop::collection::vec((0_u8..4, 4_u8..8, 1_i128..100), 1..30),
            rows_at in 0_usize..30,
            lost in prop::collection::vec(any::<bool>(), 8),
        ) {
            let rows = play(&transfers[..rows_at.min(transfers.len())]);
            let now = play(&transfers);
            let mut gathered = Pile::default();
            let mut seen = rows.clone();
            for (id, balance) in &now {
                let number = usize::try_from(id.uuid().as_u128()).unwrap();
                if !lost[number] {
                    let (balance, epoch, overtaken) = (balance.clone(), 1, false);
                    let snapshot = Snapshot { state: balance.clone(), epoch, overtaken };
                    gathered.balances.add(*id, snapshot);
                    seen.insert(*id, balance);
                }
            }
            let sorted = sort(&gathered, &stands(&rows), &naive(rows.values()), 0);
            let mut scratch = naive(seen.values());
            scratch.highest = scratch.highest.max(naive(rows.values()).highest);
            prop_assert_eq!(&sorted.sums, &scratch);
            prop_assert!(sorted.stale.is_empty());
            let marker = cut(u64::try_from(transfers.len()).unwrap(), &naive(now.values()));
            let accepted = check(&marker, &sorted, None).is_ok();
            prop_assert_eq!(accepted, stands(&seen).balances == stands(&now).balances);
        }

        /// An older version is named and changes nothing.
        #[test]
        fn an_older_version_changes_nothing(row in 2_u64..9, late in 1_u64..9) {
            let rows: State = [(id(1), balance(row, row, 5))].into();
            let mut gathered = Pile::default();
            let snapshot = balance(late, late, 7);
            let snapshot = Snapshot { state: snapshot, epoch: 1, overtaken: false };
            gathered.balances.add(id(1), snapshot);
            let sums = naive(rows.values());
            let sorted = sort(&gathered, &stands(&rows), &sums, 0);
            prop_assert_eq!(sorted.stale.is_empty(), late >= row);
            prop_assert_eq!(sorted.newer.is_empty(), late <= row);
            prop_assert_eq!(sorted.sums == sums, late <= row);
        }
    }
}
