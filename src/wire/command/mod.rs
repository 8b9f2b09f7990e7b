//! Commands: the JSON of the `commands` topic, checked and made a [`crate::ledger::Command`], or
//! refused by name.
//!
//! | file | what |
//! |---|---|
//! | [`body`] | the form, and the way back to it |
//! | [`decoder`] | bytes in, command out |
//! | [`check`] | what each field may be |
//! | [`names`] | balances by id or by name, and the stripes of striped accounts |
//! | [`side`] | splits: lists of shares, and the postings they come to |

mod body;
mod check;
mod decoder;
mod names;
mod side;

pub use body::{
    ClosePeriodBody, CommandBody, ConfigureBody, HoldTermsBody, Kind, OpenBody, PostBody,
    PostingBody, ReverseBody, TargetBody, given,
};
pub use check::{account_name, asset, date, reference};
pub use decoder::{Decoder, malformed};
pub use names::NameBody;
pub use side::{ShareBody, SideBody};

/// The organization of a ledger that names none.
pub const DEFAULT_ORGANIZATION: &str = "default";
/// Longest reference, in bytes.
pub const REFERENCE_MAX: usize = 128;
/// Longest organization, ledger, account or key, in bytes.
pub const NAME_MAX: usize = 64;
/// Longest description, in bytes.
pub const DESCRIPTION_MAX: usize = 256;
/// Most members of `metadata`, and their longest key and value, in bytes.
pub const METADATA_MAX: usize = 32;
pub const METADATA_KEY_MAX: usize = 64;
pub const METADATA_VALUE_MAX: usize = 512;
/// The most of `metadata` as JSON, in bytes: every leg of a walk carries it.
pub const METADATA_BYTES_MAX: usize = 8 * 1024;
