//! What plays load against Steelyard from outside, for every program that does: accounts and
//! references, the HTTP and the Kafka road, measuring, and the demo day. The README has the method.

pub mod account;
pub mod demo;
pub mod http;
pub mod kafka;
pub mod measure;
pub mod reference;
pub mod rng;
pub mod run;
pub mod stop;
pub mod table;
pub mod target;
pub mod wire;
