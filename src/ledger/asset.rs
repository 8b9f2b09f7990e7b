//! Assets carry their scale in their name, so two partitions can never disagree about it.

use std::fmt;

use super::amount::SCALE_MAX;

/// The longest asset code, in bytes.
pub const CODE_MAX: usize = 16;

/// The longest name: a code, a slash and two digits.
const NAME_MAX: usize = CODE_MAX + 3;

/// `USD/2`: a code of 1 to 16 of `A-Z 0-9 _ . -` (a letter first) and a scale of 0 to 18.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asset {
    /// The name, then zeros.
    name: [u8; NAME_MAX],
    length: u8,
    scale: u8,
}

/// Why a text is not an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    #[error(
        "must be CODE/SCALE such as \"BTC/8\": a code of 1 to 16 of A-Z 0-9 _ . -, letter first"
    )]
    BadCode,
    #[error("has a scale that is not a number from 0 to 18")]
    BadScale,
    #[error("names no scale and is no ISO 4217 code; write CODE/SCALE such as \"BTC/8\"")]
    UnknownBareCode,
}

impl Asset {
    /// Reads `CODE/SCALE`; a bare ISO 4217 code is read as its usual scale.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let (code, scale) = match text.split_once('/') {
            Some((code, scale)) => (code, parse_scale(scale)?),
            None => (text, iso_scale(text).ok_or(AssetError::UnknownBareCode)?),
        };
        let bytes = code.as_bytes();
        let tail =
            |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_.-".contains(byte);
        let first = bytes.first().is_some_and(u8::is_ascii_uppercase);
        if !first || bytes.len() > CODE_MAX || !bytes.iter().all(tail) {
            return Err(AssetError::BadCode);
        }
        let digits = [
            b'0'.saturating_add(scale / 10),
            b'0'.saturating_add(scale % 10),
        ];
        let digits = digits.get(usize::from(scale < 10)..).unwrap_or_default();
        let mut name = [0; NAME_MAX];
        let mut length = 0_u8;
        for (slot, byte) in name.iter_mut().zip(bytes.iter().chain(b"/").chain(digits)) {
            *slot = *byte;
            length = length.saturating_add(1);
        }
        Ok(Self {
            name,
            length,
            scale,
        })
    }

    /// The name as it is written, `USD/2`.
    pub fn as_str(&self) -> &str {
        let name = self.name.get(..usize::from(self.length));
        std::str::from_utf8(name.unwrap_or_default()).unwrap_or_default()
    }

    pub fn code(&self) -> &str {
        self.as_str()
            .split_once('/')
            .map_or_else(Default::default, |(code, _)| code)
    }

    /// Decimal places of one unit.
    pub fn scale(&self) -> u8 {
        self.scale
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_scale(text: &str) -> Result<u8, AssetError> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u8>() {
        Ok(scale) if canonical && digits && scale <= SCALE_MAX => Ok(scale),
        Ok(_) | Err(_) => Err(AssetError::BadScale),
    }
}

// ISO 4217 active codes with their minor units (list one, as of 2026). Each list is in order, a
// code and a blank at a time, to be searched by halves.
const ZERO: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF ";
const TWO: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD \
    BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB \
    EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR \
    KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR \
    MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK \
    SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU \
    UZS VED VES WST XCD XCG YER ZAR ZMW ZWG ";
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND ";
const FOUR: &str = "CLF UYW ";

/// The usual scale of an ISO 4217 code.
fn iso_scale(code: &str) -> Option<u8> {
    let listed = |codes: &str| {
        let (codes, _) = codes.as_bytes().as_chunks::<4>();
        let searched = codes.binary_search_by(|known| known[..3].cmp(code.as_bytes()));
        searched.is_ok()
    };
    let table = [(TWO, 2), (ZERO, 0), (THREE, 3), (FOUR, 4)];
    let found = table.into_iter().find(|(codes, _)| listed(codes));
    found.map(|(_, scale)| scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_iso_lists_can_be_searched_by_halves() {
        let mut count = 0;
        for list in [ZERO, TWO, THREE, FOUR] {
            let codes: Vec<&str> = list.split_whitespace().collect();
            assert!(codes.is_sorted() && codes.iter().all(|code| code.len() == 3));
            assert_eq!(list.len(), codes.len() * 4, "a blank after every code");
            assert!(codes.iter().all(|code| Asset::parse(code).is_ok()));
            count += codes.len();
        }
        assert_eq!(count, 164);
    }
}
