//! The simulator: the production core, phases, takeovers and sinks in a world drawn from one seed,
//! on one thread.
//!
//! The log, hot and cold are in memory, and every call to them is a point where anything may come
//! first: another task, a fault, the end of the process. In the first phase anything goes; in the
//! second the world heals, and must come to rest with every accepted transaction at its end and
//! hot, cold and truth the same. Truth is the log, decided record by record by the core and by the
//! oracle, which must agree. `./dev sim --minutes N` looks at as many seeds as there is time for.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test fails it like the test itself"
)]

mod breaks;
mod chance;
mod check;
mod cluster;
mod cold;
mod commands;
mod copied;
mod faults;
mod feed;
mod gate;
mod held;
mod journal;
mod log;
mod misjudge;
mod newest;
mod node;
mod recalled;
mod redis;
mod run;
mod scene;
mod seeds;
mod tasks;
mod traffic;
mod truth;
mod ways;
mod world;
