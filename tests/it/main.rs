//! Tests against real Kafka, Redis and Postgres, through the real binary.
//!
//! `./dev test` starts the services and says where they are. Each test has topics, keys and a
//! schema of its own, and ends with the audit.

mod ingress;
mod kafka_road;
mod support;
mod takeover;
