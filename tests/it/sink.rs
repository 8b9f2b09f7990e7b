//! The sinks: cold is what the ledger says, whatever happens on the way.

mod away;
mod bench;
mod books;
mod markers;
mod reading;
mod rows;
mod share;
