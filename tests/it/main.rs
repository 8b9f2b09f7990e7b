//! Against real services: one binary, each test in topics of its own.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

mod lag;
mod start;
mod support;
mod topics;
