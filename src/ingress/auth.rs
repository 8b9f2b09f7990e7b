//! Who calls, and which ledgers they may read and write.
//!
//! Keys are known by their hash only, and compared in constant time. A ledger outside a key's
//! scopes does not exist for its reader (404), and may not be written (403).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::http::{HeaderMap, header};
use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use std::num::NonZeroU32;
use subtle::ConstantTimeEq;

use super::error::Kind;
use super::header::API_KEY;
use super::options::Options;
use super::problem::Problem;
use super::scope::Scope;
use crate::wire::Hex;

/// Everybody who may call.
#[derive(Debug)]
pub struct Keys {
    /// Absent: everybody may do everything.
    keys: Option<Vec<(Hex<32>, Arc<Caller>)>>,
    anybody: Arc<Caller>,
    burst: NonZeroU32,
}

/// One who calls.
pub struct Caller {
    pub name: String,
    scopes: Vec<Scope>,
    permission: Permission,
    limiter: Option<DefaultDirectRateLimiter>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a key may do in its ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    Read,
    Write,
    /// Writes, and forces reversals below a balance's floor.
    Force,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    keys: Vec<KeyLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    name: String,
    hash: Hex<32>,
    scopes: Vec<String>,
    permission: Permission,
}

impl Keys {
    /// Reads the keys that `options` names.
    ///
    /// # Errors
    /// If the file cannot be read or says something that is not understood.
    pub fn load(options: &Options) -> anyhow::Result<Self> {
        let limiter = |options: &Options| {
            let rate = NonZeroU32::new(options.quota_rate)?;
            let quota = Quota::per_second(rate).allow_burst(options.quota_burst);
            Some(RateLimiter::direct(quota))
        };
        let keys = match &options.api_keys_file {
            None => None,
            Some(path) => {
                let lines =
                    read(path).with_context(|| format!("API keys in {}", path.display()))?;
                let keys = lines.into_iter().map(|line| caller(line, limiter(options)));
                Some(keys.collect::<anyhow::Result<Vec<_>>>()?)
            }
        };
        let anybody = Arc::new(Caller {
            name: "anybody".to_owned(),
            scopes: vec![Scope::ANY],
            permission: Permission::Force,
            limiter: limiter(options),
        });
        Ok(Self {
            keys,
            anybody,
            burst: options.quota_burst,
        })
    }

    /// Who sent `headers`.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let Some(keys) = &self.keys else {
            return Ok(self.anybody.clone());
        };
        let key = presented(headers).ok_or_else(|| {
            let detail = "give it as Authorization: Bearer KEY, or as X-API-Key";
            Problem::new(Kind::Unauthenticated, detail)
        })?;
        let hash = blake3::hash(key.as_bytes());
        // Every key is looked at, so the time taken says nothing about any of them.
        let mut found = None;
        for (known, caller) in keys {
            if bool::from(known.0.ct_eq(hash.as_bytes())) {
                found = Some(caller);
            }
        }
        found
            .cloned()
            .ok_or_else(|| Problem::new(Kind::Unauthenticated, "the API key is unknown"))
    }

    /// Counts `requests` of `caller` against its quota. More than a burst count as a burst.
    pub fn charge(&self, caller: &Caller, requests: usize) -> Result<(), Problem> {
        let Some(limiter) = &caller.limiter else {
            return Ok(());
        };
        let requests = u32::try_from(requests)
            .unwrap_or(u32::MAX)
            .min(self.burst.get());
        let requests = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
        match limiter.check_n(requests) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(early)) => {
                let wait = early.wait_time_from(governor::clock::DefaultClock::default().now());
                let seconds = wait.as_secs().saturating_add(1);
                let detail = "more requests than the key's quota per second and burst";
                Err(Problem::new(Kind::RateLimited, detail).with_retry_after(seconds))
            }
        }
    }
}

impl Caller {
    /// Whether the caller may read `ledger` (`organization/ledger`).
    pub fn reads(&self, ledger: &str) -> bool {
        self.scopes.iter().any(|scope| scope.covers(ledger))
    }

    /// Refuses a caller that may not write `ledger`.
    pub fn may_write(&self, ledger: &str) -> Result<(), Problem> {
        let detail = match (self.reads(ledger), self.permission) {
            (true, Permission::Write | Permission::Force) => return Ok(()),
            (true, Permission::Read) => format!("the key may only read {ledger}"),
            (false, _) => format!("the key has no scope for {ledger}"),
        };
        Err(Problem::new(Kind::Forbidden, detail))
    }

