//! What is measured, and how: a timetable fixed ahead, what became of every command, and how
//! long it took counted from when it was *due*. Knows nothing of Kafka or HTTP.

pub mod account;
pub mod latency;
pub mod schedule;
pub mod track;

pub use account::Account;
pub use latency::Quantiles;
pub use schedule::{Pacing, Schedule};
pub use track::{Track, Verdict};
