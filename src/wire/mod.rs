//! What crosses a process boundary: JSON bodies, record keys and headers, and their conversion to
//! and from the ledger's types.
//!
//! Decoding trusts nothing: unknown fields, duplicate keys, floats, exponents and over-long texts
//! are refused by name ([`Invalid`]). Fields are only ever added; what an older binary wrote stays
//! readable, which the golden files under `tests/golden` hold us to.
//!
//! Knows nothing of Kafka clients, Redis, SQL or HTTP statuses.

pub mod balance;
pub mod command;
pub mod fingerprint;
pub mod hold;
pub mod http;
pub mod invalid;
pub mod leg;
pub mod letter;
pub mod marker;
pub mod object;
pub mod outcome;
pub mod record;
pub mod scalar;
pub mod subject;

pub use balance::BalanceBody;
pub use command::{CommandBody, Decoder};
pub use hold::HoldBody;
pub use invalid::{Invalid, InvalidKind};
pub use leg::{LegBody, LegRecord, Secret};
pub use marker::MarkerBody;
pub use outcome::{EntryBody, OutcomeBody};
pub use scalar::{Hex, Money, Span, Time};
pub use subject::Subject;
