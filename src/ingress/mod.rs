//! HTTP → commands: takes a transaction in, waits for its outcome, and reads what became of it.
//!
//! - **A1** No 2xx before the command is acknowledged by Kafka.
//! - **A2** The ingress holds no truth: any instance can die at any time, and Redis with it.
//!
//! | file | what |
//! |---|---|
//! | [`options`], [`auth`], [`scope`], [`metrics`] | how it listens, whom it lets in, what it counts |
//! | [`server`], [`routes`], [`edge`] | connections; which handler answers; what every request passes |
//! | [`error`], [`problem`] | the one table of statuses; why there is no 2xx |
//! | [`header`], [`prefer`], [`body`], [`items`], [`cursor`], [`mode`] | what a request says, parsed strictly |
//! | [`transactions`], [`batch`] | the routes of transactions |
//! | [`balances`], [`balance`], [`history`] | the routes of balances |
//! | [`holds`] | the routes of holds |
//! | [`periods`] | the routes of a ledger's periods |
//! | [`reading`], [`dry_run`], [`staging`] | a balance as it is; what a transaction would do to it, and on what that depends |
//! | [`health`], [`openapi`] | ready or not; what there is |
//! | [`submit`], [`contest`], [`record`], [`publish`], [`replies`], [`waiters`], [`room`] | claim, publish, wait |
//! | [`decided`], [`lookup`], [`answer`] | what became of it |
//!
//! Bounded by connections, waiting callers, awaited commands, bytes and items; each refuses by
//! name. It never decides: what a client may not do with money is the ledger's to say.

pub mod answer;
pub mod appender;
pub mod auth;
pub mod balance;
pub mod balances;
pub mod batch;
pub mod body;
pub mod contest;
pub mod context;
pub mod cursor;
pub mod decided;
pub mod dry_run;
pub mod edge;
pub mod error;
pub mod header;
pub mod health;
pub mod history;
pub mod holds;
pub mod items;
pub mod lookup;
pub mod metrics;
pub mod mode;
pub mod name;
pub mod openapi;
pub mod options;
pub mod originals;
pub mod periods;
pub mod prefer;
pub mod problem;
pub mod publish;
pub mod reading;
pub mod record;
pub mod replies;
pub mod reversals;
pub mod room;
pub mod routes;
pub mod scope;
pub mod server;
pub mod staging;
pub mod submit;
pub mod transactions;
pub mod waiters;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use metrics::IngressMetrics;
pub use options::Options;

use crate::hot::claims::{self, Claims};
use crate::hot::claims_writer::Writer;
use crate::hot::key::Keys;
use crate::hot::read::Reader;
use crate::ledger::PartitionId;
use crate::wire::Decoder;
use crate::{hot, log};
use context::Context;
use decided::Decided;
use replies::{Assigned, Replies};
use room::Room;
use waiters::{Reply, Waiters};

/// How long claims are skipped after Redis did not answer.
const CLAIMS_PAUSE: Duration = Duration::from_secs(1);
/// What the last requests may take beyond the acknowledgement of their commands.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// Serves the HTTP API until `stop`: then nothing new is accepted, those who wait are answered or
/// get 202, and what was handed to Kafka is acknowledged.
///
/// # Errors
/// If the options contradict each other, a key file cannot be read, the address cannot be bound
/// or a client setting is unknown. Nothing that is merely down is an error.
#[expect(
    clippy::too_many_arguments,
    reason = "the clients it gets, each from its own place"
)]
pub async fn run(
    options: Options,
    log: log::Options,
    hot: hot::Options,
    pool: PgPool,
    partitions: PartitionId,
    metrics: IngressMetrics,
    stop: CancellationToken,
    on_bound: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    options.check().map_err(anyhow::Error::msg)?;
    let (context, writer) = context(options, &log, &hot, pool, partitions, metrics, &stop)?;
    let listen = context.options.http_listen;
    let listener = server::listen(listen).with_context(|| format!("binding {listen}"))?;
    on_bound(listener.local_addr()?);
    // Replies and claims outlive the last request.
    let done = CancellationToken::new();
    let reading = replies(&context, log, done.clone()).start()?;
    let served = serve(context.clone(), listener, done.clone());
    tokio::join!(served, writer.run(done));
    let flush = context.options.publish_timeout;
    let finish = move || {
        context.publisher.flush(flush);
        reading
            .join()
            .map_err(|_| anyhow::anyhow!("the replies' thread panicked"))
    };
    tokio::task::spawn_blocking(finish).await?
}

