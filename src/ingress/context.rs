//! What every request shares.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::auth::Keys;
use super::error::Kind;
use super::metrics::IngressMetrics;
use super::options::Options;
use super::originals::Originals;
use super::problem::Problem;
use super::publish::Publisher;
use super::replies::Assigned;
use super::room::Room;
use super::waiters::Waiters;
use crate::hot::claims::Claims;
use crate::hot::read::Reader;
use crate::ledger::PartitionId;
use crate::wire::Decoder;

/// How long a request waits for an instance that has only just started.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// The ingress as a request sees it.
#[derive(Debug)]
pub struct Context {
    pub options: Options,
    pub partitions: PartitionId,
    pub keys: Keys,
    pub claims: Claims,
    pub hot: Reader,
    pub pool: PgPool,
    pub publisher: Publisher,
    pub originals: Originals,
    pub waiters: Arc<Waiters>,
    pub assigned: Arc<Assigned>,
    /// Callers that wait.
    pub callers: Arc<Room>,
    /// Commands whose outcome is awaited.
    pub pending: Arc<Room>,
    pub metrics: IngressMetrics,
    pub stop: CancellationToken,
    /// Remembers the names it has read; held for microseconds, never across an await.
    pub decoder: Mutex<Decoder>,
}

impl Context {
    /// Does something with the shared decoder.
    pub fn decode<T>(&self, with: impl FnOnce(&mut Decoder) -> T) -> T {
        with(&mut self.decoder.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses commands while replies could be missed; at the start that takes a moment.
    pub async fn ready(&self) -> Result<(), Problem> {
        match self.assigned.within(START_PATIENCE).await {
            Some(_) => Ok(()),
            None => Err(Problem::new(Kind::Backpressure, "replies are not read yet")),
        }
    }
}
