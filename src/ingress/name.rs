//! What a request names in its path: text without control characters, or a problem that says so.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::problem::Problem;

/// The one name in a path, percent-decoded.
#[derive(Debug)]
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|error| Problem::malformed("path", error.body_text()))?;
        match name.chars().any(char::is_control) {
            true => Err(Problem::malformed(
                "path",
                "must be without control characters",
            )),
            false => Ok(Self(name)),
        }
    }
}
