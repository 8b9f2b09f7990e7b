//! By which rules records are decided: a number on the log.
//!
//! Two owners of a partition may run different binaries, during a rolling upgrade or where one has
//! lost its claim and does not know it yet. They do no harm as long as both write the same bytes
//! (P4), so a binary never decides by rules of its own choice: it decides by those that the log
//! has come to. A log begins with rules 1. A record of rules raises them from its own place in
//! `commands` on, in one partition; lower ones have no effect. A binary that does not know what a
//! record asks for stops there, and waits to be replaced.
//!
//! | rules | from there on |
//! |---|---|
//! | 1 | a transit balance is shared by all ledgers of its asset |
//! | 2 | nothing is decided otherwise; the partition takes legs that rules 3 have made |
//! | 3 | what sets out here passes transit balances of its own ledger, so that whoever fills one stops nobody else |
//!
//! **Partitions are raised at different moments,** and the two mirrors of a pair have to show the
//! same money. So a transaction goes by the rules of its home, at all of its stops and whatever
//! theirs are: every leg that moves its money, or gives up its way, says by which rules that is
//! ([`super::walk::Leg::rules`], under its seal). A hold goes by those that its home had when it
//! was made, also where it is posted, voided or expired under later ones: its id names its place on
//! the log, and a partition knows where it was raised ([`Rules::at`]). A reversal is a transaction
//! of its own.
//!
//! **What goes from one partition to another takes two numbers:** with the first a partition takes
//! it, with the second it makes it. An older binary would bury such a leg with the dead letters,
//! and must be stopped before it meets one, by a record it knows. So nobody asks a partition for
//! rules that every other has not been asked to come next to: `steelyard rules --raise` writes 2
//! everywhere before it writes 3 anywhere, and a leg by rules 3 is behind the 2 of its receiver.
//! Where it is not, somebody raised by hand what must not be: an invariant stops the partition
//! before that leg, for an owner of the older kind would decide otherwise.
//!
//! Whoever changes what is decided, or the bytes of an outcome, adds one here and keeps the old
//! way for partitions that are not there yet. Reading is never bound to it: fields are only added.

/// The latest rules that this binary knows; it knows all from 1 on.
pub const RULES_KNOWN: u32 = 3;

/// The rules of a log until a record raises them.
pub const RULES_FIRST: u32 = 1;

/// From these on a partition takes legs of [`RULES_OWN_TRANSIT`].
pub const RULES_TAKE_OWN_TRANSIT: u32 = 2;

/// From these on the money of a transaction passes transit balances of its own ledger.
pub const RULES_OWN_TRANSIT: u32 = 3;

/// The rules of a partition, at every place of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    raises: Vec<Raise>,
}

/// A record that raised the rules of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// By which everything after it is decided.
    pub rules: u32,
    /// Its place on `commands`.
    pub offset: u64,
}

impl Rules {
    /// By which rules the next record is decided.
    pub fn now(&self) -> u32 {
        self.raises.last().map_or(RULES_FIRST, |raise| raise.rules)
    }

    /// By which rules the record at `offset` was decided.
    pub fn at(&self, offset: u64) -> u32 {
        let mut raises = self.raises.iter().rev();
        let before = raises.find(|raise| raise.offset < offset);
        before.map_or(RULES_FIRST, |raise| raise.rules)
    }

    /// Takes in a record that asks for rules; lower ones than those in force change nothing.
    pub fn raise(&mut self, raise: Raise) {
        if raise.rules > self.now() {
            self.raises.push(raise);
        }
    }

    /// Every record that has raised them, the first one first.
    pub fn raises(&self) -> &[Raise] {
        &self.raises
    }
}
