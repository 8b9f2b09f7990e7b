//! Fetch, recognise and decide: everything of a turn that waits on nothing but arrival.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rdkafka::Message;

use super::dead_letter::{self, DeadLetter};
use super::fold::Fold;
use super::gauges::Gauges;
use super::ports::{Inbox, Outbox, World};
use super::ticks::Ticks;
use super::{Failure, Shared};
use crate::ledger::{Cut, Outcome, Partition, RULES_KNOWN, Record, ReplyTo, TransactionId};
use crate::log::consumer::is_transient;
use crate::log::producer::{Acks, Append};
use crate::log::reader;
use crate::wire::outcome::OutcomeBody;
use crate::wire::record::{NO_BALANCE_KEY, Raw, Recognizer};
use crate::wire::{BalanceBody, Hex, HoldBody, LegRecord, Subject};

/// What a turn decided, on its way through the phases that wait.
pub(super) struct Batch {
    /// The outcomes' acknowledgements.
    pub(super) acks: Arc<Acks>,
    pub(super) legs: Vec<LegRecord>,
    pub(super) replies: Vec<Reply>,
    /// The state of every touched balance after the batch.
    pub(super) touched: Vec<Touched>,
    pub(super) cut: Cut,
    /// How many commands were decided; none when snapshots are only to be published again.
    pub(super) records: usize,
    pub(super) decided_at: Instant,
}

pub(super) struct Reply {
    pub(super) to: ReplyTo,
    pub(super) body: Bytes,
    pub(super) replayed: bool,
    /// It repeats a decision that memory holds no more than the kind of.
    pub(super) short: bool,
}

/// A balance as hot and `snapshots` get it, or a hold, which `snapshots` alone get.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub(super) subject: Subject,
    /// The last command that changed it.
    pub(super) offset: u64,
    /// `<version> <JSON>`.
    pub(super) text: Bytes,
}

/// The state of a partition and what it takes to decide.
pub(super) struct Decider<W: World> {
    shared: Arc<Shared<W>>,
    outbox: Arc<W::Outbox>,
    partition: Partition,
    recognizer: Recognizer,
    /// The hash of the last outcome.
    prev: Hex<32>,
    epoch: u64,
    group: String,
    recent: Recent,
    house: House,
    gauges: Gauges,
    ticks: Ticks,
    /// Why nothing can be decided after what was published last.
    beyond: Option<Failure>,
}

/// What fetch and decide gathered before anything was sent.
#[derive(Default)]
struct Gathered {
    outcomes: Vec<(String, Bytes)>,
    dead: Vec<DeadLetter>,
    legs: Vec<LegRecord>,
    replies: Vec<Reply>,
    bytes: usize,
}

impl<W: World> Decider<W> {
    pub(super) fn new(
        shared: Arc<Shared<W>>,
        outbox: Arc<W::Outbox>,
        partition: Partition,
        prev: Hex<32>,
        epoch: u64,
    ) -> Self {
        let reply_topics = shared.options.replies_allowed(&shared.topics);
        let (here, count) = (partition.id(), partition.count());
        let recognizer = Recognizer::new(shared.secret.clone(), reply_topics, here, count);
        let group = shared.log.group("processor");
        let house = House::new(&partition);
        let gauges = Gauges::new(&shared.metrics, &partition);
        let recent = Recent::default();
        let ticks = Ticks::new(shared.world.now());
        Self {
            shared,
            outbox,
            partition,
            recognizer,
            prev,
            epoch,
            group,
            recent,
            house,
            gauges,
            ticks,
            beyond: None,
        }
    }

