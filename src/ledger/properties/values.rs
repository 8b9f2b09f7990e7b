//! Amounts, assets, ids and routes against numbers computed by hand.

use proptest::prelude::*;
use uuid::Uuid;

use crate::ledger::amount::{self, AmountError, MAX, SCALE_MAX};
use crate::ledger::asset::{Asset, AssetError};
use crate::ledger::route::{murmur2, partition_of_key};
use crate::ledger::{Amount, BalanceId, TransactionId, partition_of};

/// `text` in minor units at `scale`, digit by digit; `None` where it must be refused.
fn minor_by_hand(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = usize::from(scale);
    let (kept, dropped) = fraction.split_at(places.min(fraction.len()));
    if dropped.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let padding = "0".repeat(places - kept.len());
    let mut minor = 0_i128;
    for digit in whole.bytes().chain(kept.bytes()).chain(padding.bytes()) {
        minor = minor
            .checked_mul(10)?
            .checked_add(i128::from(digit - b'0'))?;
    }
    (minor <= MAX).then_some(if negative { -minor } else { minor })
}

/// Minor units at `scale` as text, digit by digit.
fn text_by_hand(minor: i128, scale: u8) -> String {
    let places = usize::from(scale);
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if minor < 0 { "-" } else { "" };
    let point = if places > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

fn parse(text: &str, scale: u8) -> Result<i128, AmountError> {
    amount::minor_of(amount::parse(text)?, scale)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_amount_is_read_as_by_hand(
        // at most 28 digits, which is what a decimal holds before its zeros are dropped
        text in "-?(0{0,3}[0-9]{1,14}(\\.[0-9]{1,11})?|[0-9]{1,3}\\.[0-9]{1,22})",
        scale in 0..=SCALE_MAX,
    ) {
        prop_assert_eq!(parse(&text, scale).ok(), minor_by_hand(&text, scale), "{}", text);
    }

    #[test]
    fn an_amount_is_printed_as_by_hand_and_read_back(minor in -MAX..=MAX, scale in 0..=SCALE_MAX) {
        let text = amount::decimal_of(minor, scale).to_string();
        prop_assert_eq!(&text, &text_by_hand(minor, scale));
        prop_assert_eq!(parse(&text, scale), Ok(minor));
    }

    #[test]
    fn no_text_is_read_as_an_amount_by_surprise(text in "[-+ 0-9.eE_,xNa]{0,12}") {
        let plain = text.strip_prefix('-').unwrap_or(&text);
        let parts: Vec<&str> = plain.split('.').collect();
        let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let decimal = parts.len() <= 2 && parts.iter().all(digits);
        prop_assert_eq!(amount::parse(&text).is_ok(), decimal, "{}", text);
    }

    #[test]
    fn an_asset_is_read_back(code in "[A-Z][A-Z0-9_.-]{0,15}", scale in 0..=SCALE_MAX) {
        let text = format!("{code}/{scale}");
        let asset = Asset::parse(&text).unwrap();
        prop_assert_eq!((asset.code(), asset.scale()), (code.as_str(), scale));
        prop_assert_eq!(asset.to_string(), text);
    }

    #[test]
    fn any_text_is_an_asset_or_refused(text in "\\PC{0,24}") {
        if let Ok(asset) = Asset::parse(&text) {
            prop_assert_eq!(Asset::parse(&asset.to_string()), Ok(asset));
        }
    }

    #[test]
    fn a_transaction_id_holds_its_home_and_offset(
        home: u16,
        offset in 0_u64..1 << 60,
        generation: u128,
    ) {
        let id = TransactionId::new(home, offset, Uuid::from_u128(generation));
        prop_assert_eq!((id.home(), id.offset()), (home, offset));
        prop_assert_eq!(TransactionId::from_uuid(id.uuid()), Some(id));
        prop_assert_eq!(id.uuid().get_version_num(), 8);
        let other = TransactionId::new(home, offset, Uuid::from_u128(generation ^ 1));
        prop_assert_ne!(id, other, "another log, another transaction");
    }

    #[test]
    fn murmur2_is_as_in_the_java_client(key in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(murmur2(&key), murmur2_by_the_book(&key));
    }

    #[test]
    fn a_balance_is_where_its_text_is(id: u128, count in 1_u16..200) {
        let id = BalanceId::new(Uuid::from_u128(id));
        let text = id.to_string();
        prop_assert_eq!(partition_of(id, count), partition_of_key(text.as_bytes(), count));
        let positive = murmur2_by_the_book(text.as_bytes()) & 0x7fff_ffff;
        prop_assert_eq!(u32::from(partition_of(id, count)), positive % u32::from(count));
    }
}

/// With the shifts and the switch of its description.
fn murmur2_by_the_book(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let byte = |at: usize| u32::from(data[at]);
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    for at in (0..data.len() / 4 * 4).step_by(4) {
        let word = byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16 | byte(at + 3) << 24;
        let word = word.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ word >> 24).wrapping_mul(M);
    }
    let tail = data.len() / 4 * 4;
    if data.len() % 4 == 3 {
        hash ^= byte(tail + 2) << 16;
    }
    if data.len() % 4 >= 2 {
        hash ^= byte(tail + 1) << 8;
    }
    if data.len() % 4 >= 1 {
        hash = (hash ^ byte(tail)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[test]
fn amounts_at_their_bounds() {
    let nines = "9".repeat(28);
    let cases: [(&str, u8, Result<i128, AmountError>); 19] = [
        ("0", 2, Ok(0)),
        ("-0", 2, Ok(0)),
        ("-0.00", 2, Ok(0)),
        ("12.5", 2, Ok(1250)),
        ("12.500", 2, Ok(1250)),
        ("0012.50", 2, Ok(1250)),
        ("12.501", 2, Err(AmountError::TooFine { got: 3, scale: 2 })),
        ("0.1", 0, Err(AmountError::TooFine { got: 1, scale: 0 })),
        (&nines, 0, Ok(MAX)),
        (&nines, 1, Err(AmountError::TooLarge)),
        (
            "10000000000000000000000000000",
            0,
            Err(AmountError::TooLarge),
        ),
        ("-9999999999999999999999999999", 0, Ok(-MAX)),
        (
            "1.0000000000000000000000000000",
            2,
            Err(AmountError::TooLarge),
        ),
        ("", 2, Err(AmountError::NotDecimal)),
        ("-", 2, Err(AmountError::NotDecimal)),
        ("1.", 2, Err(AmountError::NotDecimal)),
        (".5", 2, Err(AmountError::NotDecimal)),
        ("1e3", 2, Err(AmountError::NotDecimal)),
        ("+1", 2, Err(AmountError::NotDecimal)),
    ];
    for (text, scale, expected) in cases {
        assert_eq!(parse(text, scale), expected, "{text} at {scale}");
    }
    assert_eq!(Amount::new(0), Err(AmountError::NotPositive));
    assert_eq!(Amount::new(-1), Err(AmountError::NotPositive));
    assert_eq!(Amount::new(MAX).map(Amount::minor), Ok(MAX));
    assert_eq!(Amount::new(MAX + 1), Err(AmountError::TooLarge));
}

#[test]
fn bare_iso_codes_have_their_usual_scale() {
    // the first, the last and one between of every list
    let known = [
        ("AED", 2),
        ("USD", 2),
        ("ZWG", 2),
        ("BIF", 0),
        ("JPY", 0),
        ("XPF", 0),
        ("BHD", 3),
        ("KWD", 3),
        ("TND", 3),
        ("CLF", 4),
        ("UYW", 4),
    ];
    for (code, scale) in known {
        let asset = Asset::parse(code).unwrap();
        assert_eq!(Asset::parse(&format!("{code}/{scale}")), Ok(asset));
    }
    let cases = [
        ("BTC", AssetError::UnknownBareCode),
        ("AED ", AssetError::UnknownBareCode),
        ("US", AssetError::UnknownBareCode),
        ("D U", AssetError::UnknownBareCode),
        ("usd", AssetError::UnknownBareCode),
        ("", AssetError::UnknownBareCode),
        ("/2", AssetError::BadCode),
        ("usd/2", AssetError::BadCode),
        ("1USD/2", AssetError::BadCode),
        ("ABCDEFGHIJKLMNOPQ/2", AssetError::BadCode),
        ("É/2", AssetError::BadCode),
        ("USD/", AssetError::BadScale),
        ("USD/02", AssetError::BadScale),
        ("USD/+2", AssetError::BadScale),
        ("USD/19", AssetError::BadScale),
        ("USD/256", AssetError::BadScale),
        ("USD/2/2", AssetError::BadScale),
    ];
    for (text, error) in cases {
        assert_eq!(Asset::parse(text), Err(error), "{text}");
    }
}
