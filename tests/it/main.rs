//! Tests against real Kafka, Redis and Postgres, through the real binary.
//!
//! `./dev test` starts the services and says where they are. Each test has topics, keys and a
//! schema of its own. One that gives commands ends with the audit; `support::ending` sees to it.
//! The sinks' and the audit's own tests write logs by hand, with outcomes of no commands: there
//! is nothing to audit.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_debug_implementations,
    reason = "a helper of a test fails it like the test itself, and is nobody's interface"
)]

mod alone;
mod audit;
mod away;
mod clients;
mod crowds;
mod dlq;
mod hot;
mod ingress;
mod kafka_road;
mod lag;
mod older;
mod periods;
mod poison;
mod rebuild;
mod replay;
mod replies;
mod secure;
mod security;
mod signals;
mod sink;
mod splits;
mod start;
mod stop;
mod stripes;
mod support;
mod takeover;
mod topics;
mod upgrade;
mod waits;
