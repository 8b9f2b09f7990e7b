//! Input that can never be understood: a slug, the field it names, and what the limit is.

use std::fmt;

/// What is wrong with an input. The slugs are stable: they stand in problems, dead-letter headers
/// and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidKind {
    MalformedRequest,
    PayloadTooLarge,
    ReferenceMissing,
    InvalidReference,
    InvalidLedger,
    InvalidAmount,
    InvalidAsset,
    InvalidBalance,
    SameBalance,
    ReservedAccount,
    InvalidPostings,
    InvalidHold,
    InvalidOriginal,
    InvalidSplit,
    InvalidExpect,
    InvalidDate,
    InvalidNote,
    KeyMissing,
    KeyMismatch,
    ValueMissing,
    ForgedLeg,
    ReplyNotAllowed,
}

impl InvalidKind {
    pub const ALL: [Self; 22] = [
        Self::MalformedRequest,
        Self::PayloadTooLarge,
        Self::ReferenceMissing,
        Self::InvalidReference,
        Self::InvalidLedger,
        Self::InvalidAmount,
        Self::InvalidAsset,
        Self::InvalidBalance,
        Self::SameBalance,
        Self::ReservedAccount,
        Self::InvalidPostings,
        Self::InvalidHold,
        Self::InvalidOriginal,
        Self::InvalidSplit,
        Self::InvalidExpect,
        Self::InvalidDate,
        Self::InvalidNote,
        Self::KeyMissing,
        Self::KeyMismatch,
        Self::ValueMissing,
        Self::ForgedLeg,
        Self::ReplyNotAllowed,
    ];

    pub fn slug(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed-request",
            Self::PayloadTooLarge => "payload-too-large",
            Self::ReferenceMissing => "reference-missing",
            Self::InvalidReference => "invalid-reference",
            Self::InvalidLedger => "invalid-ledger",
            Self::InvalidAmount => "invalid-amount",
            Self::InvalidAsset => "invalid-asset",
            Self::InvalidBalance => "invalid-balance",
            Self::SameBalance => "same-balance",
            Self::ReservedAccount => "reserved-account",
            Self::InvalidPostings => "invalid-postings",
            Self::InvalidHold => "invalid-hold",
            Self::InvalidOriginal => "invalid-original",
            Self::InvalidSplit => "invalid-split",
            Self::InvalidExpect => "invalid-expect",
            Self::InvalidDate => "invalid-date",
            Self::InvalidNote => "invalid-note",
            Self::KeyMissing => "key-missing",
            Self::KeyMismatch => "key-mismatch",
            Self::ValueMissing => "value-missing",
            Self::ForgedLeg => "forged-leg",
            Self::ReplyNotAllowed => "reply-not-allowed",
        }
    }
}

/// An input that was refused before anything was decided; nothing changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub kind: InvalidKind,
    /// Path of the field, such as `postings[0].amount`; empty for the whole.
    pub field: String,
    /// What is wrong, and what the limit is.
    pub detail: String,
}

impl Invalid {
    pub fn new(kind: InvalidKind, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            field: shortened(field.into()),
            detail: shortened(detail.into()),
        }
    }

    /// The same of a field that is part of `whole`.
    #[must_use]
    pub fn within(mut self, whole: &str) -> Self {
        let field = match self.field.is_empty() {
            true => whole.to_owned(),
            false => format!("{whole}.{}", self.field),
        };
        self.field = shortened(field);
        self
    }
}

/// The most bytes of a client's own text that are repeated in headers, problems and logs.
const TEXT_MAX: usize = 256;

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.is_empty() {
            true => write!(f, "{}: {}", self.kind.slug(), self.detail),
            false => write!(f, "{}: {} {}", self.kind.slug(), self.field, self.detail),
        }
    }
}

impl std::error::Error for Invalid {}
