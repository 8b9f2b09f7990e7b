//! Records that can never be understood: kept as they were, with Spring's header names.

use rdkafka::Message;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use super::Shared;
use super::ports::{Outbox, World};
use crate::ledger::{PartitionId, ReplyTo};
use crate::log::producer::{Acks, Append, AppendFailed};
use crate::wire::{Invalid, letter};

/// A poisoned record on its way to the dead letters.
pub(super) struct DeadLetter {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
    reason: &'static str,
    /// Where the asker waits, and what to tell it.
    pub(super) reply: Option<(ReplyTo, Vec<u8>)>,
}

impl DeadLetter {
    pub(super) fn new(
        message: &impl Message,
        group: &str,
        reply: Option<ReplyTo>,
        why: &Invalid,
    ) -> Self {
        let (key, whole_key) = fitting(message.key(), KEY_BYTES_MAX);
        let (value, whole_value) = fitting(message.payload(), VALUE_BYTES_MAX);
        let (mut headers, whole_headers) = kept(message);
        let offset = message.offset().to_be_bytes();
        let partition = message.partition().to_be_bytes();
        let timestamp = message.timestamp().to_millis().unwrap_or(-1).to_be_bytes();
        let text = why.to_string();
        let ours: [(&str, &[u8]); 9] = [
            (letter::ORIGINAL_TOPIC, message.topic().as_bytes()),
            (letter::ORIGINAL_PARTITION, &partition),
            (letter::ORIGINAL_OFFSET, &offset),
            (letter::ORIGINAL_TIMESTAMP, &timestamp),
            (letter::ORIGINAL_TIMESTAMP_TYPE, b"LogAppendTime"),
            (letter::ORIGINAL_GROUP, group.as_bytes()),
            (letter::EXCEPTION, why.kind.slug().as_bytes()),
            (letter::EXCEPTION_MESSAGE, text.as_bytes()),
            (letter::REASON, why.kind.slug().as_bytes()),
        ];
        for (key, value) in ours {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        if !(whole_key && whole_value && whole_headers) {
            let length = message.payload().map_or(0, <[u8]>::len).to_string();
            headers = headers.insert(Header {
                key: letter::TRUNCATED,
                value: Some(&length),
            });
        }
        let body = serde_json::json!({
            "status": "dead-letter",
            "reason": why.kind.slug(),
            "field": why.field,
            "detail": why.detail,
        });
        Self {
            key,
            value,
            headers,
            reason: why.kind.slug(),
            reply: reply.map(|reply| (reply, body.to_string().into_bytes())),
        }
    }
}

/// What of a record is kept at most. A producer that compresses can bring in far more than the
/// dead letters take, and what they do not take must not hold up its partition.
const KEY_BYTES_MAX: usize = 64 * 1024;
const VALUE_BYTES_MAX: usize = 1024 * 1024;
const HEADER_BYTES_MAX: usize = 256 * 1024;

/// The start of `bytes`, and whether that is all.
fn fitting(bytes: Option<&[u8]>, most: usize) -> (Option<Vec<u8>>, bool) {
    let start = bytes.map(|bytes| bytes[..bytes.len().min(most)].to_vec());
    (start, bytes.is_none_or(|bytes| bytes.len() <= most))
}

/// A record's own headers as far as they fit, and whether that is all.
fn kept(message: &impl Message) -> (OwnedHeaders, bool) {
    let mut kept = OwnedHeaders::new();
    let mut bytes = 0;
    for header in message.headers().into_iter().flat_map(|all| all.iter()) {
        bytes += header.key.len() + header.value.map_or(0, <[u8]>::len) + HEADER_BYTES_EACH;
        if bytes > HEADER_BYTES_MAX {
            return (kept, false);
        }
        kept = kept.insert(header);
    }
    (kept, true)
}

/// What a header takes on the wire beside its key and value.
const HEADER_BYTES_EACH: usize = 10;

/// Appends `letters` and waits until they are safe: after this their records may be decided away.
pub(super) async fn publish<W: World>(
    shared: &Shared<W>,
    producer: &W::Outbox,
    partition: PartitionId,
    letters: &mut [DeadLetter],
) -> Result<(), AppendFailed> {
    let acks = Acks::open();
    for letter in letters {
        let append = Append {
            topic: &shared.topics.dead_letters,
            partition: Some(i32::from(partition)),
            key: letter.key.as_deref().unwrap_or_default(),
            value: letter.value.as_deref().unwrap_or_default(),
            headers: Some(std::mem::take(&mut letter.headers)),
        };
        producer.append(append, &acks).await?;
        shared
            .metrics
            .dead_letters
            .with_label_values(&[letter.reason])
            .inc();
        tracing::warn!(
            partition,
            reason = letter.reason,
            "a record went to the dead letters"
        );
    }
    acks.wait().await.map(drop)
}
