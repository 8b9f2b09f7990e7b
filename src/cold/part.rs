//! Outcomes as rows: encoded as they arrive, written later.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::Datelike;
use uuid::Uuid;

use super::copy::Rows;
use super::references::Reference;
use super::write::long;
use crate::ledger::{Decision, Rejection, TransactionId};
use crate::wire::{EntryBody, OutcomeBody, Time};

/// The rows of some outcomes of one partition.
#[derive(Debug, Default)]
pub struct Part {
    pub(super) transactions: Rows,
    pub(super) entries: Rows,
    pub(super) references: Vec<Reference>,
    /// A log time in each month that rows fall into.
    months: BTreeSet<Month>,
}

/// A month of log time, by any moment in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u32,
}

impl Part {
    /// Adds what an outcome leaves in cold: its entries, and a transaction if it decided one.
    pub fn add(&mut self, outcome: &OutcomeBody<'_>) {
        if let Some(transaction) = decided(outcome) {
            self.months.insert(Month::of(outcome.at));
            self.transaction(outcome, transaction);
        }
        for entry in &outcome.entries {
            self.months.insert(Month::of(outcome.at));
            self.entry(outcome, entry);
        }
    }

    /// The rows of `transactions` as Postgres's binary COPY takes them, without its frame.
    pub fn transactions(&self) -> &[u8] {
        self.transactions.raw_bytes()
    }

    /// As [`Part::transactions`], of `entries`.
    pub fn entries(&self) -> &[u8] {
        self.entries.raw_bytes()
    }

    /// The references that its transactions come with.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    pub fn rows(&self) -> usize {
        self.transactions.len() + self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.transactions.bytes() + self.entries.bytes()
    }

    pub fn months(&self) -> impl Iterator<Item = Month> {
        self.months.iter().copied()
    }

    fn transaction(&mut self, outcome: &OutcomeBody<'_>, (id, ledger, reference): Named<'_>) {
        let refused = outcome.refused;
        let metadata = outcome.metadata.map(|metadata| json(metadata.get()));
        self.transactions
            .row(16)
            .uuid(Some(id))
            .int(outcome.partition.into())
            .long(Some(long(outcome.offset)))
            .time(Some(outcome.at))
            .text(ledger)
            .text(reference)
            .text(outcome.kind.as_deref().unwrap_or_default())
            .text(&outcome.status)
            .raw(outcome.reason.as_deref().map(str::as_bytes))
            .raw(Some(
                outcome
                    .fingerprint
                    .as_ref()
                    .map_or(&[], |fingerprint| &fingerprint.0),
            ))
            .time(outcome.effective_at)
            .raw(
                outcome
                    .description
                    .as_deref()
                    .map(text)
                    .as_deref()
                    .map(str::as_bytes),
            )
            .json(metadata.as_deref())
            .uuid(refused.map(|refused| refused.balance))
            .long(refused.and_then(|refused| refused.version).map(long))
            .uuid(outcome.reverses);
        let home = TransactionId::from_uuid(id);
        if home.is_some_and(|id| id.home() == outcome.partition && id.offset() == outcome.offset) {
            self.references.push(Reference {
                ledger: ledger.into(),
                reference: reference.into(),
                transaction: id,
                at: outcome.at,
            });
        }
    }

    fn entry(&mut self, outcome: &OutcomeBody<'_>, entry: &EntryBody<'_>) {
        self.entries
            .row(13)
            .uuid(Some(entry.balance))
            .long(Some(long(entry.version)))
            .uuid(outcome.transaction_id)
            .int(outcome.partition.into())
            .long(Some(long(outcome.offset)))
            .time(Some(outcome.at))
            .time(outcome.effective_at)
            .text(&entry.direction)
            .decimal(entry.amount.0)
            .text(&entry.asset)
            .decimal(entry.posted.0)
            .decimal(entry.held.0)
            .decimal(entry.incoming.0);
    }
}

impl Month {
    pub fn of(at: Time) -> Self {
        let day = at.utc();
        Self {
            year: day.year(),
            month: day.month(),
        }
    }

    pub(super) fn first_day(self) -> String {
        format!("{:04}-{:02}-01T00:00:00Z", self.year, self.month)
    }
}

type Named<'a> = (Uuid, &'a str, &'a str);

/// The transaction that an outcome decided: a repeat, a reused reference or a record without
/// effect decides none.
fn decided<'a>(outcome: &'a OutcomeBody<'_>) -> Option<Named<'a>> {
    match outcome.decision() {
        Ok(
            Decision::Applied
            | Decision::Held
            | Decision::Posted
            | Decision::Voided
            | Decision::Expired
            | Decision::Forwarded
            | Decision::Returned(_),
        ) => {}
        Ok(Decision::Rejected(rejection)) if rejection != Rejection::ReferenceReused => {}
        Ok(Decision::Rejected(_) | Decision::Ignored(_)) | Err(_) => return None,
    }
    if outcome.replay_of.is_some() {
        return None;
    }
    let named = (
        outcome.transaction_id,
        outcome.ledger.as_deref(),
        outcome.reference.as_deref(),
    );
    match named {
        (Some(id), Some(ledger), Some(reference)) => Some((id, ledger, reference)),
        _ => None,
    }
}

/// Postgres has no NUL in text; a client's note may.
fn text(note: &str) -> Cow<'_, str> {
    match note.contains('\0') {
        true => note.replace('\0', "\u{fffd}").into(),
        false => note.into(),
    }
}

/// The same of JSON, where it stands as an escape of six bytes after an even run of backslashes.
fn json(note: &str) -> Cow<'_, str> {
    if !note.contains("\\u0000") {
        return note.into();
    }
    let mut clean = String::with_capacity(note.len());
    let mut rest = note;
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        let (escape, tail) = match rest[at..].strip_prefix("\\u0000") {
            Some(tail) => ("\\ufffd", tail),
            None => rest[at..].split_at(2),
        };
        clean.push_str(escape);
        rest = tail;
    }
    clean.push_str(rest);
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_of_utc() {
        let table = [
            ("2026-11-30T23:59:59.999Z", "2026-11-01T00:00:00Z"),
            ("2026-12-01T00:00:00.000Z", "2026-12-01T00:00:00Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-01T00:00:00Z"),
        ];
        for (at, month) in table {
            let at = chrono::DateTime::parse_from_rfc3339(at).unwrap();
            assert_eq!(Month::of(Time(at.timestamp_millis())).first_day(), month);
        }
    }

    #[test]
    fn what_postgres_cannot_hold_is_replaced() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        let table = [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#"{"a":"\u0000"}"#, r#"{"a":"\ufffd"}"#),
            (
                r#"{"\u0000\u0000":"\\\u0000x"}"#,
                r#"{"\ufffd\ufffd":"\\\ufffdx"}"#,
            ),
            (r#"{"a":"\\u0000"}"#, r#"{"a":"\\u0000"}"#),
            (
                r#"{"a":"\"\\\\u0000\u0000é"}"#,
                r#"{"a":"\"\\\\u0000\ufffdé"}"#,
            ),
        ];
        for (given, expected) in table {
            assert_eq!(json(given), expected);
            let plain: serde_json::Value = serde_json::from_str(&json(given)).unwrap();
            assert!(!plain.to_string().contains("\\u0000") || given.contains("\\\\u0000"));
        }
    }
}
