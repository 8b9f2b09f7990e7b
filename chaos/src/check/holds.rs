//! What became of holds and of what was reversed, counted from commands and decisions alone: how
//! much is left of which posting, and what was moved.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use steelyard::ledger::rules::RULES_OWN_TRANSIT;
use steelyard::ledger::{
    BalanceId, Body, Command, Decision, Outcome, Partition, PartitionId, Posting, RULES_FIRST,
    Reverse, TransactionId, command, partition_of,
};
use uuid::Uuid;

#[derive(Debug, Default)]
pub struct Holds {
    made: HashMap<TransactionId, Made>,
    /// Posts that were counted, and where they were decided.
    posts: HashMap<TransactionId, u64>,
    /// Reversals that have set out: of what, and how much of each posting.
    reversals: HashMap<TransactionId, (TransactionId, Vec<i128>)>,
    moved: HashMap<Uuid, i128>,
}

#[derive(Debug)]
struct Made {
    reference: String,
    ledger: Arc<str>,
    /// Or a transfer that was reversed.
    is_hold: bool,
    postings: Vec<Posting>,
    /// Of each posting, in minor units.
    left: Vec<i128>,
    /// Of each posting, what was posted and not moved back.
    moved: Vec<i128>,
    due_ms: Option<i64>,
    expired: bool,
}

impl Holds {
    /// Counts a decision of partition `here`, if it is the home of the hold that it is about.
    pub fn note(&mut self, here: PartitionId, outcome: &Outcome) {
        let (Some(id), Some(command)) = (outcome.transaction, &outcome.command) else {
            return;
        };
        if outcome.replay_of.is_some() || id.home() != here {
            return;
        }
        match (&command.body, outcome.decision) {
            (Body::Hold(hold), Decision::Held | Decision::Forwarded) => {
                self.make(id, command, hold, outcome.at_ms);
            }
            (Body::Hold(_), Decision::Returned(_)) => self.end(id, false),
            (Body::Post(post), Decision::Posted) if post.target.hold.home() == here => {
                // Money that comes home later is of a post that was counted.
                if let Entry::Vacant(new) = self.posts.entry(id) {
                    new.insert(outcome.offset);
                    let amount = post.amount.map(|(amount, _)| amount.minor());
                    self.post(post.target.hold, amount);
                }
            }
            (Body::Reverse(reverse), Decision::Applied | Decision::Forwarded) => {
                self.reverse(id, reverse);
            }
            (Body::Reverse(_), Decision::Returned(_)) => self.give_back(id),
            (Body::Void(target), Decision::Voided) => self.end(target.hold, false),
            (Body::Expire(target), Decision::Expired) => self.end(target.hold, true),
            _ => {}
        }
    }

    fn make(&mut self, id: TransactionId, command: &Command, hold: &command::Hold, at_ms: i64) {
        let amounts = hold.postings.iter().map(|posting| posting.amount.minor());
        let left: Vec<i128> = amounts.collect();
        let postings = hold.postings.clone();
        let span = hold.expires_in.map(|seconds| i64::from(seconds) * 1000);
        // Home speaks twice of a hold over several partitions.
        self.made.entry(id).or_insert(Made {
            reference: command.reference.to_string(),
            ledger: command.ledger.clone(),
            is_hold: true,
            moved: vec![0; left.len()],
            postings,
            left,
            due_ms: span.map(|span| at_ms + span),
            expired: false,
        });
    }

    /// An amount of what is left, posting after posting; or all of it.
    fn post(&mut self, id: TransactionId, amount: Option<i128>) {
        let Some(made) = self.made.get_mut(&id) else {
            return;
        };
        let mut wanted = amount.unwrap_or(i128::MAX);
        for (at, posting) in made.postings.iter().enumerate() {
            let taken = wanted.min(made.left[at]);
            wanted -= taken;
            made.left[at] -= taken;
            made.moved[at] += taken;
            note_moved(&mut self.moved, posting, taken);
        }
    }

