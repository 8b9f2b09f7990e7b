//! Steelyard moves money between balances, exactly once, in order per balance, at the speed of a
//! log. Read the modules in this order:

pub mod ledger;
pub mod oracle;
pub mod wire;

pub mod cold;
pub mod hot;
pub mod log;

pub mod audit;
pub mod ingress;
pub mod processor;
pub mod sink;

pub mod cli;
pub mod config;
pub mod telemetry;
