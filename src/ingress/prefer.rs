//! `Prefer`: how long a caller wants to wait (RFC 7240).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

use super::header::{PREFER, unquoted};
use super::options::WAIT_MAX;
use super::problem::Problem;

/// How long a caller wants to wait (RFC 7240).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    pub respond_async: bool,
    /// Capped at [`WAIT_MAX`].
    pub wait: Option<Duration>,
}

impl Preference {
    /// Reads `Prefer`. Preferences that are unknown here are ignored; a `wait` that is no number
    /// of seconds is refused, since a caller that means something else would be misled.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut preference = Self::default();
        for line in headers.get_all(PREFER) {
            let line = line
                .to_str()
                .map_err(|_| Problem::malformed("Prefer", "is not ASCII"))?;
            for part in line.split(',') {
                // A preference may have parameters of its own; none is known.
                let part = part.split(';').next().unwrap_or_default().trim();
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                match name.trim().to_ascii_lowercase().as_str() {
                    "respond-async" if value.trim().is_empty() => preference.respond_async = true,
                    "respond-async" => {
                        return Err(Problem::malformed("Prefer", "respond-async takes no value"));
                    }
                    "wait" if preference.wait.is_none() => {
                        preference.wait = Some(seconds(value.trim())?);
                    }
                    _ => {}
                }
            }
        }
        Ok(preference)
    }

    /// How long to wait when the caller's own wish is `default`.
    pub fn patience(self, default: Duration) -> Duration {
        match (self.wait, self.respond_async) {
            (Some(wait), _) => wait,
            (None, true) => Duration::ZERO,
            (None, false) => default,
        }
    }

    /// The value of `Preference-Applied`: what of it was honoured in an answer that is `pending`
    /// or final.
    pub fn applied(self, pending: bool) -> Option<HeaderValue> {
        let text = match (self.wait, self.respond_async && pending) {
            (None, false) => return None,
            (None, true) => "respond-async".to_owned(),
            (Some(wait), false) => format!("wait={}", wait.as_secs()),
            (Some(wait), true) => format!("respond-async, wait={}", wait.as_secs()),
        };
        HeaderValue::try_from(text).ok()
    }
}

fn seconds(text: &str) -> Result<Duration, Problem> {
    let text = unquoted(text);
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    let refuse =
        || Problem::malformed("Prefer", "wait must be a number of seconds, such as wait=5");
    let number = digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(refuse)?;
    Ok(Duration::from_secs(number).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefer_is_parsed_strictly_and_capped() {
        let of =
            |text: &str| Preference::of(&HeaderMap::from_iter([(PREFER, text.parse().unwrap())]));
        let parsed = |respond_async, wait: Option<u64>| Preference {
            respond_async,
            wait: wait.map(Duration::from_secs),
        };
        assert_eq!(of("wait=5").unwrap(), parsed(false, Some(5)));
        assert_eq!(of("wait=\"5\"").unwrap(), parsed(false, Some(5)));
        assert_eq!(of("Respond-Async").unwrap(), parsed(true, None));
        assert_eq!(
            of("respond-async, wait=10").unwrap(),
            parsed(true, Some(10))
        );
        assert_eq!(
            of("wait=10;foo=bar, handling=lenient").unwrap(),
            parsed(false, Some(10))
        );
        assert_eq!(of("wait=900").unwrap(), parsed(false, Some(30)));
        assert_eq!(of("wait=1, wait=2").unwrap(), parsed(false, Some(1)));
        assert_eq!(of("return=minimal").unwrap(), parsed(false, None));
        for wrong in [
            "wait", "wait=", "wait=-1", "wait=1.5", "wait=5s", "wait=1e3",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(of("respond-async=true").is_err());
    }

    #[test]
    fn a_caller_that_says_nothing_waits_the_default() {
        let default = Duration::from_secs(5);
        assert_eq!(Preference::default().patience(default), default);
        let eager = Preference {
            respond_async: true,
            wait: None,
        };
        assert_eq!(eager.patience(default), Duration::ZERO);
        assert_eq!(eager.applied(true).unwrap(), "respond-async");
        assert_eq!(eager.applied(false), None);
    }
}
