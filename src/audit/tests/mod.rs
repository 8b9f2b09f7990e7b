//! Each check finds what it is for, in logs that the real ledger wrote and a test then broke.

mod log;
mod stores;
pub(crate) mod world;

// The world is shared with the tests against the real services, which name these by the library.
use crate::{ledger, wire};