async fn serve(context: Arc<Context>, listener: TcpListener, done: CancellationToken) {
    let options = &context.options;
    let limits = server::Limits {
        connections_max: options.connections_max,
        head_timeout: options.head_timeout,
        drain_timeout: options.publish_timeout + DRAIN_MARGIN,
        connections: context.metrics.connections.clone(),
    };
    let closing = CancellationToken::new();
    let close = async {
        context.stop.cancelled().await;
        tokio::time::sleep(options.drain_wait).await;
        closing.cancel();
    };
    let serving = server::serve(
        listener,
        routes::router(context.clone()),
        limits,
        closing.clone(),
    );
    tokio::join!(serving, close);
    done.cancel();
}

fn context(
    options: Options,
    log: &log::Options,
    hot: &hot::Options,
    pool: PgPool,
    partitions: PartitionId,
    metrics: IngressMetrics,
    stop: &CancellationToken,
) -> anyhow::Result<(Arc<Context>, Writer)> {
    let redis = hot.connect().context("Redis")?;
    let keys = Keys::new(&hot.redis_prefix);
    let settings = claims::Settings {
        time_to_live: options.claim_ttl,
        timeout: options.claim_timeout,
        pause: CLAIMS_PAUSE,
    };
    let (claims, writer) = Claims::new(redis.clone(), keys.clone(), settings);

    let awaited = Some(metrics.waiters.clone());
    let context = Context {
        keys: auth::Keys::load(&options)?,
        claims,
        hot: Reader::new(redis, keys, options.claim_timeout),
        pool,
        originals: originals::Originals::new(log, partitions, options.publish_timeout),
        publisher: publish::Publisher::new(&options, log, partitions, &metrics.publish_seconds)?,
        waiters: Arc::new(Waiters::of_new_instance()),
        assigned: Arc::new(Assigned::nowhere()),
        callers: Room::new("waiting callers", options.waiters_max, None),
        pending: Room::new("awaited commands", options.pending_max, awaited),
        partitions,
        metrics,
        stop: stop.clone(),
        decoder: Mutex::new(Decoder::of(partitions)),
        options,
    };
    Ok((Arc::new(context), writer))
}

fn replies(context: &Arc<Context>, log: log::Options, stop: CancellationToken) -> Replies {
    let late = context.clone();
    Replies {
        log,
        partition: context.options.reply_partition,
        waiters: context.waiters.clone(),
        assigned: context.assigned.clone(),
        metrics: context.metrics.clone(),
        late: Box::new(move |reply| note_late(&late, &reply)),
        stop,
    }
}

/// Nobody waits for this reply any more, but whoever asks for the transaction finds it.
fn note_late(context: &Context, reply: &Reply) {
    let Ok(Some(decided)) = Decided::of_reply(reply, context.partitions) else {
        return;
    };
    let Ok(outcome) = crate::wire::OutcomeBody::parse(&reply.value) else {
        return;
    };
    if let (Some(ledger), Some(reference), Some(fingerprint)) =
        (&outcome.ledger, &outcome.reference, outcome.fingerprint)
    {
        let fingerprint = crate::ledger::Fingerprint(fingerprint.0);
        context.remember(
            claims::Claimed {
                ledger,
                reference,
                fingerprint,
            },
            &decided,
        );
    }
}
