//! Logs, traces and metrics. Imports nothing of ours.

pub mod metrics;