    /// Refuses a caller that may not force a reversal in `ledger`.
    pub fn may_force(&self, ledger: &str) -> Result<(), Problem> {
        self.may_write(ledger)?;
        match self.permission {
            Permission::Force => Ok(()),
            Permission::Read | Permission::Write => {
                let detail = "the key may not force; its permission would have to be force";
                Err(Problem::new(Kind::Forbidden, detail))
            }
        }
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    bearer
        .or_else(|| headers.get(API_KEY)?.to_str().ok())
        .filter(|key| !key.is_empty())
}

fn read(path: &Path) -> anyhow::Result<Vec<KeyLine>> {
    let text = std::fs::read_to_string(path)?;
    let json = path.extension().is_some_and(|ending| ending == "json");
    let file: KeysFile = match json {
        true => serde_json::from_str(&text)?,
        false => toml::from_str(&text)?,
    };
    ensure!(!file.keys.is_empty(), "there is no key in it");
    Ok(file.keys)
}

fn caller(
    line: KeyLine,
    limiter: Option<DefaultDirectRateLimiter>,
) -> anyhow::Result<(Hex<32>, Arc<Caller>)> {
    let scopes = line
        .scopes
        .iter()
        .map(|text| Scope::parse(text))
        .collect::<anyhow::Result<_>>();
    let scopes: Vec<_> = scopes.with_context(|| format!("key {}", line.name))?;
    ensure!(!scopes.is_empty(), "key {} has no scope", line.name);
    let caller = Caller {
        name: line.name,
        scopes,
        permission: line.permission,
        limiter,
    };
    Ok((line.hash, Arc::new(caller)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(permission: &str, rate: u32) -> Keys {
        let hash = hex::encode(blake3::hash(b"open sesame").as_bytes());
        let file = format!(
            "[[keys]]\nname = \"one\"\nhash = \"{hash}\"\nscopes = [\"acme/*\"]\n\
             permission = \"{permission}\"\n"
        );
        let file: KeysFile = toml::from_str(&file).unwrap();
        let quota = NonZeroU32::new(rate).map(|rate| RateLimiter::direct(Quota::per_second(rate)));
        let line = file.keys.into_iter().next().unwrap();
        let known = caller(line, quota).unwrap();
        let anybody = known.1.clone();
        Keys {
            keys: Some(vec![known]),
            anybody,
            burst: NonZeroU32::new(rate.max(1)).unwrap(),
        }
    }

    fn bearing(key: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::AUTHORIZATION,
            format!("Bearer {key}").parse().unwrap(),
        )])
    }

    #[test]
    fn a_key_is_known_by_its_hash() {
        let keys = keys("write", 0);
        let caller = keys.caller(&bearing("open sesame")).unwrap();
        assert!(caller.may_write("acme/main").is_ok());
        assert_eq!(
            caller.may_write("other/main").unwrap_err().kind,
            Kind::Forbidden
        );
        for headers in [HeaderMap::new(), bearing("open sesam"), bearing("")] {
            assert_eq!(
                keys.caller(&headers).unwrap_err().kind,
                Kind::Unauthenticated
            );
        }
        let other = HeaderMap::from_iter([(API_KEY, "open sesame".parse().unwrap())]);
        assert!(keys.caller(&other).is_ok());
    }

    #[test]
    fn a_reading_key_does_not_write() {
        let keys = keys("read", 0);
        let caller = keys.caller(&bearing("open sesame")).unwrap();
        assert!(caller.reads("acme/main"));
        assert_eq!(
            caller.may_write("acme/main").unwrap_err().kind,
            Kind::Forbidden
        );
    }

    #[test]
    fn a_quota_counts_the_items_of_a_batch() {
        let keys = keys("write", 10);
        let caller = keys.caller(&bearing("open sesame")).unwrap();
        assert!(keys.charge(&caller, 9).is_ok());
        let refused = keys.charge(&caller, 9).unwrap_err();
        assert_eq!(refused.kind, Kind::RateLimited);
        assert!(
            refused
                .retry_after_seconds
                .is_some_and(|seconds| seconds >= 1)
        );
    }
}
