//! The rules of money as tables: one line per event, its decision in the last column.
//!
//! [`table`] reads them, [`cluster`] runs them. Whatever a test says or forgets to say, the
//! [`node`] checks after every decision what must always hold. What nothing else is on the way
//! beside is [`rehearsed`] first, and must then do just that.

mod assets;
mod balances;
mod broken;
pub(super) mod cluster;
mod extremes;
mod holds;
mod legs;
pub(super) mod message;
pub(super) mod names;
pub(super) mod node;
mod periods;
mod references;
pub(super) mod rehearsed;
mod reversals;
mod rules;
mod stripes;
mod table;
mod transfers;
mod walks;
