//! Amounts: checked 128-bit integers of minor units.
//!
//! `rust_decimal` parses and prints them at the edge, so every amount and every sum stays within
//! its 28 digits: [`MAX`] bounds both. Nothing here rounds; what does not fit is refused.

use rust_decimal::Decimal;

/// The largest magnitude of an amount and of a balance, in minor units: 28 nines, which is what
/// a `Decimal` prints exactly at every scale.
pub const MAX: i128 = 9_999_999_999_999_999_999_999_999_999;

/// The largest scale an asset may have, in decimal places.
pub const SCALE_MAX: u8 = 18;

/// A positive number of minor units, `1..=MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// Why a text or a number is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("is not a decimal number such as \"12.50\"")]
    NotDecimal,
    #[error("must be greater than zero")]
    NotPositive,
    #[error("has {got} decimals, the asset has {scale}")]
    TooFine { got: u32, scale: u8 },
    #[error("has more than 28 digits")]
    TooLarge,
}

impl Amount {
    /// `minor` minor units, if positive and within [`MAX`].
    pub fn new(minor: i128) -> Result<Self, AmountError> {
        match minor {
            i128::MIN..=0 => Err(AmountError::NotPositive),
            1..=MAX => Ok(Self(minor)),
            _ => Err(AmountError::TooLarge),
        }
    }

    /// Reads a decimal at `scale`: `12.5` at scale 2 is 1250 minor units.
    pub fn from_decimal(decimal: Decimal, scale: u8) -> Result<Self, AmountError> {
        Self::new(minor_of(decimal, scale)?)
    }

    pub fn minor(self) -> i128 {
        self.0
    }
}

/// Parses plain decimal notation: an optional minus, digits, an optional point with digits.
/// Exponents, signs of plus, separators, blanks and more than 28 digits are refused.
pub fn parse(text: &str) -> Result<Decimal, AmountError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !fraction.is_none_or(plain) {
        return Err(AmountError::NotDecimal);
    }
    if text.len() > 64 {
        return Err(AmountError::TooLarge);
    }
    let decimal = Decimal::from_str_exact(text).map_err(|_| AmountError::TooLarge)?;
    if decimal.mantissa().unsigned_abs() > MAX.unsigned_abs() {
        return Err(AmountError::TooLarge);
    }
    Ok(decimal)
}

/// The minor units of `decimal` at `scale`, signed, within ±[`MAX`]; trailing zeros beyond the
/// scale are harmless, other decimals are refused.
pub fn minor_of(decimal: Decimal, scale: u8) -> Result<i128, AmountError> {
    let decimal = match decimal.scale() > u32::from(scale) {
        true => decimal.normalize(),
        false => decimal,
    };
    let Some(missing) = u32::from(scale).checked_sub(decimal.scale()) else {
        return Err(AmountError::TooFine {
            got: decimal.scale(),
            scale,
        });
    };
    10_i128
        .checked_pow(missing)
        .and_then(|factor| decimal.mantissa().checked_mul(factor))
        .filter(|minor| within(*minor))
        .ok_or(AmountError::TooLarge)
}

/// `minor` minor units at `scale` as a decimal, exact.
///
/// # Panics
/// If `minor` is beyond ±[`MAX`], which no state or entry can hold.
pub fn decimal_of(minor: i128, scale: u8) -> Decimal {
    assert!(
        within(minor),
        "an amount beyond 28 digits cannot be printed"
    );
    Decimal::from_i128_with_scale(minor, u32::from(scale))
}

/// Whether a sum still fits.
pub fn within(minor: i128) -> bool {
    (-MAX..=MAX).contains(&minor)
}
