//! What commands say, as far as the oracle has to know it again.

use std::fmt;

use serde_json::Value;

use super::heard::heard;
use super::names::Names;
use super::said::Said;
use crate::ledger::{Command, Record};

/// The decoder has made something else of a record than the oracle reads in it: which is right has
/// to be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread(String);

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misread {}

/// What a command says, its reference aside. Two commands say the same if it is equal.
pub(super) type Content = [u8; 32];

/// What the command of a record says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contents {
    pub(super) own: Content,
    /// Of a reversal: what the transaction said that it takes back.
    pub(super) original: Content,
}

/// Reads the command of a record from the record's value, and compares what the decoder made of it.
pub(super) fn contents(
    names: &mut Names,
    record: &Record,
    value: &[u8],
) -> Result<Contents, Misread> {
    let (command, leg) = match record {
        Record::DeadLetter | Record::Genesis(_) | Record::Rules(_) => {
            return Ok(Contents::default());
        }
        Record::Command(command) => (command, false),
        Record::Leg(leg) => (leg.step.command(), true),
    };
    let json: Value = serde_json::from_slice(value)
        .map_err(|error| Misread(format!("it was understood, and is no JSON: {error}")))?;
    let said = Said::read(if leg { &json["command"] } else { &json }, names)
        .map_err(|why| Misread(format!("it was read as {}, but {why}", heard(command))))?;
    compare(&said, command)?;
    let original = said.original.as_deref();
    Ok(Contents {
        own: digest(&said),
        original: original.map(digest).unwrap_or_default(),
    })
}

fn compare(said: &Said, command: &Command) -> Result<(), Misread> {
    let differs = |what: &str, read: &dyn fmt::Display, right: &dyn fmt::Display| {
        Err(Misread(format!(
            "its {what} was read as {read}, and is {right}"
        )))
    };
    let content = heard(command);
    if said.content != content {
        return differs("content", &content, &said.content);
    }
    let stripes = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
    let known = command.stripes.iter();
    let read = stripes(&mut known.map(|it| format!("{} {}/{}", it.id, it.account, it.key)));
    let known = said.stripes.iter();
    let right = stripes(&mut known.map(|it| format!("{} {}/{}", it.id, it.account, it.key)));
    if read != right {
        return differs("sub-balances", &read, &right);
    }
    match (&said.original, command.reverse()) {
        (Some(said), Some(reverse)) => compare(said, &reverse.original),
        _ => Ok(()),
    }
}

fn digest(said: &Said) -> Content {
    // The members of JSON are written in the order of their names.
    *blake3::hash(said.content.to_string().as_bytes()).as_bytes()
}
