//! The chain of outcomes: which one comes next.
//!
//! Two owners may write at once, and a lost append leaves a hole that its successor fills. Every
//! reader of `outcomes` sees the same history, because it takes only what follows.

/// How an outcome stands to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It continues the chain.
    Next,
    /// Its command was decided before: a copy, by a second owner.
    Copy,
    /// It follows a later command: what is between was lost, or comes again behind it.
    Hole,
    /// It follows an earlier command, as if the last one had never been decided.
    Fork,
}

/// The place of the outcome of command `offset` in a chain that ends with command `last`; it names
/// `follows` as the command decided before it.
pub fn place(last: Option<u64>, offset: u64, follows: Option<u64>) -> Place {
    if last.is_some_and(|last| offset <= last) {
        Place::Copy
    } else if follows > last {
        Place::Hole
    } else if follows < last {
        Place::Fork
    } else {
        Place::Next
    }
}

/// Whether nothing is missing between a state of `version` and entries that begin with the one
/// that made version `first`.
pub fn joins(version: Option<u64>, first: u64) -> bool {
    version.unwrap_or_default() >= first.saturating_sub(1)
}
