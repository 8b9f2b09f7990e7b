//! Closing a period as a client writes it, and what is closed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ledger::Command;
use crate::wire::Invalid;
use crate::wire::command::{ClosePeriodBody, CommandBody, Decoder, Kind};
use crate::wire::scalar::{Pairs, Str, Time};

/// Closes what takes effect before a time. It never opens again.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosePeriodRequest<'a> {
    /// Defaults to one made of the time, so that closing the same period twice is one transaction.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 128)]
    pub reference: Option<Str<'a>>,
    /// Nothing may take effect before that any more; no later than now.
    #[schema(value_type = String, format = DateTime, example = "2026-11-01T00:00:00Z")]
    pub before: Time,
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 256)]
    pub description: Option<Str<'a>>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub metadata: Option<Pairs<Str<'a>, Str<'a>>>,
}

/// What is closed of a ledger.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ClosedPeriod)]
pub struct ClosedPeriodView<'a> {
    /// `organization/ledger`.
    pub ledger: &'a str,
    /// In every partition, nothing may take effect before that any more; `null` if nothing is
    /// closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub before: Option<Time>,
    /// Always `cold`.
    #[schema(value_type = String)]
    pub source: &'static str,
    /// Every closing up to this moment is in it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Time>,
}

impl ClosePeriodRequest<'_> {
    /// The command this means for `ledger` under `reference`, or under one of its own.
    pub fn command(
        &self,
        ledger: &str,
        reference: Option<&str>,
        decoder: &mut Decoder,
    ) -> Result<Command, Invalid> {
        let own = format!("close-period:{}", self.before);
        let body = CommandBody {
            reference: Some(reference.unwrap_or(&own).into()),
            close_period: Some(ClosePeriodBody {
                before: self.before,
            }),
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
            ..CommandBody::new(Kind::ClosePeriod, ledger)
        };
        decoder.accept(&body, None, None).map_err(|mut invalid| {
            if let Some(field) = invalid.field.strip_prefix("close_period.") {
                invalid.field = field.to_owned();
            }
            invalid
        })
    }
}
