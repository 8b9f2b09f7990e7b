//! The names of fields in spans and logs: one name, one meaning, in every module.
//!
//! They are written out at the call (`tracing::warn!(partition, offset, balance.id = %id, "…")`),
//! as a macro takes no constants; this list is the dictionary.

/// Every field a span or a log may have.
pub const NAMES: [&str; 23] = [
    ADDRESS,
    BALANCE_ID,
    CHECK,
    CONSUMER_GROUP,
    COUNT,
    ELAPSED_MS,
    EPOCH,
    ERROR,
    FOLLOWS,
    GENERATION,
    INSTANCE,
    LAG,
    LEDGER,
    OFFSET,
    PARTITION,
    REASON,
    REFERENCE,
    REQUEST_ID,
    ROLE,
    STATUS,
    TOPIC,
    TRANSACTION_ID,
    VERSION,
];

/// Where something listens or is reached.
pub const ADDRESS: &str = "address";
pub const BALANCE_ID: &str = "balance.id";
/// A named check of readiness.
pub const CHECK: &str = "check";
pub const CONSUMER_GROUP: &str = "group";
/// How many of what the message names.
pub const COUNT: &str = "count";
pub const ELAPSED_MS: &str = "elapsed_ms";
/// Which ownership of a partition speaks.
pub const EPOCH: &str = "epoch";
pub const ERROR: &str = "error";
/// The command offset before the one that is meant.
pub const FOLLOWS: &str = "follows";
/// Which log this is.
pub const GENERATION: &str = "generation";
/// Which process speaks.
pub const INSTANCE: &str = "instance";
/// Records behind.
pub const LAG: &str = "lag";
/// `organization/ledger`.
pub const LEDGER: &str = "ledger";
/// Of a command, unless the message names another topic.
pub const OFFSET: &str = "offset";
pub const PARTITION: &str = "partition";
/// A slug.
pub const REASON: &str = "reason";
/// The client's id of a transaction.
pub const REFERENCE: &str = "reference";
/// Of an HTTP request.
pub const REQUEST_ID: &str = "request.id";
pub const ROLE: &str = "role";
pub const STATUS: &str = "status";
pub const TOPIC: &str = "topic";
pub const TRANSACTION_ID: &str = "transaction.id";
/// Of a balance.
pub const VERSION: &str = "version";
