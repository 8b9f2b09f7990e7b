//! Record → outcome: reads the partition, changes nothing.

use std::sync::Arc;

use super::command::{Body, Command, Posting};
use super::draft::{Draft, Refusal};
use super::hold::Portion;
use super::id::{BalanceId, TransactionId};
use super::outcome::{Decision, Direction, Effects, Entry, Ignored, Mark, Outcome};
use super::partition::{Partition, Setting};
use super::period;
use super::rejection::Rejection;
use super::route::{PartitionId, partition_of};
use super::rules::{RULES_FIRST, RULES_KNOWN, RULES_OWN_TRANSIT, RULES_TAKE_OWN_TRANSIT};
use super::terms::{configure_balance, open_balance};
use super::visit::Visit;
use super::walk::{self, Carried, Leg, Order, Record, Step, Walk};

/// Decides the record at `offset`, whose log time is `at_ms`.
///
/// # Panics
/// If a command comes before the log's first record, or an invariant is broken.
pub(super) fn decide(partition: &Partition, offset: u64, at_ms: i64, record: &Record) -> Outcome {
    let at_ms = at_ms.max(partition.log_time_ms);
    let mut turn = Turn {
        partition,
        outcome: Outcome {
            offset,
            at_ms,
            follows: partition.applied,
            decision: Decision::Ignored(Ignored::DeadLetter),
            transaction: None,
            command: None,
            replay_of: None,
            detail: None,
            effects: Effects::default(),
            legs: Vec::new(),
        },
        via: None,
    };
    let rules = record.rules();
    assert!(
        rules <= RULES_KNOWN,
        "rules {rules} are decided by a binary that knows them, not by this one"
    );
    match record {
        Record::DeadLetter => {}
        Record::Genesis(setting) => {
            turn.outcome.decision = Decision::Ignored(Ignored::Genesis);
            turn.outcome.effects.setting = Some(*setting);
        }
        Record::Rules(rules) => {
            let now = partition.rules.now();
            turn.outcome.decision = Decision::Ignored(Ignored::Rules);
            turn.outcome.effects.rules = Some(*rules).filter(|rules| *rules > now);
        }
        Record::Command(command) => turn.route(command),
        Record::Leg(leg) => turn.leg(leg),
    }
    turn.outcome
}

/// One record's turn.
pub(super) struct Turn<'a> {
    pub(super) partition: &'a Partition,
    pub(super) outcome: Outcome,
    /// The ledger whose own transit balances the money passes; none for those of all ledgers.
    via: Option<Arc<str>>,
}

