//! Tests against the real services; their addresses come from the environment.

mod audit;
