//! Headers that mean something, parsed strictly.

use axum::http::{HeaderMap, HeaderName, header};
use uuid::Uuid;

use super::problem::Problem;
use crate::wire::http::request::no_version;
use crate::wire::{Invalid, InvalidKind};

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest request id that is taken over.
const REQUEST_ID_MAX: usize = 128;

/// What stands between quotes, or the whole.
pub fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}

/// One value of a header that may stand once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut lines = headers.get_all(name).iter();
    let Some(value) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Problem::malformed(name.as_str(), "stands more than once"));
    }
    let text = value
        .to_str()
        .map_err(|_| Problem::malformed(name.as_str(), "is not ASCII"))?;
    Ok(Some(text.trim()))
}

/// The version of `If-Match: "17"`.
pub fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(text) = single(headers, &header::IF_MATCH)? else {
        return Ok(None);
    };
    let digits = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(version) => Ok(Some(version)),
        None => {
            let detail = "must be one version of the balance in quotes, such as \"17\"";
            Err(Problem::malformed("If-Match", detail))
        }
    }
}

/// Refuses `If-Match` where no version is compared.
pub fn no_if_match(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(header::IF_MATCH) {
        true => Err(no_version().into()),
        false => Ok(()),
    }
}

/// Whether `If-None-Match` names `version`.
pub fn none_match(headers: &HeaderMap, version: u64) -> bool {
    let etag = format!("\"{version}\"");
    let lines = headers.get_all(header::IF_NONE_MATCH).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|part| {
            let part = part.trim();
            part == "*" || part.strip_prefix("W/").unwrap_or(part) == etag
        })
}

/// The reference of a request: of its body, of its `Idempotency-Key`, or of both if they agree.
pub fn reference<'a>(
    headers: &'a HeaderMap,
    body: Option<&'a str>,
) -> Result<Option<&'a str>, Problem> {
    let key = single(headers, &IDEMPOTENCY_KEY)?.map(unquoted);
    match (body, key) {
        (Some(body), Some(key)) if body != key => {
            let detail = "and the header Idempotency-Key differ; give one, or the same in both";
            Err(Invalid::new(InvalidKind::InvalidReference, "reference", detail).into())
        }
        (Some(reference), _) | (None, Some(reference)) => Ok(Some(reference)),
        (None, None) => Ok(None),
    }
}

/// The caller's request id if it is plain, else a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    match given {
        Some(id) if (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(fits) => {
            id.to_owned()
        }
        Some(_) | None => Uuid::new_v4().as_simple().to_string(),
    }
}

/// The caller's trace context if it is well formed, else the start of a new trace.
pub fn traceparent(headers: &HeaderMap) -> String {
    let given = headers
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok());
    match given.filter(|text| is_traceparent(text)) {
        Some(text) => text.to_owned(),
        None => {
            let (high, low) = Uuid::new_v4().as_u64_pair();
            let (span, _) = Uuid::new_v4().as_u64_pair();
            format!("00-{high:016x}{low:016x}-{span:016x}-00")
        }
    }
}

fn is_traceparent(text: &str) -> bool {
    let lower = |part: &str, length: usize| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == length && part.bytes().all(hex)
    };
    let parts: Vec<&str> = text.split('-').collect();
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    match parts[..] {
        [version, trace, span, flags] => {
            lower(version, 2)
                && version != "ff"
                && lower(trace, 32)
                && !zero(trace)
                && lower(span, 16)
                && !zero(span)
                && lower(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = lines
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn if_match_takes_one_strong_version() {
        let of = |text: &str| if_match(&headers(&[(header::IF_MATCH, text)]));
        assert_eq!(of("\"17\"").unwrap(), Some(17));
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        for wrong in [
            "17",
            "\"\"",
            "\"x\"",
            "*",
            "W/\"17\"",
            "\"17\", \"18\"",
            "\"-1\"",
            "\"+1\"",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let twice = headers(&[(header::IF_MATCH, "\"1\""), (header::IF_MATCH, "\"1\"")]);
        assert!(if_match(&twice).is_err());
        assert_eq!(no_if_match(&twice).unwrap_err().field, "If-Match");
        assert!(no_if_match(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let matches = |text: &str| none_match(&headers(&[(header::IF_NONE_MATCH, text)]), 17);
        assert!(
            matches("\"17\"") && matches("W/\"17\"") && matches("\"16\", \"17\"") && matches("*")
        );
        assert!(!matches("\"1\"") && !matches("17") && !none_match(&HeaderMap::new(), 17));
    }

    #[test]
    fn the_idempotency_key_is_an_alias_of_the_reference() {
        let with = |key: &str, body: Option<&'static str>| {
            let headers = headers(&[(IDEMPOTENCY_KEY, key)]);
            reference(&headers, body)
                .map(|found| found.map(str::to_owned))
                .map_err(|p| p.kind)
        };
        assert_eq!(with("r-1", None), Ok(Some("r-1".to_owned())));
        assert_eq!(with("\"r-1\"", None), Ok(Some("r-1".to_owned())));
        assert_eq!(with("\"r-1\"", Some("r-1")), Ok(Some("r-1".to_owned())));
        assert!(with("r-2", Some("r-1")).is_err());
        assert_eq!(
            reference(&HeaderMap::new(), Some("r-1")).unwrap(),
            Some("r-1")
        );
        assert_eq!(reference(&HeaderMap::new(), None).unwrap(), None);
    }

    #[test]
    fn a_request_id_is_taken_over_only_if_plain() {
        let of = |text: &str| request_id(&headers(&[(REQUEST_ID, text)]));
        assert_eq!(of("a-1.b:c_d"), "a-1.b:c_d");
        for wrong in ["", "a b", "a\"b", "x".repeat(129).as_str()] {
            assert_eq!(of(wrong).len(), 32, "{wrong}");
        }
    }

    #[test]
    fn a_broken_trace_is_replaced() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(&headers(&[(TRACEPARENT, good)])), good);
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for wrong in [
            "",
            "00-xyz",
            zeros,
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            let made = traceparent(&headers(&[(TRACEPARENT, wrong)]));
            assert!(is_traceparent(&made), "{made}");
            assert_ne!(made, wrong);
        }
    }
}
