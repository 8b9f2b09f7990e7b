//! The faults: what is done, for how long, and how it is seen that it happened.
//!
//! A fault is done to a lab under load, heals what it broke, and returns what it saw; an error if
//! it did not happen, or if what must come after it did not.

mod broker;
mod churn;
mod failpoints;
mod freeze;
mod kill;
mod postgres;
mod redis;
mod table;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::lab::Lab;

pub use table::FAULTS;

/// Does a fault; what was seen.
pub type Play = for<'a> fn(&'a mut Lab) -> LocalBoxFuture<'a, Result<String>>;

/// A fault by its name.
pub struct Fault {
    pub name: &'static str,
    pub about: &'static str,
    /// About how long it takes, its healing included.
    pub seconds: u64,
    /// Whether it is of the share of continuous integration.
    pub ci: bool,
    pub play: Play,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
