//! One command: claim, publish, wait.
//!
//! | phase | what | when it fails |
//! |---|---|---|
//! | seat | room among the waiting, bounded | 503 `backpressure`, nothing was done |
//! | claim | one round trip to Redis | goes on without (A2) |
//! | publish | to the partition of the balance that decides | not sent: the claim is given up, 503 `backpressure` |
//! | acknowledge | by Kafka, `acks=all` | 503 `outcome-unknown`, the claim stays |
//! | wait | for the outcome, as long as the caller wants | 202; the outcome is noted when it comes |
//!
//! A1: nothing is answered with a 2xx before the command is acknowledged; an outcome implies it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::RecvError;
use tracing::Instrument;

use super::contest::contested;
use super::context::Context;
use super::decided::Decided;
use super::error::Kind;
use super::problem::Problem;
use super::publish::{Acknowledgement, Failure, Place};
use super::record::{Envelope, encode};
use super::waiters::{Reply, Waiter};
use crate::hot::claims::{Claim, Claimed};
use crate::ledger::Command;
use crate::telemetry::failpoint::{self, Point};
use crate::wire::http::view::{APPLIED, PENDING, REJECTED};

/// After the instance was told to stop, callers wait only this much longer.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// What a caller is told.
#[derive(Debug)]
pub enum Settled {
    Decided(Decided),
    /// On the log, and not known to be decided.
    Pending,
}

/// How a command is to be submitted.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// How long to wait for the outcome; zero is not at all.
    pub patience: Duration,
    pub traceparent: &'a str,
}

/// A command that is on its way.
#[derive(Debug)]
pub struct Underway {
    waiter: Option<Waiter>,
    acknowledgement: Acknowledgement,
    published: Instant,
    /// The claim is this attempt's own.
    fresh: bool,
}

/// The claim that stands for a command.
pub fn claimed(command: &Command) -> Claimed<'_> {
    Claimed {
        ledger: &command.ledger,
        reference: &command.reference,
        fingerprint: command.fingerprint,
    }
}

impl Context {
    /// Submits one command.
    pub async fn submit(&self, command: &Command, manner: Manner<'_>) -> Result<Settled, Problem> {
        let span = tracing::debug_span!(
            "submit",
            ledger = &*command.ledger,
            reference = &*command.reference,
            balance.id = %command.decider(),
        );
        let result = self.claim_and_send(command, manner).instrument(span).await;
        self.count(&result);
        result
    }

    async fn claim_and_send(
        &self,
        command: &Command,
        manner: Manner<'_>,
    ) -> Result<Settled, Problem> {
        let value = encode(command)?;
        self.ready().await?;
        let _caller = self.callers.take(1)?;
        let _pending = self.pending.take(1)?;
        self.send(command, &value, manner).await
    }

    /// The rest of it, with a seat taken.
    pub async fn send(
        &self,
        command: &Command,
        value: &[u8],
        manner: Manner<'_>,
    ) -> Result<Settled, Problem> {
        let claim = self.claim(command).await;
        if let Some(decided) = self.known(&claim)? {
            return Ok(Settled::Decided(decided));
        }
        let underway = self.publish(command, value, &claim, manner)?;
        self.settle(command, underway, manner.patience).await
    }

    /// What a claim already answers.
    pub fn known(&self, claim: &Claim) -> Result<Option<Decided>, Problem> {
        let (result, known) = match claim {
            Claim::Fresh => ("fresh", None),
            Claim::Pending => ("pending", None),
            Claim::Unknown => ("unknown", None),
            Claim::Done(view) => ("done", Decided::of_claim(view.clone())),
            Claim::Other => {
                self.metrics.claims.with_label_values(&["other"]).inc();
                return Err(crate::ledger::Rejection::ReferenceReused.into());
            }
            Claim::Contested => {
                self.metrics.claims.with_label_values(&["contested"]).inc();
                return Err(contested());
            }
        };
        self.metrics.claims.with_label_values(&[result]).inc();
        Ok(known)
    }

    /// Hands a command to the producer.
    pub fn publish(
        &self,
        command: &Command,
        value: &[u8],
        claim: &Claim,
        manner: Manner<'_>,
    ) -> Result<Underway, Problem> {
        let (correlation, waiter) = match manner.patience.is_zero() {
            true => (self.waiters.correlation(), None),
            false => {
                let (correlation, waiter) = self.waiters.register();
                (correlation, Some(waiter))
            }
        };
        let envelope = Envelope {
            correlation: &correlation,
            reply_partition: self.assigned.partition().unwrap_or_default(),
            traceparent: manner.traceparent,
        };
        let published = Instant::now();
        let fresh = claim == &Claim::Fresh;
        match self.publisher.publish(command, value, envelope) {
            Ok(acknowledgement) => Ok(Underway {
                waiter,
                acknowledgement,
                published,
                fresh,
            }),
            Err(failure) => Err(self.failed(command, fresh, failure)),
        }
    }

