//! Problems: every error's body (RFC 9457).

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::view::TransactionView;

/// What went wrong, and whether to try again.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// `/problems/<slug>`; the slug is stable.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every occurrence.
    pub title: &'a str,
    pub status: u16,
    pub detail: String,
    /// The request's id.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub instance: &'a str,
    /// Path of the field that was refused.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field: &'a str,
    /// `never`: change the request. `same-reference`: send the very same request again.
    /// `new-reference`: the refusal depended on the state of the balances and is final for this
    /// reference.
    pub retry: &'static str,
    /// The transaction, if it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TransactionView>)]
    pub transaction: Option<&'a RawValue>,
}
