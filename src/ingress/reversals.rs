//! Reversals: a transaction moved back by its reference, whole or in part.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::answer::{Form, answer_to};
use super::auth::Caller;
use super::context::Context;
use super::decided::Decided;
use super::error::{Class, Kind as ProblemKind};
use super::header;
use super::lookup::Found;
use super::mode::Mode;
use super::name::Name;
use super::originals::Reads;
use super::prefer::Preference;
use super::problem::Problem;
use super::submit::Settled;
use crate::cold::transaction;
use crate::ledger::walk::Walk;
use crate::ledger::{Body as Intent, PartitionId, TransactionId, partition_of};
use crate::wire::command::{CommandBody, Kind};
use crate::wire::http::request::{accept, client_reference, parse};
use crate::wire::http::{
    DryRunView, KnownOriginal, ProblemBody, ReversePart, ReverseRequest, TransactionRequest,
    TransactionView,
};

/// Reverse a transaction
///
/// Moves back what it has moved: `amount` of it, as often as something is left, or all that is
/// left; of a hold, what was posted of it. A transaction of its own, with a reference of its own,
/// and refused where the money is gone, unless it is forced. The original is known for the dedupe
/// horizon, and its command has to be on the log still.
#[utoipa::path(
    post, path = "/v1/transactions/{reference}/reverse", tag = "transactions",
    params(
        ("reference" = String, Path, description = "of the transaction to reverse, percent-encoded"),
        ("Idempotency-Key" = Option<String>, Header, description = "alias of the body's `reference`"),
        ("If-Match" = Option<String>, Header, description = "the version of the original's first source; another one is 412"),
        ("Prefer" = Option<String>, Header, description = "as for a transaction"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries it"),
    ),
    request_body(content = ReverseRequest),
    responses(
        (status = 200, description = "of a dry run: what would happen", body = DryRunView),
        (status = 201, description = "reversed, and final", body = TransactionView),
        (status = 202, description = "on the log, and not decided within the wait", body = TransactionView),
        (status = 403, description = "the API key may not force", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no transaction of this reference is known", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the transaction is not decided yet: send this again in a moment", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "its command is not on the log any more", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "rejected: more than what is left, or the money is gone", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn reverse(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    Name(of): Name,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let preference = Preference::of(&headers)?;
    let if_match = header::if_match(&headers)?;
    let bytes = context.json(&headers, body).await?;
    let request: ReverseRequest<'_> = parse(&bytes)?;
    let reference = header::reference(&headers, request.reference.as_deref())?;
    if let Some(reference) = reference {
        client_reference(reference, 0)?;
    }
    let part = request.part(&of);
    let reads = Reads::default();
    let before = reference.filter(|_| !mode.dry_run);
    let original = context
        .original(&caller, &request.ledger, &part, before, &reads)
        .await?;
    let form = Form {
        applied: Class::Created,
        location: None,
        precondition: if_match.is_some(),
        preference,
    };
    let original = match original {
        Original::Known(original) => original,
        Original::Reversed(before) => return Ok(context.again(*before, form)),
    };
    let body = CommandBody {
        reference: mode.named(reference).map(Into::into),
        reverse: Some(part.body(&original)?),
        expect: request.expect.clone(),
        effective_at: request.effective_at,
        description: request.description.as_deref().map(Into::into),
        metadata: request.metadata.clone(),
        ..CommandBody::new(Kind::Reverse, &request.ledger)
    };
    let command = context
        .decode(|decoder| accept(body, if_match, decoder))
        .map_err(|mut invalid| {
            if let Some(field) = invalid.field.strip_prefix("reverse.") {
                invalid.field = field.to_owned();
            }
            invalid
        })?;
    context
        .carry_out((&caller, &mode), &headers, command, form)
        .await
}

fn undecided() -> Problem {
    let detail = "the transaction is not decided yet; send this again in a moment";
    Problem::new(ProblemKind::RequestInFlight, detail)
}

/// What a request reverses, as far as that matters.
#[derive(Debug)]
pub enum Original {
    Known(KnownOriginal),
    /// It cannot be read back, and need not be.
    Reversed(Box<Before>),
}

impl Original {
    /// The original, if it could be read back.
    pub fn known(self) -> Option<KnownOriginal> {
        match self {
            Self::Known(original) => Some(original),
            Self::Reversed(_) => None,
        }
    }
}

/// A reversal that was decided before.
#[derive(Debug)]
pub struct Before {
    pub ledger: Arc<str>,
    pub reference: String,
    pub decided: Decided,
}

impl Context {
    /// What a request reverses, if it is a reversal; `reference` is its own.
    pub async fn original_of(
        &self,
        caller: &Caller,
        request: &TransactionRequest<'_>,
        reference: Option<&str>,
        reads: &Reads,
    ) -> Result<Option<Original>, Problem> {
        match &request.reverse {
            None => Ok(None),
            Some(part) => {
                part.check()?;
                let original = self.original(caller, &request.ledger, part, reference, reads);
                original.await.map(Some)
            }
        }
    }

    /// What `part` reverses in `ledger`, if the caller may do that.
    async fn original(
        &self,
        caller: &Caller,
        ledger: &str,
        part: &ReversePart<'_>,
        reference: Option<&str>,
        reads: &Reads,
    ) -> Result<Original, Problem> {
        let ledger = self.decode(|decoder| decoder.ledger(ledger))?;
        match part.force {
            true => caller.may_force(&ledger)?,
            false => caller.may_write(&ledger)?,
        }
        let unknown = || {
            let detail = "no transaction of this reference is known here";
            Problem::new(ProblemKind::TransactionNotFound, detail)
        };
        let found = match self.find_soon(&ledger, &part.reference).await? {
            Found::Nothing => return Err(unknown()),
            Found::Pending => return Err(undecided()),
            Found::Decided(decided) => decided,
        };
        let view: Option<TransactionView<'_>> = serde_json::from_slice(&found.json).ok();
        let id = view.and_then(|view| TransactionId::from_uuid(view.transaction_id?));
        let id = id.ok_or_else(unknown)?;
        match reads.once(id, self.originals.command(id)).await {
            Ok(command) => {
                if found.applied && self.still_settles(&part.reference, &command).await? {
                    return Err(undecided());
                }
                Ok(Original::Known(KnownOriginal {
                    transaction: id.uuid(),
                    command,
                }))
            }
            Err(problem) => {
                let before = match reference {
                    Some(reference) => self.reversed_before(ledger, reference, id).await,
                    None => None,
                };
                let before = before.map(Box::new).map(Original::Reversed);
                before.ok_or(problem)
            }
        }
    }

    /// Whether a stop of a transfer that was applied may not have heard of it: it would refuse a
    /// reversal for good, home because it does not know that it can be reversed, another one
    /// because what it is to give back is only reserved. Only stops that are credited wait for the
    /// last one's word, which is in cold with the entries that settle. Where cold does not answer,
    /// they are asked.
    async fn still_settles(&self, reference: &str, command: &[u8]) -> Result<bool, Problem> {
        let count = self.partitions;
        let command = self.decode(|decoder| decoder.parse(command, None, None))?;
        let Intent::Transfer(postings) = &command.body else {
            return Ok(false);
        };
        let walk = Walk::new(postings, count);
        let stops = walk.stops();
        let credited = postings.iter();
        let mut waiting: BTreeSet<PartitionId> = credited
            .map(|posting| partition_of(posting.destination.id, count))
            .collect();
        if let Some(last) = stops.last() {
            waiting.remove(&last.partition);
        }
        if waiting.is_empty() {
            return Ok(false);
        }
        let found = transaction::transaction(&self.pool, &command.ledger, reference).await;
        let Ok(found) = found else {
            return Ok(false);
        };
        let entries = found.map(|found| found.entries).unwrap_or_default();
        for entry in entries.iter().filter(|it| it.direction == "settle") {
            waiting.remove(&entry.partition);
        }
        Ok(!waiting.is_empty())
    }

    /// How `reference` was decided, if it is a reversal of `of`.
    async fn reversed_before(
        &self,
        ledger: Arc<str>,
        reference: &str,
        of: TransactionId,
    ) -> Option<Before> {
        let Ok(Found::Decided(decided)) = self.find(&ledger, reference).await else {
            return None;
        };
        let view: TransactionView<'_> = serde_json::from_slice(&decided.json).ok()?;
        let kind = serde_json::to_value(Kind::Reverse).ok()?;
        if view.kind.as_deref() != kind.as_str() || view.reverses != Some(of.uuid()) {
            return None;
        }
        Some(Before {
            ledger,
            reference: reference.to_owned(),
            decided: Decided {
                replayed: true,
                ..decided
            },
        })
    }

    /// Answers a reversal once more.
    pub fn again(&self, before: Before, form: Form<'_>) -> Response {
        let Before {
            ledger,
            reference,
            decided,
        } = before;
        self.count(&Ok(Settled::Decided(decided.clone())));
        answer_to(&ledger, &reference, Settled::Decided(decided), form)
    }
}
