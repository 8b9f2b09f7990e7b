//! Readiness as a set of named checks, each set by whoever knows.
//!
//! A check that was never set does not exist; one that is no longer anybody's is removed. The
//! process is ready while no check waits or has failed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    /// Works, without something it can do without for a while.
    Degraded(String),
    /// Cannot work until what it names is there.
    Waiting(String),
    /// Has stopped and will not go on by itself.
    Failed(String),
}

impl State {
    pub fn waiting(what: impl Into<String>) -> Self {
        Self::Waiting(what.into())
    }

    pub fn degraded(what: impl Into<String>) -> Self {
        Self::Degraded(what.into())
    }

    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    pub fn is_ready(&self) -> bool {
        match self {
            Self::Ok | Self::Degraded(_) => true,
            Self::Waiting(_) | Self::Failed(_) => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Degraded(what) => write!(f, "degraded: {what}"),
            Self::Waiting(what) => write!(f, "waiting: {what}"),
            Self::Failed(what) => write!(f, "failed: {what}"),
        }
    }
}

/// Tells readiness from where it is not known who listens: a check's name, and what it says.
pub type Report = Arc<dyn Fn(&str, State) + Send + Sync>;

/// A handle on the checks of this process.
#[derive(Clone, Debug, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<String, State>>>,
}

impl Health {
    /// Sets a check, and logs it when it changes between ready and not.
    pub fn set(&self, check: impl Into<String>, state: State) {
        let check = check.into();
        let before = self.lock().insert(check.clone(), state.clone());
        if before.is_none_or(|before| before.is_ready()) != state.is_ready() {
            tracing::info!(check, status = %state, "readiness changed");
        }
    }

    /// Lets others set checks.
    pub fn reporter(&self) -> Report {
        let health = self.clone();
        Arc::new(move |check, state| health.set(check, state))
    }

    pub fn remove(&self, check: &str) {
        self.lock().remove(check);
    }

    pub fn is_ready(&self) -> bool {
        self.lock().values().all(State::is_ready)
    }

    /// Every check, by name.
    pub fn checks(&self) -> BTreeMap<String, State> {
        self.lock().clone()
    }

    /// A panic elsewhere leaves the map whole: every change is one insertion or removal.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_while_no_check_waits_or_has_failed() {
        let health = Health::default();
        assert!(health.is_ready());
        health.set("redis", State::degraded("redis is down"));
        assert!(health.is_ready());
        let other = health.clone();
        other.set("partition-3", State::waiting("postgres"));
        assert!(!health.is_ready());
        assert_eq!(
            health.checks()["partition-3"].to_string(),
            "waiting: postgres"
        );
        other.remove("partition-3");
        assert!(health.is_ready());
        other.set("partition-3", State::failed("a broken invariant"));
        assert!(!health.is_ready());
    }
}
