//! The protocols in small scope, every one of their states.
//!
//! [`explore`] takes a [`explore::Model`] through all its states, shortest ways first. A test of a
//! sound protocol asserts that the whole space was seen and that nothing in it is wrong; a test of
//! a broken one asserts which rule breaks, and prints the shortest trace to it. What that shows,
//! and what it does not, stands in `docs/proofs.md`.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

mod alone;
mod automaton;
mod books;
mod explore;
mod hot;
mod legs;
mod snapshots;
mod watermark;
