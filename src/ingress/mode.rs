//! Whether a request is made or only tried.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;

use super::edge::RequestId;
use super::error::Kind;
use super::problem::Problem;

/// Whether a request is only tried: `?dry_run=true`, and nothing else may be asked.
#[derive(Debug)]
pub struct Mode {
    pub dry_run: bool,
    /// The request's id.
    pub id: Arc<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DryRunQuery {
    #[serde(default)]
    dry_run: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Mode {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<DryRunQuery>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Problem::malformed("query", error.body_text()))?;
        let id = parts.extensions.get::<RequestId>();
        let missing = || Problem::new(Kind::Internal, "the request has no id");
        Ok(Self {
            dry_run: query.dry_run,
            id: id.ok_or_else(missing)?.0.clone(),
        })
    }
}

/// The reference of a trial that names none.
pub const UNNAMED: &str = "dry-run";

impl Mode {
    /// `reference`, or what stands for it where none is used.
    pub fn named<'r>(&self, reference: Option<&'r str>) -> Option<&'r str> {
        reference.or(self.dry_run.then_some(UNNAMED))
    }
}
