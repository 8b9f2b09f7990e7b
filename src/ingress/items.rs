//! The items of a batch: counted before any of them is read, then read one by one.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::body::Format;
use super::error::Kind;
use super::problem::Problem;
use crate::ledger::Command;
use crate::wire::http::request::{client_reference, parse};
use crate::wire::http::{KnownOriginal, TransactionRequest};
use crate::wire::record::COMMAND_BYTES_MAX;
use crate::wire::scalar::Str;
use crate::wire::{Decoder, Invalid, InvalidKind};

/// Cuts a batch into its items. What is no array at all, and one item too many, refuse the whole.
pub fn split(bytes: &[u8], format: Format, limit: usize) -> Result<Vec<&[u8]>, Problem> {
    let (items, count) = match format {
        Format::Json => array(bytes, limit)?,
        Format::Lines => lines(bytes, limit),
    };
    if count > limit {
        let detail = format!("the batch has {count} items, the limit is {limit}");
        return Err(Problem::new(Kind::BatchTooLarge, detail));
    }
    if items.is_empty() {
        return Err(Problem::malformed("", "the batch has no items"));
    }
    Ok(items)
}

/// Reads one item.
pub fn read(json: &[u8]) -> Result<TransactionRequest<'_>, Problem> {
    if json.len() > COMMAND_BYTES_MAX {
        let detail = format!(
            "the item has {} bytes, the limit is {COMMAND_BYTES_MAX}",
            json.len()
        );
        return Err(Invalid::new(InvalidKind::PayloadTooLarge, "", detail).into());
    }
    Ok(parse(json)?)
}

/// The command of one item; `unnamed` is the reference of one that names none, if that is allowed.
/// A reversal needs its `original`.
pub fn command(
    request: &TransactionRequest<'_>,
    unnamed: Option<&str>,
    original: Option<&KnownOriginal>,
    decoder: &mut Decoder,
) -> Result<Command, Problem> {
    if request.expect_retries > 0 {
        let detail = "is not taken in a batch";
        return Err(Invalid::new(InvalidKind::InvalidExpect, "expect_retries", detail).into());
    }
    let reference = request.reference.as_deref().or(unnamed);
    if let Some(reference) = reference {
        client_reference(reference, 0)?;
    }
    Ok(request.command(reference, None, original, decoder)?)
}

/// The reference of an item that is refused, if it can be read.
pub fn reference(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        reference: Str<'a>,
    }
    serde_json::from_slice(json)
        .ok()
        .map(|named: Named<'_>| named.reference.0.into_owned())
}

fn lines(bytes: &[u8], limit: usize) -> (Vec<&[u8]>, usize) {
    let filled = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let filled = filled.filter(|line| !line.is_empty());
    let count = filled.clone().count();
    (filled.take(limit).collect(), count)
}

fn array(bytes: &[u8], limit: usize) -> Result<(Vec<&[u8]>, usize), Problem> {
    let malformed = |error: serde_json::Error| {
        Problem::malformed("", format!("the batch is no JSON array: {error}"))
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = Bounded(limit).deserialize(&mut json).map_err(malformed)?;
    json.end().map_err(malformed)?;
    Ok(read)
}

/// Reads an array's items up to a limit, and counts all of them.
struct Bounded(usize);

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = (Vec<&'de [u8]>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = (Vec<&'de [u8]>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of transactions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items: Vec<&'de [u8]> = Vec::new();
        while items.len() < self.0 {
            match seq.next_element::<&'de RawValue>()? {
                Some(item) => items.push(item.get().as_bytes()),
                None => break,
            }
        }
        let mut count = items.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count = count.saturating_add(1);
        }
        Ok((items, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(bytes: &[u8], format: Format) -> Result<usize, Kind> {
        split(bytes, format, 3)
            .map(|items| items.len())
            .map_err(|problem| problem.kind)
    }

    #[test]
    fn a_batch_is_counted_before_it_is_read() {
        let malformed = Err(Kind::Invalid(InvalidKind::MalformedRequest));
        assert_eq!(kinds(b"[1, {}, null]", Format::Json), Ok(3));
        assert_eq!(kinds(b"[1,2,3,4]", Format::Json), Err(Kind::BatchTooLarge));
        assert_eq!(kinds(b"{}\n\n 2 \r\n3", Format::Lines), Ok(3));
        assert_eq!(
            kinds(b"1\n2\n3\n4\n", Format::Lines),
            Err(Kind::BatchTooLarge)
        );
        for wrong in [&b"[]"[..], b"", b"{}", b"[1", b"[1] 2", b"[1,]", b"\xff"] {
            assert_eq!(kinds(wrong, Format::Json), malformed);
        }
        assert_eq!(kinds(b"\n \n", Format::Lines), malformed);
    }

    #[test]
    fn an_item_is_refused_by_itself() {
        let refused = |json: &[u8]| {
            let request = read(json);
            let command = request.and_then(|it| command(&it, None, None, &mut Decoder::new()));
            command.unwrap_err()
        };
        assert_eq!(
            refused(b"{").kind,
            Kind::Invalid(InvalidKind::MalformedRequest)
        );
        let retries = refused(br#"{"reference":"r","expect_retries":1,"postings":[]}"#);
        assert_eq!(retries.field, "expect_retries");
        assert_eq!(
            reference(br#"{"reference":"r","x":1}"#).as_deref(),
            Some("r")
        );
        assert_eq!(reference(br#"{"reference":7}"#), None);
    }
}
