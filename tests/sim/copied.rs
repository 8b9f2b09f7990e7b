//! Reads rows back that were encoded for Postgres's binary COPY.

use steelyard::ledger::{BalanceId, PartitionId};
use uuid::Uuid;

/// A row of `transactions`, as far as a takeover reads it.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) id: Uuid,
    pub(crate) partition: PartitionId,
    pub(crate) offset: u64,
    pub(crate) at_ms: i64,
    pub(crate) ledger: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) fingerprint: [u8; 16],
}

/// Milliseconds from 1970 to Postgres's own epoch.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let length = i32::from_be_bytes(self.take(4).try_into().unwrap());
        usize::try_from(length).ok().map(|length| self.take(length))
    }

    fn text(&mut self) -> Option<&'a str> {
        self.field()
            .map(|bytes| std::str::from_utf8(bytes).unwrap())
    }

    fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.field().unwrap().try_into().unwrap())
    }
}

/// The rows of `entries`, in order: each the version of a balance.
pub(crate) fn entries(bytes: &[u8]) -> Vec<(BalanceId, u64)> {
    let (mut reader, mut rows) = (Reader(bytes), Vec::new());
    while !reader.0.is_empty() {
        assert_eq!(
            reader.take(2),
            13_i16.to_be_bytes(),
            "an entry has 13 columns"
        );
        let id = Uuid::from_slice(reader.field().unwrap()).unwrap();
        let version = u64::try_from(reader.long()).unwrap();
        for _ in 0..11 {
            reader.field();
        }
        rows.push((BalanceId::new(id), version));
    }
    rows
}

/// The rows of `transactions`, in order.
pub(crate) fn transactions(bytes: &[u8]) -> Vec<Row<'_>> {
    let (mut reader, mut rows) = (Reader(bytes), Vec::new());
    while !reader.0.is_empty() {
        assert_eq!(
            reader.take(2),
            16_i16.to_be_bytes(),
            "a transaction has 16 columns"
        );
        let id = Uuid::from_slice(reader.field().unwrap()).unwrap();
        let partition = i32::from_be_bytes(reader.field().unwrap().try_into().unwrap());
        let offset = u64::try_from(reader.long()).unwrap();
        let at_ms = reader.long().div_euclid(1000) + POSTGRES_EPOCH_MS;
        let (ledger, reference) = (reader.text().unwrap(), reader.text().unwrap());
        let kind = reader.text();
        assert!(kind.is_some(), "a transaction has a type");
        let (status, reason) = (reader.text().unwrap(), reader.text());
        let fingerprint = reader.field().unwrap().try_into().unwrap();
        for _ in 0..6 {
            reader.field();
        }
        rows.push(Row {
            id,
            partition: PartitionId::try_from(partition).unwrap(),
            offset,
            at_ms,
            ledger,
            reference,
            status,
            reason,
            fingerprint,
        });
    }
    rows
}
