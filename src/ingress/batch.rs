//! Many transactions in one request: each its own, with its own result, in order.
//!
//! A batch is no transaction: items are claimed together and published one after the other, and
//! every one of them is applied or rejected by itself.

use std::pin::pin;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header as names};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::value::RawValue;

use super::answer::refusal;
use super::auth::Caller;
use super::body::{Format, format};
use super::context::Context;
use super::dry_run::Trial;
use super::error::{Class, Kind};
use super::header;
use super::items;
use super::mode::{Mode, UNNAMED};
use super::originals::{self, Reads};
use super::prefer::Preference;
use super::problem::Problem;
use super::record::encode;
use super::reversals::Original;
use super::submit::{Manner, Settled, Underway, claimed};
use crate::hot::claims::Claim;
use crate::ledger::Command;
use crate::wire::Decoder;
use crate::wire::http::{
    BatchResultView, BatchView, ProblemBody, TransactionRequest, TransactionView,
};

/// Outcomes that are looked at at once; the rest waits its turn, already published.
const SETTLE_AT_ONCE: usize = 256;
/// Items done before others have their turn on this thread.
const STRIDE: usize = 128;

/// Post many transactions
///
/// Up to 10,000, as a JSON array or as lines (`application/x-ndjson`, answered alike). A result
/// each, in order, with a status of its own; never all or nothing.
#[utoipa::path(
    post, path = "/v1/transactions/batch", tag = "transactions",
    params(
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds for the whole batch, or `respond-async`"),
        ("dry_run" = Option<bool>, Query, description = "`true`: only tries them, each after the ones before it, and answers with a `DryRun`"),
    ),
    request_body(content((Vec<TransactionRequest> = "application/json"), (TransactionRequest = "application/x-ndjson"))),
    responses(
        (status = 200, description = "the results; see the `status` of each", body = BatchView),
        (status = 413, description = "too many items, or too many bytes: nothing was taken in", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub async fn post(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Arc<Caller>>,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let preference = Preference::of(&headers)?;
    for name in [header::IDEMPOTENCY_KEY, names::IF_MATCH] {
        if headers.contains_key(&name) {
            let detail = "is for one transaction; a batch has a reference and expect per item";
            return Err(Problem::malformed(name.as_str(), detail));
        }
    }
    let format = format(&headers).ok_or_else(|| {
        let detail = "give the batch as application/json or application/x-ndjson";
        Problem::new(Kind::UnsupportedMediaType, detail)
    })?;
    let bytes = context
        .read(&headers, body, context.options.batch_bytes_max)
        .await?;
    let items = items::split(&bytes, format, context.options.batch_items_max)?;
    context
        .keys
        .charge(&caller, items.len().saturating_sub(1))?;
    if mode.dry_run {
        let trials = context.read_trials(&caller, &items).await;
        return context.dry_run(&caller, trials, &mode.id).await;
    }
    context.ready().await?;
    let _caller = context.callers.take(1)?;
    let _pending = context.pending.take(items.len())?;
    let traceparent = header::traceparent(&headers);
    let patience = preference.patience(context.options.wait_default);
    let manner = Manner {
        patience,
        traceparent: &traceparent,
    };
    let items = context.read_items(&caller, &items).await;
    let steps = context.publish_items(items, manner).await;
    let results = futures::stream::iter(steps)
        .map(|step| context.settle_item(step, manner))
        .buffered(SETTLE_AT_ONCE);
    let results: Vec<Settlement> = results.collect().await;
    for settlement in &results {
        context.count(&settlement.result);
    }
    let mut response = render(&results, format, &mode.id);
    if let Some(applied) = preference.applied(false) {
        response
            .headers_mut()
            .insert(header::PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// Whether the references of items mean something that was decided before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Own,
    /// They are only tried.
    None,
}

/// One item that was read, or settled by that.
enum Item {
    Read(Box<(Command, Vec<u8>)>),
    Settled(Settlement),
}

/// One item that is on its way, or settled already.
enum Step {
    Underway(Box<(Command, Underway)>),
    /// Other content under its reference is on its way, perhaps an item before it.
    Contested(Box<(Command, Vec<u8>)>),
    Settled(Settlement),
}

/// One item's end.
#[derive(Debug)]
pub struct Settlement {
    pub reference: Option<String>,
    pub ledger: Option<Arc<str>>,
    pub result: Result<Settled, Problem>,
}

impl Settlement {
    /// The end of an item that was never read.
    pub fn refused(reference: Option<String>, problem: Problem) -> Self {
        Self {
            reference,
            ledger: None,
            result: Err(problem),
        }
    }

    /// As a [`BatchResultView`]; `id` is the request's.
    pub fn raw(&self, id: &str) -> Option<Box<RawValue>> {
        let mut body = Vec::new();
        append(&mut body, self, id);
        RawValue::from_string(String::from_utf8(body).ok()?).ok()
    }

    fn of(command: &Command, result: Result<Settled, Problem>) -> Self {
        Self {
            reference: Some((*command.reference).to_owned()),
            ledger: Some(command.ledger.clone()),
            result,
        }
    }
}

impl Context {
    async fn read_items(&self, caller: &Caller, items: &[&[u8]]) -> Vec<Item> {
        let mut decoder = Decoder::of(self.partitions);
        let mut read = Vec::with_capacity(items.len());
        let reads = Reads::default();
        let requests = futures::stream::iter(0..items.len())
            .map(|at| self.read_request(caller, items[at], Naming::Own, &reads))
            .buffered(originals::AT_ONCE);
        let mut requests = pin!(requests.zip(futures::stream::iter(items)));
        while let Some((request, json)) = requests.next().await {
            let item = request.and_then(|(request, original)| {
                read_item(caller, &request, original, &mut decoder)
            });
            let refused =
                |problem| Item::Settled(Settlement::refused(items::reference(json), problem));
            read.push(item.unwrap_or_else(refused));
            if read.len() % STRIDE == 0 {
                tokio::task::yield_now().await;
            }
        }
        read
    }

    async fn read_request<'a>(
        &self,
        caller: &Caller,
        json: &'a [u8],
        naming: Naming,
        reads: &Reads,
    ) -> Result<(TransactionRequest<'a>, Option<Original>), Problem> {
        let request = items::read(json)?;
        let reference = request.reference.as_deref();
        let reference = reference.filter(|_| naming == Naming::Own);
        let original = self.original_of(caller, &request, reference, reads).await?;
        Ok((request, original))
    }

    async fn read_trials(&self, caller: &Caller, items: &[&[u8]]) -> Vec<Trial> {
        let mut decoder = Decoder::of(self.partitions);
        let mut read = Vec::with_capacity(items.len());
        let reads = Reads::default();
        let requests = futures::stream::iter(0..items.len())
            .map(|at| self.read_request(caller, items[at], Naming::None, &reads))
            .buffered(originals::AT_ONCE);
        let mut requests = pin!(requests.zip(futures::stream::iter(items)).enumerate());
        while let Some((at, (request, json))) = requests.next().await {
            let unnamed = format!("{UNNAMED}-{at}");
            let command = request.and_then(|(request, original)| {
                let original = original.and_then(Original::known);
                let original = original.as_ref();
                items::command(&request, Some(&unnamed), original, &mut decoder)
            });
            let command = command.and_then(|command| {
                caller.may_write(&command.ledger)?;
                Ok(command)
            });
            read.push(Trial {
                reference: items::reference(json),
                command,
                retries: 0,
            });
            if read.len() % STRIDE == 0 {
                tokio::task::yield_now().await;
            }
        }
        read
    }

    async fn publish_items(&self, items: Vec<Item>, manner: Manner<'_>) -> Vec<Step> {
        let good = items.iter().filter_map(|item| match item {
            Item::Read(read) => Some(claimed(&read.0)),
            Item::Settled(_) => None,
        });
        let asked: Vec<_> = good.collect();
        let mut claims = self.claims.begin_many(&asked).await.into_iter();
        let mut steps = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            if at % STRIDE == 0 {
                tokio::task::yield_now().await;
            }
            let (command, value) = match item {
                Item::Read(read) => *read,
                Item::Settled(settlement) => {
                    steps.push(Step::Settled(settlement));
                    continue;
                }
            };
            let claim = claims.next().unwrap_or(Claim::Unknown);
            if claim == Claim::Contested {
                steps.push(Step::Contested(Box::new((command, value))));
                continue;
            }
            let step = match self.known(&claim) {
                Err(problem) => Step::Settled(Settlement::of(&command, Err(problem))),
                Ok(Some(decided)) => {
                    Step::Settled(Settlement::of(&command, Ok(Settled::Decided(decided))))
                }
                Ok(None) => match self.publish(&command, &value, &claim, manner) {
                    Ok(underway) => Step::Underway(Box::new((command, underway))),
                    Err(problem) => Step::Settled(Settlement::of(&command, Err(problem))),
                },
            };
            steps.push(step);
        }
        steps
    }

    async fn settle_item(&self, step: Step, manner: Manner<'_>) -> Settlement {
        match step {
            Step::Settled(settlement) => settlement,
            Step::Underway(underway) => {
                let (command, underway) = *underway;
                let result = self.settle(&command, underway, manner.patience).await;
                Settlement::of(&command, result)
            }
            Step::Contested(contested) => {
                let (command, value) = *contested;
                let result = self.send(&command, &value, manner).await;
                Settlement::of(&command, result)
            }
        }
    }
}

/// The command of an item, and its value on the log.
fn read_item(
    caller: &Caller,
    request: &TransactionRequest<'_>,
    original: Option<Original>,
    decoder: &mut Decoder,
) -> Result<Item, Problem> {
    let original = match original {
        None => None,
        Some(Original::Known(original)) => Some(original),
        Some(Original::Reversed(before)) => {
            return Ok(Item::Settled(Settlement {
                reference: Some(before.reference),
                ledger: Some(before.ledger),
                result: Ok(Settled::Decided(before.decided)),
            }));
        }
    };
    let command = items::command(request, None, original.as_ref(), decoder)?;
    caller.may_write(&command.ledger)?;
    let value = encode(&command)?;
    Ok(Item::Read(Box::new((command, value))))
}

fn render(settlements: &[Settlement], format: Format, id: &str) -> Response {
    let mut body = Vec::with_capacity(settlements.len() * 512);
    body.extend_from_slice(if format == Format::Json {
        b"{\"results\":["
    } else {
        b""
    });
    for (at, settlement) in settlements.iter().enumerate() {
        if at > 0 && format == Format::Json {
            body.push(b',');
        }
        append(&mut body, settlement, id);
        if format == Format::Lines {
            body.push(b'\n');
        }
    }
    let content = match format {
        Format::Json => {
            body.extend_from_slice(b"]}");
            "application/json"
        }
        Format::Lines => "application/x-ndjson",
    };
    (Class::Ok.status(), [(names::CONTENT_TYPE, content)], body).into_response()
}

fn append(body: &mut Vec<u8>, settlement: &Settlement, id: &str) {
    let reference = settlement.reference.as_deref().unwrap_or_default();
    let mut view = BatchResultView {
        status: Class::Created.status().as_u16(),
        reference: settlement.reference.as_deref(),
        replayed: false,
        transaction: None,
        problem: None,
    };
    let problem;
    let transaction: Option<Box<RawValue>>;
    match &settlement.result {
        Ok(Settled::Decided(decided)) if decided.applied => {
            view.replayed = decided.replayed;
            transaction = decided.raw();
            view.transaction = transaction.as_deref();
        }
        Ok(Settled::Decided(decided)) => {
            view.replayed = decided.replayed;
            problem = refusal(decided, false);
            view.status = problem.kind.status().as_u16();
            view.problem = Some(problem.body(id));
        }
        Ok(Settled::Pending) => {
            let ledger = settlement.ledger.as_deref().unwrap_or_default();
            let pending = TransactionView::pending(reference, ledger);
            view.status = Class::Accepted.status().as_u16();
            transaction = serde_json::value::to_raw_value(&pending).ok();
            view.transaction = transaction.as_deref();
        }
        Err(refused) => {
            view.status = refused.kind.status().as_u16();
            view.problem = Some(refused.body(id));
        }
    }
    // Writing to memory fails only for what is no JSON, and a view always is.
    let _ = serde_json::to_writer(body, &view);
}
