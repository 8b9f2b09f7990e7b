//! The headers of a dead letter: Spring's names, so that its tools read them, and ours.

pub const ORIGINAL_TOPIC: &str = "kafka_dlt-original-topic";
/// 4 bytes, big endian.
pub const ORIGINAL_PARTITION: &str = "kafka_dlt-original-partition";
/// 8 bytes, big endian.
pub const ORIGINAL_OFFSET: &str = "kafka_dlt-original-offset";
/// Milliseconds since the epoch: 8 bytes, big endian.
pub const ORIGINAL_TIMESTAMP: &str = "kafka_dlt-original-timestamp";
pub const ORIGINAL_TIMESTAMP_TYPE: &str = "kafka_dlt-original-timestamp-type";
pub const ORIGINAL_GROUP: &str = "kafka_dlt-original-consumer-group";
/// The slug of the reason, where Spring has the name of a class.
pub const EXCEPTION: &str = "kafka_dlt-exception-fqcn";
/// What is wrong, in words.
pub const EXCEPTION_MESSAGE: &str = "kafka_dlt-exception-message";
/// The slug of the reason.
pub const REASON: &str = "steelyard-reason";
/// The value's true length in bytes, where something was cut off.
pub const TRUNCATED: &str = "steelyard-truncated";

/// Headers that a letter has and its record had not.
pub const ALL: [&str; 10] = [
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    ORIGINAL_TIMESTAMP,
    ORIGINAL_TIMESTAMP_TYPE,
    ORIGINAL_GROUP,
    EXCEPTION,
    EXCEPTION_MESSAGE,
    REASON,
    TRUNCATED,
];