    /// Takes what has arrived, decides it, and enqueues the outcomes. `None` if nothing had.
    pub(super) async fn turn(&mut self, inbox: &W::Inbox) -> Result<Option<Batch>, Failure> {
        if let Some(failure) = self.beyond.take() {
            return Err(failure);
        }
        let started = self.shared.world.now();
        let mut gathered = Gathered::default();
        while gathered.outcomes.len() < self.shared.options.batch_records
            && gathered.bytes < self.shared.options.batch_bytes
        {
            match inbox.next() {
                None => break,
                Some(Ok(message)) => {
                    if let Err(failure) = self.one(&message, &mut gathered) {
                        if gathered.outcomes.is_empty() {
                            return Err(failure);
                        }
                        self.beyond = Some(failure);
                        break;
                    }
                }
                Some(Err(error)) if is_transient(&error) => {
                    tracing::debug!(%error, partition = self.partition.id(), "fetch goes on");
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        if gathered.outcomes.is_empty() {
            return Ok(None);
        }
        self.gauges
            .turned(gathered.outcomes.len(), self.shared.world.now() - started);
        let batch = self.publish(gathered).await?;
        self.house.keep(&mut self.partition);
        Ok(Some(batch))
    }

    /// Writes ticks for holds that are due.
    pub(super) fn tick(&mut self) {
        self.ticks.write(&self.shared, &self.partition);
    }

    /// A batch without commands, to publish `subjects` again, those that are still known.
    pub(super) fn again(&self, subjects: &[Subject]) -> Option<Batch> {
        Some(Batch {
            acks: Acks::open(),
            legs: Vec::new(),
            replies: Vec::new(),
            touched: subjects
                .iter()
                .filter_map(|subject| self.touched(*subject))
                .collect(),
            cut: self.partition.cut()?,
            records: 0,
            decided_at: self.shared.world.now(),
        })
    }

    /// Whether a hold is open that will be due.
    pub(super) fn expects_ticks(&self) -> bool {
        self.partition.holds().due(i64::MAX, 1).next().is_some()
    }

    /// How many balances, open holds and references are in memory.
    pub(super) fn remembered(&self) -> (i64, i64, i64) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let open = self.partition.holds().sums().open;
        (
            count(self.partition.resident()),
            i64::try_from(open).unwrap_or(i64::MAX),
            count(self.partition.references()),
        )
    }

    /// Recognises and decides one record.
    fn one(&mut self, message: &impl Message, into: &mut Gathered) -> Result<(), Failure> {
        let offset = u64::try_from(message.offset()).unwrap_or(0);
        if self
            .partition
            .applied()
            .is_some_and(|applied| offset <= applied)
        {
            return Ok(());
        }
        let headers = reader::headers(message);
        let raw = Raw {
            offset,
            key: message.key(),
            value: message.payload(),
            headers,
        };
        let record = match self.recognizer.recognize(&raw) {
            Ok(record) => record,
            Err(why) => {
                let reply = self.recognizer.reply(&headers).ok().flatten();
                into.dead
                    .push(DeadLetter::new(message, &self.group, reply, &why));
                Record::DeadLetter
            }
        };
        let asked = record.rules();
        if asked > RULES_KNOWN {
            return Err(Failure::Rules { asked });
        }
        let at_ms = message.timestamp().to_millis().unwrap_or(0);
        let outcome = self.partition.apply(offset, at_ms, &record);
        into.bytes += message.payload().map_or(0, <[u8]>::len);
        self.gauges.decided(&outcome, at_ms);
        let mut body = Vec::with_capacity(1024);
        let wire = OutcomeBody::of(&outcome, self.partition.id(), self.prev);
        self.prev = wire
            .seal(&mut body)
            .map_err(|error| Failure::BadOutcome(offset, error.to_string()))?;
        into.legs.extend(wire.legs);
        let body = Bytes::from(body);
        if outcome.answers() {
            self.answer(&outcome, &body, into);
        }
        let key = outcome.command.as_ref().map_or_else(
            || NO_BALANCE_KEY.to_owned(),
            |command| command.decider().to_string(),
        );
        into.outcomes.push((key, body));
        Ok(())
    }

    /// Remembers a fresh answer, and replies if somebody waits for it.
    fn answer(&mut self, outcome: &Outcome, body: &Bytes, into: &mut Gathered) {
        let replayed = outcome.replay_of.is_some();
        let original = match (replayed, outcome.transaction) {
            (true, Some(transaction)) => self.recent.find(transaction),
            (false, Some(transaction)) => {
                self.recent.insert(transaction, body.clone());
                None
            }
            (_, None) => None,
        };
        let reply = outcome
            .command
            .as_ref()
            .and_then(|command| command.note.reply.clone());
        if let Some(to) = reply {
            let short = replayed && original.is_none();
            let body = original.unwrap_or_else(|| body.clone());
            into.replies.push(Reply {
                to,
                body,
                replayed,
                short,
            });
        }
    }

    /// Dead letters first, so that none is lost; then the outcomes, in order.
    async fn publish(&mut self, mut gathered: Gathered) -> Result<Batch, Failure> {
        let partition = self.partition.id();
        if !gathered.dead.is_empty() {
            dead_letter::publish(&self.shared, &*self.outbox, partition, &mut gathered.dead)
                .await?;
            let replies = gathered.dead.into_iter().filter_map(|letter| letter.reply);
            gathered.replies.extend(replies.map(|(to, body)| Reply {
                to,
                body: body.into(),
                replayed: false,
                short: false,
            }));
        }
        let acks = Acks::open();
        for (key, body) in &gathered.outcomes {
            let append = Append {
                topic: &self.shared.topics.outcomes,
                partition: Some(i32::from(partition)),
                key: key.as_bytes(),
                value: body,
                headers: None,
            };
            self.outbox.append(append, &acks).await?;
        }
        let ids = self.partition.take_touched();
        self.gauges.in_transit(&self.partition, &ids);
        let holds = self.partition.take_touched_holds();
        let subjects = ids.into_iter().map(Subject::Balance);
        let subjects = subjects.chain(holds.into_iter().map(Subject::Hold));
        Ok(Batch {
            acks,
            legs: gathered.legs,
            replies: gathered.replies,
            touched: subjects.filter_map(|of| self.touched(of)).collect(),
            cut: self
                .partition
                .cut()
                .expect("the first record of a log sets its generation"),
            records: gathered.outcomes.len(),
            decided_at: self.shared.world.now(),
        })
    }

    fn touched(&self, subject: Subject) -> Option<Touched> {
        touched(&self.partition, subject, self.epoch)
    }

    /// What a standby goes on from, once everything that was decided is on the log, the last of
    /// it at `position`.
    pub(super) fn leave(self, position: u64) -> Fold {
        Fold::left(self.partition, self.house, self.prev, position)
    }
}

/// Forgets what is beyond the horizon, now and then.
pub(super) struct House {
    kept_at_ms: i64,
    /// The log time before which something may be forgotten.
    forgot_before_ms: i64,
}

impl House {
    pub(super) fn new(partition: &Partition) -> Self {
        Self {
            kept_at_ms: partition.log_time_ms(),
            forgot_before_ms: i64::MIN,
        }
    }

    /// Whether everything is there that was changed at log time `at_ms` or later.
    pub(super) fn has_all_since(&self, at_ms: i64) -> bool {
        self.forgot_before_ms <= at_ms
    }

    pub(super) fn keep(&mut self, partition: &mut Partition) {
        let horizon = partition
            .setting()
            .map_or(0, |setting| setting.horizon_seconds);
        let every_ms = i64::try_from(horizon.saturating_mul(1000) / 16).unwrap_or(i64::MAX);
        if partition.log_time_ms().saturating_sub(self.kept_at_ms) > every_ms.max(1000) {
            partition.forget();
            self.kept_at_ms = partition.log_time_ms();
            let horizon_ms = i64::try_from(horizon.saturating_mul(1000)).unwrap_or(i64::MAX);
            self.forgot_before_ms = self.kept_at_ms.saturating_sub(horizon_ms);
        }
    }
}

/// The state of `subject` in `partition`, if it is there.
pub(super) fn touched(partition: &Partition, subject: Subject, epoch: u64) -> Option<Touched> {
    let number = partition.id();
    let (offset, version, body) = match subject {
        Subject::Balance(id) => {
            let balance = partition.balance(id)?;
            let body = BalanceBody::of(id, &balance, number, epoch);
            let body = serde_json::to_vec(&body);
            (balance.offset, balance.state.version, body)
        }
        Subject::Hold(id) => {
            let hold = partition.holds().get(id)?;
            let body = HoldBody::snapshot(id, hold, number, epoch);
            (hold.offset, hold.version, serde_json::to_vec(&body))
        }
    };
    let mut text = format!("{version} ").into_bytes();
    text.extend(body.expect("a snapshot is plain JSON"));
    Some(Touched {
        subject,
        offset,
        text: text.into(),
    })
}

/// The latest answers, bounded by bytes, so that a repeat gets the whole first answer.
#[derive(Default)]
struct Recent {
    answers: HashMap<TransactionId, Bytes>,
    order: VecDeque<TransactionId>,
    bytes: usize,
}

/// Most bytes of answers a partition keeps.
const RECENT_BYTES: usize = 4 * 1024 * 1024;

impl Recent {
    fn find(&self, transaction: TransactionId) -> Option<Bytes> {
        self.answers.get(&transaction).cloned()
    }

    fn insert(&mut self, transaction: TransactionId, answer: Bytes) {
        self.bytes += answer.len();
        if let Some(old) = self.answers.insert(transaction, answer) {
            self.bytes -= old.len();
        } else {
            self.order.push_back(transaction);
        }
        while self.bytes > RECENT_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.bytes -= self
                .answers
                .remove(&oldest)
                .map_or(0, |answer| answer.len());
        }
    }
}
