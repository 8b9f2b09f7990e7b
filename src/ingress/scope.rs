//! Which ledgers an API key is for.

use anyhow::{Context, ensure};

/// `organization/ledger`, each of them or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    organization: Option<String>,
    ledger: Option<String>,
}

impl Scope {
    /// Every ledger there is.
    pub const ANY: Self = Self {
        organization: None,
        ledger: None,
    };

    /// # Errors
    /// Says what is not understood.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (organization, ledger) = text
            .split_once('/')
            .with_context(|| format!("scope {text} is not ORGANIZATION/LEDGER"))?;
        let part = |part: &str| {
            let plain = !part.is_empty() && !part.contains(['*', '/']);
            ensure!(
                part == "*" || plain,
                "scope {text}: a part is a name or * alone"
            );
            Ok((part != "*").then(|| part.to_owned()))
        };
        Ok(Self {
            organization: part(organization)?,
            ledger: part(ledger)?,
        })
    }

    /// Whether `canonical` (`organization/ledger`) is among them.
    pub fn covers(&self, canonical: &str) -> bool {
        let Some((organization, ledger)) = canonical.split_once('/') else {
            return false;
        };
        self.organization
            .as_deref()
            .is_none_or(|scope| scope == organization)
            && self.ledger.as_deref().is_none_or(|scope| scope == ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(scope: &str, ledger: &str) -> bool {
        Scope::parse(scope).unwrap().covers(ledger)
    }

    #[test]
    fn scopes_name_an_organization_and_a_ledger_or_any() {
        assert!(covers("acme/main", "acme/main"));
        assert!(covers("acme/*", "acme/other") && covers("*/main", "any/main"));
        assert!(covers("*/*", "any/thing"));
        assert!(!covers("acme/main", "acme/mainly") && !covers("acme/*", "acme2/main"));
        for wrong in ["", "acme", "acme/", "/main", "ac*/main", "acme/main/x"] {
            assert!(Scope::parse(wrong).is_err(), "{wrong}");
        }
    }
}
