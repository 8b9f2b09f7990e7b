//! Rows in Postgres's binary COPY format: encoded once, sent as they are.

use rust_decimal::Decimal;
use sqlx::encode::{Encode, IsNull};
use sqlx::postgres::{PgArgumentBuffer, PgConnection, Postgres};
use uuid::Uuid;

use crate::wire::Time;

/// Rows of one table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: PgArgumentBuffer,
    count: usize,
}

const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn raw_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Begins a row; as many fields must follow.
    pub(super) fn row(&mut self, fields: i16) -> &mut Self {
        self.count += 1;
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.raw(Some(value.as_bytes()))
    }

    pub(super) fn raw(&mut self, value: Option<&[u8]>) -> &mut Self {
        self.field(value)
    }

    pub(super) fn uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        self.field(value)
    }

    pub(super) fn int(&mut self, value: i32) -> &mut Self {
        self.field(value)
    }

    pub(super) fn long(&mut self, value: Option<i64>) -> &mut Self {
        self.field(value)
    }

    pub(super) fn time(&mut self, value: Option<Time>) -> &mut Self {
        self.field(value.map(Time::utc))
    }

    pub(super) fn decimal(&mut self, value: Decimal) -> &mut Self {
        self.field(value)
    }

    /// JSON text for a `jsonb` column.
    pub(super) fn json(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            None => self.raw(None),
            Some(json) => self.raw(Some(&[b"\x01", json.as_bytes()].concat())),
        }
    }

    fn field<'q, T: Encode<'q, Postgres>>(&mut self, value: T) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        let null = value.encode(&mut self.bytes);
        let null = null.expect("numbers, texts and times of the wire fit their columns");
        if matches!(null, IsNull::No) {
            let length = i32::try_from(self.bytes.len() - start - 4);
            let length = length.expect("a field is bounded by the record it came in");
            self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        self
    }
}

/// Writes the rows of all `parts` with one statement, in one piece: the driver leaves it to the
/// kernel when small pieces are sent, which holds each back until the one before is acknowledged.
pub(super) async fn copy<'a>(
    db: &mut PgConnection,
    statement: &str,
    parts: impl Iterator<Item = &'a Rows> + Clone,
) -> Result<u64, sqlx::Error> {
    let length: usize = parts.clone().map(Rows::bytes).sum();
    let mut piece = Vec::with_capacity(HEADER.len() + length + TRAILER.len());
    piece.extend_from_slice(HEADER);
    for rows in parts {
        piece.extend_from_slice(&rows.bytes);
    }
    piece.extend_from_slice(&TRAILER);
    let mut copy = db.copy_in_raw(statement).await?;
    copy.send(piece).await?;
    copy.finish().await
}
