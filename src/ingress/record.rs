//! A command's record: its value and its headers.

use rdkafka::message::{Header, OwnedHeaders};

use crate::ledger::Command;
use crate::wire::record::{
    COMMAND_BYTES_MAX, CORRELATION_HEADER, REPLY_PARTITION_HEADER, REPLY_TOPIC_HEADER, TRACE_HEADER,
};
use crate::wire::{CommandBody, Invalid, InvalidKind};

/// What rides along with a command.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub correlation: &'a [u8],
    pub reply_partition: i32,
    pub traceparent: &'a str,
}

/// The value of a command's record.
pub fn encode(command: &Command) -> Result<Vec<u8>, Invalid> {
    let value = serde_json::to_vec(&CommandBody::of(command))
        .map_err(|error| Invalid::new(InvalidKind::MalformedRequest, "", error.to_string()))?;
    if value.len() > COMMAND_BYTES_MAX {
        let detail = format!(
            "the command has {} bytes, the limit is {COMMAND_BYTES_MAX}",
            value.len()
        );
        return Err(Invalid::new(InvalidKind::PayloadTooLarge, "", detail));
    }
    Ok(value)
}

/// The headers of a command whose outcome is wanted on `reply_topic`.
pub fn headers(reply_topic: &str, envelope: Envelope<'_>) -> OwnedHeaders {
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    let partition = envelope.reply_partition.to_be_bytes();
    OwnedHeaders::new_with_capacity(4)
        .insert(header(CORRELATION_HEADER, envelope.correlation))
        .insert(header(REPLY_TOPIC_HEADER, reply_topic.as_bytes()))
        .insert(header(REPLY_PARTITION_HEADER, &partition[..]))
        .insert(header(TRACE_HEADER, envelope.traceparent.as_bytes()))
}
