//! What became of holds, counted from commands and decisions alone: how much is left of which
//! posting, and what was moved.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use steelyard::ledger::{
    BalanceId, Body, Decision, Outcome, PartitionId, Posting, TransactionId, command, partition_of,
};
use uuid::Uuid;

#[derive(Debug, Default)]
pub struct Holds {
    made: HashMap<TransactionId, Made>,
    /// Posts that were counted, and where they were decided.
    posts: HashMap<TransactionId, u64>,
    moved: HashMap<Uuid, i128>,
}

#[derive(Debug)]
struct Made {
    reference: String,
    postings: Vec<Posting>,
    /// Of each posting, in minor units.
    left: Vec<i128>,
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
                self.make(id, command.reference.to_string(), hold, outcome.at_ms);
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
            (Body::Void(target), Decision::Voided) => self.end(target.hold, false),
            (Body::Expire(target), Decision::Expired) => self.end(target.hold, true),
            _ => {}
        }
    }

    fn make(&mut self, id: TransactionId, reference: String, hold: &command::Hold, at_ms: i64) {
        let amounts = hold.postings.iter().map(|posting| posting.amount.minor());
        let left = amounts.collect();
        let postings = hold.postings.clone();
        let span = hold.expires_in.map(|seconds| i64::from(seconds) * 1000);
        // Home speaks twice of a hold over several partitions.
        self.made.entry(id).or_insert(Made {
            reference,
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
        for (posting, left) in made.postings.iter().zip(&mut made.left) {
            let taken = wanted.min(*left);
            (wanted, *left) = (wanted - taken, *left - taken);
            *self.moved.entry(posting.source.id.uuid()).or_default() -= taken;
            *self.moved.entry(posting.destination.id.uuid()).or_default() += taken;
        }
    }

    fn end(&mut self, id: TransactionId, expired: bool) {
        if let Some(made) = self.made.get_mut(&id) {
            made.left.fill(0);
            made.expired = expired;
        }
    }

    /// Whether it is this outcome that decides a post.
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

    /// By balance, what posts have moved, in minor units.
    pub fn moved(&self) -> &HashMap<Uuid, i128> {
        &self.moved
    }

    /// By balance, what holds have left there as debits and as credits, in minor units; also on
    /// the ways between partitions.
    pub fn reserved(&self, count: PartitionId) -> HashMap<Uuid, (i128, i128)> {
        let mut reserved: HashMap<Uuid, (i128, i128)> = HashMap::new();
        for made in self.made.values() {
            for (posting, left) in made.postings.iter().zip(&made.left) {
                let (source, destination) = (posting.source.id, posting.destination.id);
                reserved.entry(source.uuid()).or_default().0 += left;
                reserved.entry(destination.uuid()).or_default().1 += left;
                let (from, to) = (
                    partition_of(source, count),
                    partition_of(destination, count),
                );
                if from != to {
                    let way = BalanceId::transit(from, to, from, &posting.asset);
                    reserved.entry(way.uuid()).or_default().1 += left;
                }
            }
        }
        reserved
    }

    /// How many were made.
    pub fn count(&self) -> usize {
        self.made.len()
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