    /// Waits for a command that is on its way.
    pub async fn settle(
        &self,
        command: &Command,
        mut underway: Underway,
        patience: Duration,
    ) -> Result<Settled, Problem> {
        let deadline = tokio::time::Instant::from_std(underway.published) + patience;
        let fresh = underway.fresh;
        let Some(waiter) = &mut underway.waiter else {
            let acknowledged = underway.acknowledgement.await;
            return self
                .acknowledged(command, fresh, acknowledged)
                .map(|()| Settled::Pending);
        };
        let early = tokio::select! {
            biased;
            reply = waiter.reply() => Some(reply),
            acknowledged = &mut underway.acknowledgement => {
                self.acknowledged(command, fresh, acknowledged)?;
                None
            }
        };
        let stopping = async {
            self.stop.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        let reply = match early {
            Some(reply) => Some(reply),
            None => tokio::select! {
                biased;
                reply = waiter.reply() => Some(reply),
                () = tokio::time::sleep_until(deadline) => None,
                () = stopping => None,
            },
        };
        let Some(reply) = reply else {
            return Ok(Settled::Pending);
        };
        self.metrics
            .wait_seconds
            .observe(underway.published.elapsed().as_secs_f64());
        self.conclude(command, reply).await.map(Settled::Decided)
    }

    /// What a reply says, noted in the claim.
    async fn conclude(&self, command: &Command, reply: Reply) -> Result<Decided, Problem> {
        let decided = match Decided::of_reply(&reply, self.partitions) {
            Ok(decided) => decided,
            Err(invalid) => {
                self.note(self.claims.release(claimed(command)));
                return Err(invalid.into());
            }
        };
        let decided = match decided {
            Some(decided) if !decided.short => decided,
            partial => self.complete(command, partial).await?,
        };
        self.remember(claimed(command), &decided);
        tracing::debug!(
            partition = decided.partition,
            offset = decided.offset,
            status = if decided.applied { APPLIED } else { REJECTED },
            "decided"
        );
        Ok(decided)
    }

    /// Notes a final answer.
    pub fn remember(&self, claimed: Claimed<'_>, decided: &Decided) {
        let noted = match decided.reused() {
            true => self.claims.release(claimed),
            false if decided.short => true,
            false => self.claims.finish(claimed, &decided.json),
        };
        self.note(noted);
    }

    /// Counts what became of a command.
    pub fn count(&self, result: &Result<Settled, Problem>) {
        let outcome = match result {
            Ok(Settled::Decided(decided)) if decided.replayed => "replayed",
            Ok(Settled::Decided(decided)) if decided.applied => APPLIED,
            Ok(Settled::Decided(_)) => REJECTED,
            Ok(Settled::Pending) => PENDING,
            Err(problem) if problem.kind == Kind::OutcomeUnknown => "unknown",
            Err(_) => "refused",
        };
        self.metrics.commands.with_label_values(&[outcome]).inc();
    }

    fn note(&self, noted: bool) {
        if !noted {
            self.metrics.claims_dropped.inc();
        }
    }

    fn acknowledged(
        &self,
        command: &Command,
        fresh: bool,
        acknowledged: Result<Result<Place, Failure>, RecvError>,
    ) -> Result<(), Problem> {
        match acknowledged {
            Ok(Ok(place)) => {
                let Place { partition, offset } = place;
                tracing::debug!(partition, offset, "acknowledged");
                failpoint::pass(Point::BeforeAnswer);
                Ok(())
            }
            Ok(Err(failure)) => {
                self.publisher.renew();
                Err(self.failed(command, fresh, failure))
            }
            Err(_) => Err(self.failed(command, false, Failure::Unknown)),
        }
    }

    /// A command that is not known to be on the log. Only a claim of our own is given up, and only
    /// if the command certainly is not there.
    fn failed(&self, command: &Command, ours: bool, failure: Failure) -> Problem {
        match failure {
            Failure::Refused => {
                if ours {
                    self.note(self.claims.release(claimed(command)));
                }
                Problem::new(
                    Kind::Backpressure,
                    "the log takes no command just now; it was not sent",
                )
            }
            Failure::Unknown => {
                let detail = "Kafka did not acknowledge the command in time; \
                    send it again under the same reference";
                Problem::new(Kind::OutcomeUnknown, detail)
            }
        }
    }
}