    /// An amount of what was moved and not moved back yet, posting after posting; or all of it.
    fn reverse(&mut self, id: TransactionId, reverse: &Reverse) {
        // Home speaks twice of one over several partitions.
        let Entry::Vacant(new) = self.reversals.entry(id) else {
            return;
        };
        let original = &reverse.original;
        let made = self
            .made
            .entry(reverse.transaction)
            .or_insert_with(|| Made {
                reference: original.reference.to_string(),
                ledger: original.ledger.clone(),
                is_hold: false,
                postings: original.postings().to_vec(),
                left: vec![0; original.postings().len()],
                moved: original
                    .postings()
                    .iter()
                    .map(|it| it.amount.minor())
                    .collect(),
                due_ms: None,
                expired: false,
            });
        let amount = reverse.amount.map(|(amount, _)| amount.minor());
        let mut wanted = amount.unwrap_or(i128::MAX);
        let mut portions = Vec::new();
        for (at, posting) in made.postings.iter().enumerate() {
            let taken = wanted.min(made.moved[at]);
            wanted -= taken;
            made.moved[at] -= taken;
            note_moved(&mut self.moved, posting, -taken);
            portions.push(taken);
        }
        new.insert((reverse.transaction, portions));
    }

    /// A reversal did not come to pass: a later stop refused it.
    fn give_back(&mut self, id: TransactionId) {
        let Some((original, portions)) = self.reversals.get_mut(&id) else {
            return;
        };
        let Some(made) = self.made.get_mut(original) else {
            return;
        };
        for (at, portion) in std::mem::take(portions).into_iter().enumerate() {
            made.moved[at] += portion;
            note_moved(&mut self.moved, &made.postings[at], portion);
        }
    }

    fn end(&mut self, id: TransactionId, expired: bool) {
        if let Some(made) = self.made.get_mut(&id) {
            made.left.fill(0);
            made.expired = expired;
        }
    }

    /// Whether it is this outcome of its home that decides a post.
    pub fn decides(&self, outcome: &Outcome) -> bool {
        let decided = outcome.transaction.and_then(|id| self.posts.get(&id));
        decided == Some(&outcome.offset)
    }

    /// Whether a transaction made a hold whose rest was released by time.
    pub fn is_expired(&self, transaction: Option<Uuid>) -> bool {
        let id = transaction.and_then(TransactionId::from_uuid);
        let made = id.and_then(|id| self.made.get(&id));
        made.is_some_and(|made| made.expired)
    }

    /// By balance, what posts and reversals have moved, in minor units.
    pub fn moved(&self) -> &HashMap<Uuid, i128> {
        &self.moved
    }

    /// By balance, what holds have left there as debits and as credits, in minor units; also on
    /// the ways between partitions, by the rules that their homes had when they were made.
    pub fn reserved(&self, partitions: &[Partition]) -> HashMap<Uuid, (i128, i128)> {
        let mut reserved: HashMap<Uuid, (i128, i128)> = HashMap::new();
        let count = PartitionId::try_from(partitions.len()).unwrap_or_default();
        for (id, made) in &self.made {
            let home = partitions.get(usize::from(id.home()));
            let rules = home.map_or(RULES_FIRST, |home| home.rules().at(id.offset()));
            let ledger = (rules >= RULES_OWN_TRANSIT).then_some(&*made.ledger);
            for (posting, left) in made.postings.iter().zip(&made.left) {
                let (source, destination) = (posting.source.id, posting.destination.id);
                reserved.entry(source.uuid()).or_default().0 += left;
                reserved.entry(destination.uuid()).or_default().1 += left;
                let (from, to) = (
                    partition_of(source, count),
                    partition_of(destination, count),
                );
                if from != to {
                    let way = BalanceId::transit((from, to), from, ledger, &posting.asset);
                    reserved.entry(way.uuid()).or_default().1 += left;
                }
            }
        }
        reserved
    }

    /// How many were made.
    pub fn count(&self) -> usize {
        self.made.values().filter(|made| made.is_hold).count()
    }

    /// How many reversals have set out.
    pub fn reversals(&self) -> usize {
        self.reversals.len()
    }

    /// A hold whose time was over at `at_ms` and that has something left.
    pub fn overdue(&self, at_ms: i64) -> Option<&str> {
        let mut made = self.made.values();
        let overdue = made.find(|made| {
            made.due_ms.is_some_and(|due| due <= at_ms) && made.left.iter().any(|left| *left > 0)
        });
        overdue.map(|made| made.reference.as_str())
    }
}

/// An amount that a posting moves, or moves back if it is negative.
fn note_moved(moved: &mut HashMap<Uuid, i128>, posting: &Posting, minor: i128) {
    *moved.entry(posting.source.id.uuid()).or_default() -= minor;
    *moved.entry(posting.destination.id.uuid()).or_default() += minor;
}
