//! Answers: pages, and the results of a batch.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::balance_view::BalanceView;
use super::problem::ProblemBody;
use super::view::TransactionView;
use crate::wire::scalar::Time;

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Page)]
pub struct PageView<T> {
    pub data: Vec<T>,
    pub has_more: bool,
    /// The cursor of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Every change up to this moment is in it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Time>,
}

/// The results of a batch, in the order of its items.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchView<'a> {
    pub results: Vec<BatchResultView<'a>>,
}

/// What transactions would do, and nothing was done.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub struct DryRunView<'a> {
    /// Always `true`.
    pub dry_run: bool,
    /// One for each transaction, in order, each after the ones before it: 201 would be done, 422
    /// would be refused.
    #[schema(value_type = Vec<BatchResultView>)]
    pub results: Vec<Option<Box<RawValue>>>,
    /// The balances that are named, as they would be after all of it.
    pub balances: Vec<BalanceView<'a>>,
    /// When balances and holds were read: every change up to this moment is in all of them.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Time>,
}

/// What became of one item of a batch.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BatchResult)]
pub struct BatchResultView<'a> {
    /// What the status would have been, had it been posted by itself.
    pub status: u16,
    /// Absent if it cannot be read.
    #[schema(value_type = Option<String>)]
    pub reference: Option<&'a str>,
    /// It was decided before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TransactionView>)]
    pub transaction: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody<'a>>,
}
