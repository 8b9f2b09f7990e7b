//! Requests: what they have in common, and how they become commands.

use serde::Deserialize;
use uuid::Uuid;

use super::{DEFAULT_LEDGER, RETRY_MARK};
use crate::ledger::Command;
use crate::wire::command::{self, CommandBody, Decoder, Kind};
use crate::wire::object::Object;
use crate::wire::scalar::{Pairs, Str};
use crate::wire::{Invalid, InvalidKind};

/// What a resubmission's reference is longer by: the mark and one digit.
const RETRY_SUFFIX: usize = 2;

/// What `ledger` is if it is left out.
pub fn main_ledger<'a>() -> Str<'a> {
    DEFAULT_LEDGER.into()
}

/// Reads a request, or says which field of it does not fit.
pub fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Invalid> {
    let read: Result<Object<T>, _> = serde_json::from_slice(json);
    read.map(|object| object.0)
        .map_err(|error| command::malformed::<Object<T>>(json, &error))
}

/// Refuses the mark that only resubmissions carry, and a reference that has no room for it.
pub fn client_reference(reference: &str, retries: u8) -> Result<(), Invalid> {
    let refuse = |detail: String| {
        Err(Invalid::new(
            InvalidKind::InvalidReference,
            "reference",
            detail,
        ))
    };
    if reference.contains(RETRY_MARK) {
        return refuse("contains #, which is kept for resubmissions".to_owned());
    }
    let limit = command::REFERENCE_MAX - RETRY_SUFFIX;
    if retries > 0 && reference.len() > limit {
        return refuse(format!(
            "has {} bytes, with expect_retries the limit is {limit}",
            reference.len()
        ));
    }
    Ok(())
}

/// Checks a body; `if_match` is the version of the balance that decides.
pub fn accept(
    mut body: CommandBody<'_>,
    if_match: Option<u64>,
    decoder: &mut Decoder,
) -> Result<Command, Invalid> {
    let command = decoder.accept(&body, None, None)?;
    let Some(version) = if_match else {
        return Ok(command);
    };
    match body.kind {
        Kind::Open | Kind::ClosePeriod | Kind::Post | Kind::Void | Kind::Expire => {
            Err(no_version())
        }
        Kind::Transfer | Kind::Configure | Kind::Reverse => {
            expect(&mut body, command.decider().uuid(), version)?;
            decoder.accept(&body, None, None)
        }
    }
}

/// Why `If-Match` is refused where no version is compared: what a post or void moves is reserved,
/// and opening and closing know none.
pub fn no_version() -> Invalid {
    let detail = "is for what may depend on a version: a transfer, a hold, a reversal, configure";
    Invalid::new(InvalidKind::InvalidExpect, "If-Match", detail)
}

fn expect(body: &mut CommandBody<'_>, balance: Uuid, version: u64) -> Result<(), Invalid> {
    let Pairs(pairs) = body.expect.get_or_insert_with(|| Pairs(Vec::new()));
    match pairs.iter().find(|(known, _)| *known == balance) {
        None => pairs.push((balance, version)),
        Some((_, known)) if *known == version => {}
        Some(_) => {
            let detail = format!("and the header If-Match name different versions of {balance}");
            return Err(Invalid::new(InvalidKind::InvalidExpect, "expect", detail));
        }
    }
    Ok(())
}

/// The same intent once more, under the `attempt`-th derived reference, against the version that
/// refused it.
pub fn resubmission(
    command: &Command,
    original: &str,
    attempt: u8,
    (balance, version): (Uuid, u64),
    decoder: &mut Decoder,
) -> Result<Command, Invalid> {
    let mut body = CommandBody::of(command);
    body.reference = Some(Str(format!("{original}{RETRY_MARK}{attempt}").into()));
    if let Some(Pairs(pairs)) = &mut body.expect {
        for pair in pairs.iter_mut().filter(|(known, _)| *known == balance) {
            pair.1 = version;
        }
    }
    decoder.accept(&body, None, None)
}