impl<'a> Turn<'a> {
    /// A draft whose money passes the transit balances of this turn's transaction.
    pub(super) fn draft(&self, capacity: usize) -> Draft<'a> {
        Draft::new(self.partition, capacity).via(self.via.clone())
    }

    /// From here on this is of a transaction that home has decided by `rules`.
    pub(super) fn follow(&mut self, rules: u32, command: &Command) {
        self.via = (rules >= RULES_OWN_TRANSIT).then(|| command.ledger.clone());
    }

    /// A transaction sets out at home, by the rules in force here.
    pub(super) fn set_out(
        &mut self,
        transaction: TransactionId,
        command: &Arc<Command>,
        portions: &[Portion],
    ) {
        self.follow(self.partition.rules.now(), command);
        self.visit(&self.at_stop(transaction, command, &[], portions));
    }

    fn route(&mut self, command: &Arc<Command>) {
        let sides = command.postings().iter();
        let sides = sides.flat_map(|posting| [posting.source.id, posting.destination.id]);
        self.partition.balances.warm(sides);
        let owner = partition_of(command.decider(), self.partition.count);
        if owner == self.partition.id {
            return self.command(command);
        }
        let step = Step::Forward {
            command: command.clone(),
            origin_offset: self.outcome.offset,
        };
        self.outcome.decision = Decision::Ignored(Ignored::Misrouted);
        self.outcome.command = Some(command.clone());
        self.send(owner, command.decider(), step);
    }

    fn command(&mut self, command: &Arc<Command>) {
        self.outcome.command = Some(command.clone());
        if let Body::Expire(target) = &command.body {
            return self.expire(command, *target);
        }
        let setting = self.setting();
        let seen = self.partition.seen.find(
            command.seen_key,
            self.outcome.at_ms,
            setting.horizon_seconds,
        );
        let Some(seen) = seen else {
            let transaction =
                TransactionId::new(self.partition.id, self.outcome.offset, setting.generation);
            self.outcome.transaction = Some(transaction);
            return self.fresh(command, transaction);
        };
        if !seen.same_content(command.fingerprint) {
            self.outcome.decision = Decision::Rejected(Rejection::ReferenceReused);
            return;
        }
        let transaction = TransactionId::new(self.partition.id, seen.offset, setting.generation);
        self.outcome.transaction = Some(transaction);
        self.outcome.replay_of = Some(transaction.offset());
        self.repeat(command, transaction, seen.decision);
    }

    /// Answers a repeat of what was decided, or sends the question on to who knows.
    fn repeat(&mut self, command: &Arc<Command>, transaction: TransactionId, decision: Decision) {
        self.outcome.decision = decision;
        let home = transaction.home() == self.partition.id;
        if decision == Decision::Forwarded {
            self.ask(command, transaction);
        } else if decision == Decision::Held && !home {
            // The last stop has accepted a hold; it is home that says so.
            self.ask_home(command, transaction);
        }
    }

    /// What the log's first record sets.
    pub(super) fn setting(&self) -> Setting {
        let setting = self.partition.setting;
        setting.expect("the log's first record comes first")
    }

    fn fresh(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        if let Some(reason) = period::refuse(self.partition, command, self.outcome.at_ms) {
            let refused = Decision::Rejected(reason);
            return self.conclude(command, transaction, refused, refused);
        }
        let result = match &command.body {
            Body::Open(open) => open_balance(self.partition, command, open),
            Body::Configure(configure) => configure_balance(self.partition, command, configure),
            Body::Post(post) => return self.post(command, transaction, post),
            Body::Void(target) => return self.void(command, transaction, *target),
            Body::Reverse(reverse) => return self.reverse(command, transaction, reverse),
            Body::Expire(_) => unreachable!("an expiry has no reference of its own"),
            Body::Transfer(postings) => {
                let (here, count) = (self.partition.id, self.partition.count);
                if !walk::is_local(postings, here, count) {
                    return self.set_out(transaction, command, &[]);
                }
                local_transfer(self.partition, command, postings)
            }
            Body::Hold(_) | Body::ClosePeriod(_) => {
                return self.set_out(transaction, command, &[]);
            }
        };
        let decision = match result {
            Ok(entries) => {
                self.outcome.effects.entries = entries;
                Decision::Applied
            }
            Err(refusal) => self.refuse(refusal),
        };
        self.conclude(command, transaction, decision, decision);
    }

    pub(super) fn refuse(&mut self, (rejection, detail): Refusal) -> Decision {
        self.outcome.detail = Some(detail);
        Decision::Rejected(rejection)
    }

    /// Sets the decision, and what a repeat will be answered.
    pub(super) fn conclude(
        &mut self,
        command: &Arc<Command>,
        transaction: TransactionId,
        decision: Decision,
        remembered: Decision,
    ) {
        let home = transaction.home() == self.partition.id;
        let key = match home {
            true => command.seen_key,
            false => command.seen_key.at_stop(transaction),
        };
        let fingerprint = command.fingerprint;
        self.outcome.decision = decision;
        self.outcome.effects.mark = Some(Mark {
            key,
            transaction,
            fingerprint,
            decision: remembered,
        });
    }

    fn leg(&mut self, leg: &Leg) {
        let last = self.partition.received.get(usize::from(leg.from)).copied();
        let last = last.expect("the recognise phase bounds a leg's origin");
        self.outcome.command = Some(leg.step.command().clone());
        self.outcome.transaction = leg.step.transaction();
        let ignored = match walk::order(last, leg.number) {
            Order::Known => Some(Ignored::KnownLeg),
            Order::Gap => Some(Ignored::LegGap),
            Order::Next => None,
        };
        if let Some(ignored) = ignored {
            self.outcome.decision = Decision::Ignored(ignored);
            return;
        }
        assert!(
            leg.rules < RULES_OWN_TRANSIT || self.partition.rules.now() >= RULES_TAKE_OWN_TRANSIT,
            "a leg by rules {} is ahead of this partition's: they were raised out of turn",
            leg.rules
        );
        self.outcome.effects.received = Some((leg.from, leg.number));
        self.follow(leg.rules, leg.step.command());
        match &leg.step {
            Step::Forward { command, .. } => self.command(command),
            Step::Question {
                transaction,
                command,
            } => self.question(command, *transaction),
            Step::Visit {
                transaction,
                command,
                carried,
                portions,
            } => self.visit(&self.at_stop(*transaction, command, carried, portions)),
            Step::Settle {
                transaction,
                command,
                carried,
                portions,
            } => match command.hold() {
                Some(_) => self.confirm(command, *transaction),
                None => {
                    let visit = self.at_stop(*transaction, command, carried, portions);
                    self.settle(leg.from, &visit);
                    self.conclude(command, *transaction, Decision::Applied, Decision::Applied);
                }
            },
            Step::Unwind {
                transaction,
                command,
                carried,
                reason,
                portions,
            } => {
                let visit = self.at_stop(*transaction, command, carried, portions);
                self.unwind(leg.from, &visit, *reason);
                let (returned, refused) =
                    (Decision::Returned(*reason), Decision::Rejected(*reason));
                self.conclude(command, *transaction, returned, refused);
            }
            Step::Take { .. } | Step::Give { .. } | Step::Release { .. } => self.part(leg),
        }
    }

    /// A walked transaction, here.
    pub(super) fn at_stop<'c>(
        &self,
        transaction: TransactionId,
        command: &'c Arc<Command>,
        carried: &'c [Carried],
        portions: &'c [Portion],
    ) -> Visit<'c> {
        let walk = Walk::along(command, portions, self.partition.count);
        let index = walk.index_of(self.partition.id);
        Visit {
            transaction,
            command,
            walk,
            index: index.expect("a walk visits its own stops"),
            carried,
            portions,
        }
    }

    /// A repeat of a walked transaction, at a stop on its way.
    fn question(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        let horizon = self.setting().horizon_seconds;
        let key = match transaction.home() == self.partition.id {
            true => command.seen_key,
            false => command.seen_key.at_stop(transaction),
        };
        let seen = self.partition.seen.find(key, self.outcome.at_ms, horizon);
        self.outcome.replay_of = Some(transaction.offset());
        match seen.map(|seen| seen.decision) {
            None => self.outcome.decision = Decision::Ignored(Ignored::Forgotten),
            Some(decision) => self.repeat(command, transaction, decision),
        }
    }

    /// Sends a question back home.
    fn ask_home(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        let step = Step::Question {
            transaction,
            command: command.clone(),
        };
        self.send(transaction.home(), command.decider(), step);
    }

    /// Sends a question to the stop after this one.
    fn ask(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        let walk = Walk::of(command, self.partition.count);
        let here = walk.index_of(self.partition.id);
        let next = here.and_then(|here| walk.stop_after(here));
        let next = next.expect("a forwarded transaction has a stop after this one");
        let step = Step::Question {
            transaction,
            command: command.clone(),
        };
        self.send(next.partition, next.key, step);
    }

    pub(super) fn send(&mut self, to: PartitionId, key: BalanceId, step: Step) {
        let sent = self.partition.sent.get(usize::from(to)).copied();
        let last = sent.expect("a stop is a partition of the log");
        let ours = self
            .outcome
            .effects
            .sent
            .iter()
            .filter(|(other, _)| *other == to)
            .count();
        let number = u64::try_from(ours)
            .ok()
            .and_then(|ours| last.checked_add(ours)?.checked_add(1));
        let number = number.expect("leg numbers fit 64 bits");
        let rules = match (&step, &self.via) {
            (Step::Question { .. } | Step::Forward { .. }, _) | (_, None) => RULES_FIRST,
            (_, Some(_)) => RULES_OWN_TRANSIT,
        };
        self.outcome.effects.sent.push((to, number));
        self.outcome.legs.push(Leg {
            from: self.partition.id,
            to,
            number,
            key,
            rules,
            step,
        });
    }
}

fn local_transfer(
    partition: &Partition,
    command: &Command,
    postings: &[Posting],
) -> Result<Vec<Entry>, Refusal> {
    let mut draft = Draft::new(partition, postings.len().saturating_mul(2));
    for posting in postings {
        let Posting {
            source,
            asset,
            amount,
            ..
        } = *posting;
        draft.debit(command, source, asset, amount, Direction::Debit)?;
    }
    for posting in postings {
        let Posting {
            destination,
            asset,
            amount,
            ..
        } = *posting;
        draft.credit(command, destination, asset, amount, Direction::Credit)?;
    }
    Ok(draft.entries)
}
