//! Logs, traces and metrics. Imports nothing of ours.

pub mod clock;
pub mod metrics;
