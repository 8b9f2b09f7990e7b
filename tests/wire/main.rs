//! What crosses a process boundary: bytes that never change, and bytes that must be refused.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

mod damage;
mod fingerprint;
mod forged;
mod golden;
mod invalid;
mod largest;
mod scenario;
mod splits;
