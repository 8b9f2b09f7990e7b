//! The HTTP road: keep-alive connections without a pool, and what their answers mean.

pub mod answer;
pub mod connection;

pub use answer::{Answer, Meaning};
pub use connection::{Connection, Endpoint, Failure};
