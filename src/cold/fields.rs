//! Rows that Postgres sends in its binary COPY format: many of them, decoded as they come.

use bytes::{Buf, Bytes};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::write::decode;

/// What comes before the first row: a signature, flags, and an extension that is empty.
const HEADER: usize = 19;
/// Seconds from 1970 to 2000, where Postgres begins to count.
const EPOCH: i64 = 946_684_800;
/// Sign of a negative number; that of a positive one is 0.
const NEGATIVE: u16 = 0x4000;

/// The fields of one row, taken from left to right.
pub(super) struct Fields {
    rest: Bytes,
}

/// Hands every row of `query` to `each`.
///
/// # Errors
/// If Postgres fails, or `each` refuses a row.
pub(super) async fn copied(
    db: &mut PgConnection,
    query: &str,
    mut each: impl FnMut(&mut Fields) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    let statement = format!("copy ({query}) to stdout (format binary)");
    let mut rows = db.copy_out_raw(&statement).await?;
    let mut begun = false;
    while let Some(mut rest) = rows.try_next().await? {
        if !begun {
            if rest.len() < HEADER {
                return Err(decode("a copy without a header"));
            }
            rest.advance(HEADER);
            begun = true;
        }
        // The header may come with the first row or alone; the trailer is a row of -1 fields.
        if rest.len() < 2 || rest.get_i16() < 0 {
            continue;
        }
        each(&mut Fields { rest })?;
    }
    Ok(())
}

impl Fields {
    /// The bytes of the next field, unless it is null.
    fn raw(&mut self) -> Result<Option<Bytes>, sqlx::Error> {
        let length = self.rest.try_get_i32().map_err(decode)?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        match length <= self.rest.len() {
            true => Ok(Some(self.rest.split_to(length))),
            false => Err(decode("a field is cut short")),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, sqlx::Error> {
        self.raw()?.ok_or_else(|| decode("a field is null"))
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<Text>, sqlx::Error> {
        let bytes = self.raw()?;
        bytes.map(Text::of).transpose()
    }

    pub(super) fn text(&mut self) -> Result<Text, sqlx::Error> {
        Text::of(self.bytes()?)
    }

    pub(super) fn long(&mut self) -> Result<i64, sqlx::Error> {
        self.bytes()?.try_get_i64().map_err(decode)
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, sqlx::Error> {
        Uuid::from_slice(&self.bytes()?).map_err(decode)
    }

    pub(super) fn time(&mut self) -> Result<DateTime<Utc>, sqlx::Error> {
        let since = self.long()?.checked_add(EPOCH * 1_000_000);
        let time = since.and_then(DateTime::from_timestamp_micros);
        time.ok_or_else(|| decode("a time out of range"))
    }

    pub(super) fn decimal(&mut self) -> Result<Decimal, sqlx::Error> {
        let number = self.maybe_decimal()?;
        number.ok_or_else(|| decode("a number is null"))
    }

    pub(super) fn maybe_decimal(&mut self) -> Result<Option<Decimal>, sqlx::Error> {
        self.raw()?
            .map(|bytes| number(bytes).map_err(decode))
            .transpose()
    }
}

/// Text as it came, without a copy.
pub(super) struct Text(Bytes);

impl Text {
    fn of(bytes: Bytes) -> Result<Self, sqlx::Error> {
        std::str::from_utf8(&bytes).map_err(decode)?;
        Ok(Self(bytes))
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A `numeric`: digits to the base of 10,000, the first of them worth 10,000 to the power of a
/// weight, and how many decimal places to show.
fn number(mut bytes: Bytes) -> Result<Decimal, String> {
    let broken = |_| "a number is cut short".to_owned();
    let count = bytes.try_get_u16().map_err(broken)?;
    let weight = bytes.try_get_i16().map_err(broken)?;
    let sign = bytes.try_get_u16().map_err(broken)?;
    let scale = bytes.try_get_u16().map_err(broken)?;
    if sign != 0 && sign != NEGATIVE {
        return Err("not a number".to_owned());
    }
    let mut minor: i128 = 0;
    for at in 0..i32::from(count) {
        let digit = i128::from(bytes.try_get_u16().map_err(broken)?);
        let power = 4 * (i32::from(weight) - at) + i32::from(scale);
        let ten = |power: i32| 10_i128.checked_pow(power.unsigned_abs());
        // Digits beyond the scale are zeros.
        let worth = match power {
            0.. => ten(power).and_then(|ten| digit.checked_mul(ten)),
            _ => ten(power).and_then(|ten| digit.checked_div(ten)),
        };
        let sum = worth.and_then(|worth| minor.checked_add(worth));
        minor = sum.ok_or("a number is too large")?;
    }
    if sign == NEGATIVE {
        minor = -minor;
    }
    Decimal::try_from_i128_with_scale(minor, scale.into()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::encode::Encode;
    use sqlx::postgres::{PgArgumentBuffer, Postgres};

    /// Against the driver's own encoding.
    #[test]
    fn numbers_are_read_as_they_are_written() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "12.50",
            "-0.01",
            "10000",
            "99999999.9999",
            "0.00010000",
            "100000000",
            "1234567890123456789012.345678",
            "79228162514264337593543950335",
            "0.0000000000000000000000000001",
            "-5000.5",
            "120000.0",
        ] {
            let expected: Decimal = text.parse().unwrap();
            let mut bytes = PgArgumentBuffer::default();
            let null = Encode::<Postgres>::encode_by_ref(&expected, &mut bytes);
            assert!(!null.unwrap().is_null());
            let read = number(Bytes::copy_from_slice(&bytes)).unwrap();
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let parts = |parts: &[u16]| {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
            number(bytes.into())
        };
        assert!(parts(&[0, 0, 0xc000, 0]).is_err(), "NaN");
        assert!(parts(&[2, 0, 0, 0, 1]).is_err(), "cut short");
        assert!(parts(&[1, 9, 0, 0, 1]).is_err(), "36 digits");
        assert!(parts(&[1, 0x7fff, 0, 0, 1]).is_err(), "out of bounds");
    }
}
