//! Numbers, assets and times as clients write them.

use chrono::DateTime;

/// Currencies of ISO 4217 that do not have two decimals, by how many they have.
const SCALES: [(&str, &[&str]); 3] = [
    (
        "0",
        &[
            "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI",
            "VND", "VUV", "XAF", "XOF", "XPF",
        ],
    ),
    ("3", &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]),
    ("4", &["CLF", "UYW"]),
];

/// The name of an asset with its scale.
pub(super) fn asset(text: &str) -> String {
    if text.contains('/') {
        return text.to_owned();
    }
    let listed = SCALES.iter().find(|(_, codes)| codes.contains(&text));
    format!("{text}/{}", listed.map_or("2", |(scale, _)| *scale))
}

/// Minor units of an amount of `asset`, which is named with its scale: `12.5` of `USD/2` is 1250.
pub(super) fn minor(text: &str, asset: &str) -> Result<i128, String> {
    let scale = asset.rsplit('/').next().unwrap_or_default();
    let scale: usize = scale.parse().map_err(|_| format!("{asset} has no scale"))?;
    units(text, scale)
}

/// The number without its point, at so many decimals.
pub(super) fn units(text: &str, decimals: usize) -> Result<i128, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > decimals {
        return Err(format!("{text} has more than {decimals} decimals"));
    }
    let digits = format!("{whole}{fraction:0<decimals$}");
    digits.parse().map_err(|_| format!("{text} is no number"))
}

/// `15m` is 900.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("{text} is no span of time")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text} is no span"))?;
    Ok(number * unit)
}

/// Milliseconds since 1970.
pub(super) fn millis(text: &str) -> Result<i64, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_millis())
        .map_err(|_| format!("{text} is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_their_scale() {
        let read = |text: &str, name: &str| minor(text, &asset(name));
        assert_eq!(read("12.5", "USD"), Ok(1250));
        assert_eq!(read("12.500", "USD/2"), Ok(1250));
        assert_eq!(read("-0.05", "EUR"), Ok(-5));
        assert_eq!(read("7", "JPY"), Ok(7));
        assert_eq!(read("0.001", "KWD"), Ok(1));
        assert!(read("0.001", "USD").is_err() && read("1e3", "USD").is_err());
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(millis("1970-01-01T01:00:01+01:00"), Ok(1000));
    }
}
