//! The faults: what is done, for how long, and how it is seen that it happened.
//!
//! A fault is done to a lab under load, heals what it broke, and returns what it saw; an error if
//! it did not happen, or if what must come after it did not.

mod alone;
mod broker;
mod churn;
mod clock;
mod compaction;
mod failpoints;
mod freeze;
mod full;
mod kill;
mod postgres;
mod raise;
mod redis;
mod rolling;
mod table;
mod three;

use std::path::PathBuf;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::lab::Lab;
use crate::stack::Stack;

pub use table::FAULTS;

/// Does a fault; what was seen.
pub enum Play {
    /// To a lab under load, which survives it.
    Under(for<'a> fn(&'a mut Lab) -> LocalBoxFuture<'a, Result<String>>),
    /// In a world of its own.
    Alone(for<'a> fn(&'a Ground) -> LocalBoxFuture<'a, Result<String>>),
}

/// What a world of its own is built on.
#[derive(Clone, Debug)]
pub struct Ground {
    pub stack: Stack,
    pub program: PathBuf,
    /// A program that is to be replaced by this one, if there is one.
    pub older: Option<PathBuf>,
    pub seed: u64,
}

/// A fault by its name.
pub struct Fault {
    pub name: &'static str,
    pub about: &'static str,
    /// About how long it takes, its healing included.
    pub seconds: u64,
    /// Whether it is of the share of continuous integration.
    pub ci: bool,
    /// Whether it takes an older program.
    pub older: bool,
    pub play: Play,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
