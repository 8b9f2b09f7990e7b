//! Where a page goes on: opaque to the client, checked when it comes back.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::problem::Problem;
use crate::cold::read::{BalanceCursor, EntryCursor};

/// Items of a page that names no limit.
pub const LIMIT_DEFAULT: u32 = 100;
/// Most items of a page.
pub const LIMIT_MAX: u32 = 1000;

/// The number of items a client wants.
pub fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked {
        None => Ok(LIMIT_DEFAULT),
        Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Some(other) => Err(Problem::malformed(
            "limit",
            format!("is {other}, it must be 1 to {LIMIT_MAX}"),
        )),
    }
}

pub fn of_entry(cursor: EntryCursor) -> String {
    hex::encode(format!(
        "e {} {}/{}",
        cursor.at.timestamp_micros(),
        cursor.version,
        cursor.balance
    ))
}

pub fn of_balance(cursor: &BalanceCursor) -> String {
    hex::encode(format!("b {} {}", cursor.asset, cursor.key))
}

pub fn of_hold(id: Uuid) -> String {
    hex::encode(format!("h {id} open"))
}

pub fn hold(text: &str) -> Result<Uuid, Problem> {
    let (id, _) = parts(text, "h")?;
    id.parse().map_err(|_| foreign())
}

pub fn entry(text: &str) -> Result<EntryCursor, Problem> {
    let parts = parts(text, "e")?;
    let at = parts
        .0
        .parse()
        .ok()
        .and_then(DateTime::<Utc>::from_timestamp_micros);
    let (version, balance) = parts.1.split_once('/').ok_or_else(foreign)?;
    match (at, version.parse(), balance.parse()) {
        (Some(at), Ok(version), Ok(balance)) => Ok(EntryCursor {
            at,
            version,
            balance,
        }),
        (_, _, _) => Err(foreign()),
    }
}

pub fn balance(text: &str) -> Result<BalanceCursor, Problem> {
    let (asset, key) = parts(text, "b")?;
    Ok(BalanceCursor { asset, key })
}

fn parts(text: &str, kind: &str) -> Result<(String, String), Problem> {
    let plain = hex::decode(text)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let plain = plain.ok_or_else(foreign)?;
    let mut words = plain.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(found), Some(first), Some(second), None) if found == kind => {
            Ok((first.to_owned(), second.to_owned()))
        }
        _ => Err(foreign()),
    }
}

fn foreign() -> Problem {
    Problem::malformed("cursor", "is none that this list has given out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let of = Uuid::from_u128(7);
        let one = EntryCursor {
            at,
            version: 17,
            balance: of,
        };
        assert_eq!(entry(&of_entry(one)).unwrap(), one);
        let two = BalanceCursor {
            asset: "USD/2".to_owned(),
            key: "default".to_owned(),
        };
        assert_eq!(balance(&of_balance(&two)).unwrap(), two);
        assert_eq!(hold(&of_hold(of)).unwrap(), of);
        assert!(entry(&of_balance(&two)).is_err() && balance(&of_entry(one)).is_err());
        assert!(hold(&of_entry(one)).is_err() && entry(&of_hold(of)).is_err());
        for wrong in [
            "",
            "zz",
            "00ff",
            &hex::encode("e 1"),
            &hex::encode("e 1 2 3"),
            &hex::encode("e 1 2"),
        ] {
            assert!(entry(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(limit(None).unwrap(), 100);
        assert_eq!(limit(Some(1000)).unwrap(), 1000);
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
    }
}
