//! The journal in memory: transactions, entries, and whose reference it is.

use std::collections::{BTreeMap, BTreeSet};

use steelyard::cold::journal::{Conflict, Part, Reference};
use steelyard::cold::write::{Move, Sink};
use steelyard::ledger::{
    BalanceId, Decision, Fingerprint, PartitionId, Seen, SeenKey, TransactionId,
};
use steelyard::wire::fingerprint;

use crate::copied;
use crate::world::World;

/// A row of `transactions`, as far as it is read again.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) id: TransactionId,
    pub(crate) offset: u64,
    pub(crate) at_ms: i64,
    pub(crate) key: SeenKey,
    pub(crate) decision: Decision,
    pub(crate) seen: Seen,
}

#[derive(Debug)]
pub(crate) struct Journal {
    /// By partition, in the order of their commands.
    pub(crate) transactions: Vec<Vec<Transaction>>,
    /// By balance, how many entries; their versions have no gap.
    entries: BTreeMap<BalanceId, u64>,
    /// By ledger and reference: whose it is, and since which log time.
    pub(crate) references: BTreeMap<(Box<str>, Box<str>), (TransactionId, i64)>,
    /// Transactions whose reference is another partition's.
    conflicts: BTreeSet<TransactionId>,
}

impl Journal {
    pub(crate) fn new(count: PartitionId) -> Self {
        Self {
            transactions: vec![Vec::new(); count.into()],
            entries: BTreeMap::new(),
            references: BTreeMap::new(),
            conflicts: BTreeSet::new(),
        }
    }

    /// Whether the row of a transaction is found by its reference, or named beside it (S4).
    fn knows(&self, reference: &Reference) -> bool {
        let id = transaction(reference);
        let kept = self.references.get(&name(reference));
        kept.is_some_and(|(kept, _)| kept.home() == id.home()) || self.conflicts.contains(&id)
    }

    /// Gives every reference to the first transaction that comes with it; of one partition's, to
    /// the latest.
    fn claim(&mut self, reference: &Reference) -> Option<Conflict> {
        let id = transaction(reference);
        let came = (id, reference.at.0);
        let (kept, at) = *self.references.entry(name(reference)).or_insert(came);
        if kept.home() == id.home() {
            if reference.at.0 >= at {
                self.references.insert(name(reference), came);
            }
            return None;
        }
        self.conflicts.insert(id);
        Some(Conflict {
            ledger: (*reference.ledger).to_owned(),
            reference: (*reference.reference).to_owned(),
            kept: kept.uuid(),
            other: id.uuid(),
        })
    }

    fn transaction(&mut self, row: &copied::Row<'_>) {
        let id = TransactionId::from_uuid(row.id).expect("a transaction's id");
        let key = fingerprint::seen_key(row.ledger, row.reference);
        let key = match id.home() == row.partition {
            true => key,
            false => key.at_stop(id),
        };
        let decision = Decision::from_wire(row.status, row.reason).expect("a decision");
        let remembered = match decision {
            Decision::Returned(reason) => Decision::Rejected(reason),
            other => other,
        };
        let seen = Seen::new(Fingerprint(row.fingerprint), id, row.at_ms, remembered);
        let rows = &mut self.transactions[usize::from(row.partition)];
        assert!(
            rows.last().is_none_or(|last| last.offset < row.offset),
            "a transaction twice, or out of order"
        );
        rows.push(Transaction {
            id,
            offset: row.offset,
            at_ms: row.at_ms,
            key,
            decision,
            seen,
        });
    }
}

fn name(reference: &Reference) -> (Box<str>, Box<str>) {
    (reference.ledger.clone(), reference.reference.clone())
}

fn transaction(reference: &Reference) -> TransactionId {
    TransactionId::from_uuid(reference.transaction).expect("a transaction's id")
}

impl World {
    /// S3, S4: rows with their positions, or nothing; which references stand for two transactions.
    pub(crate) fn cold_journal(
        &mut self,
        moves: &[Move],
        parts: &[&Part],
    ) -> Option<Vec<Conflict>> {
        if !self.cold.stands_at(Sink::Journal, moves) {
            self.reach("cold stands elsewhere");
            return None;
        }
        let journal = &mut self.cold.journal;
        for part in parts {
            for row in copied::transactions(part.transactions()) {
                journal.transaction(&row);
            }
            for (balance, version) in copied::entries(part.entries()) {
                let last = journal.entries.entry(balance).or_default();
                *last += 1;
                assert_eq!(*last, version, "L3: the entries of {balance} in cold");
            }
        }
        let mut references: Vec<_> = parts.iter().flat_map(|part| part.references()).collect();
        references.sort_by_key(|reference| (name(reference), reference.at.0));
        let conflicts = references.iter().filter_map(|came| journal.claim(came));
        let conflicts: Vec<_> = conflicts.collect();
        if !conflicts.is_empty() {
            self.reach("a reference is used in two partitions");
        }
        self.cold.advance(Sink::Journal, moves);
        for Move { to, .. } in moves {
            self.journal_moves(to.partition, to.position, (to.command_offset, to.last_hash));
        }
        Some(conflicts)
    }

    fn journal_moves(
        &mut self,
        partition: PartitionId,
        position: u64,
        (last, hash): (Option<u64>, Option<[u8; 32]>),
    ) {
        self.tell("journal", position, &[]);
        if let Some(last) = last {
            let truth = &self.truth[usize::from(partition)];
            let decided = &truth.decided[usize::try_from(last).unwrap()];
            let ends = "the journal ends with another outcome";
            assert_eq!(hash, Some(decided.hash), "{ends}");
        }
    }

    /// All that was decided in `partition` is in the journal, once.
    pub(crate) fn journal_is_whole(&self, partition: PartitionId) {
        let (truth, journal) = (&self.truth[usize::from(partition)], &self.cold.journal);
        let rows = journal.transactions[usize::from(partition)].iter();
        let decided = (0..).zip(&truth.decided);
        let decided = decided.filter(|(_, decided)| decided.is_transaction);
        assert!(
            rows.map(|row| row.offset)
                .eq(decided.map(|(offset, _)| offset)),
            "the transactions of {partition}"
        );
        for (id, past) in &truth.past {
            let entries = journal.entries.get(id).copied();
            assert_eq!(entries, Some(past.len() as u64), "the entries of {id}");
        }
        for reference in &truth.references {
            let (ledger, name) = (&reference.ledger, &reference.reference);
            assert!(journal.knows(reference), "S4: {name} of {ledger}");
        }
    }
}
