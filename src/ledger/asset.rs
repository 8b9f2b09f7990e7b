//! Assets carry their scale in their name, so two partitions can never disagree about it.

use std::fmt;

use super::amount::SCALE_MAX;

/// The longest asset code, in bytes.
pub const CODE_MAX: usize = 16;

/// `USD/2`: a code of 1 to 16 of `A-Z 0-9 _ . -` (a letter first) and a scale of 0 to 18.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asset {
    code: [u8; CODE_MAX],
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
        let mut fixed = [0; CODE_MAX];
        for (slot, byte) in fixed.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        let length = u8::try_from(bytes.len()).map_err(|_| AssetError::BadCode)?;
        Ok(Self {
            code: fixed,
            length,
            scale,
        })
    }

    pub fn code(&self) -> &str {
        let bytes = self
            .code
            .get(..usize::from(self.length))
            .unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Decimal places of one unit.
    pub fn scale(&self) -> u8 {
        self.scale
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code(), self.scale)
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

/// ISO 4217 active codes with their minor units (list one, as of 2026).
fn iso_scale(code: &str) -> Option<u8> {
    const ZERO: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
    const TWO: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD \
        BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB \
        EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR \
        KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR \
        MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK \
        SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU \
        UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";
    const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
    const FOUR: &str = "CLF UYW";
    let table = [(ZERO, 0), (TWO, 2), (THREE, 3), (FOUR, 4)];
    let listed = |codes: &str| codes.split_whitespace().any(|known| known == code);
    table
        .into_iter()
        .find(|(codes, _)| listed(codes))
        .map(|(_, scale)| scale)
}
