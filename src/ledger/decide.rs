//! Record → outcome: reads the partition, changes nothing.

use std::sync::Arc;

use super::balance::{State, Status};
use super::command::{Body, Command, Configure, Open, Posting};
use super::draft::{Draft, Refusal};
use super::id::{BalanceId, TransactionId};
use super::outcome::{Decision, Detail, Direction, Effects, Entry, Ignored, Mark, Outcome, Terms};
use super::partition::Partition;
use super::rejection::Rejection;
use super::route::{PartitionId, partition_of};
use super::walk::{self, Carried, Leg, Record, Step, Stop};

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
    };
    match record {
        Record::DeadLetter => {}
        Record::Genesis(setting) => {
            turn.outcome.decision = Decision::Ignored(Ignored::Genesis);
            turn.outcome.effects.setting = Some(*setting);
        }
        Record::Command(command) => turn.route(command),
        Record::Leg(leg) => turn.leg(leg),
    }
    turn.outcome
}

struct Turn<'a> {
    partition: &'a Partition,
    outcome: Outcome,
}

/// A transaction at one of its stops.
struct Visit<'a> {
    transaction: TransactionId,
    command: &'a Arc<Command>,
    stops: &'a [Stop],
    index: usize,
    carried: &'a [Carried],
}

/// A refused transaction on its way back.
struct Undo<'a> {
    transaction: TransactionId,
    command: &'a Arc<Command>,
    /// What this stop had sent on.
    carried: &'a [Carried],
    reason: Rejection,
}

impl Turn<'_> {
    fn route(&mut self, command: &Arc<Command>) {
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
        let setting = self
            .partition
            .setting
            .expect("the log's first record comes first");
        let seen = self.partition.seen.find(
            command.seen_key,
            self.outcome.at_ms,
            setting.horizon_seconds,
        );
        let Some(seen) = seen.copied() else {
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
        self.outcome.decision = seen.decision;
        if seen.decision == Decision::Forwarded {
            self.ask(command, transaction);
        }
    }

    fn fresh(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        let result = match &command.body {
            Body::Open(open) => open_balance(self.partition, command, open),
            Body::Configure(configure) => configure_balance(self.partition, command, configure),
            Body::Transfer(postings) => {
                let count = self.partition.count;
                if !walk::is_local(postings, self.partition.id, count) {
                    let stops = walk::stops(postings, count);
                    let carried = &[];
                    let visit = Visit {
                        transaction,
                        command,
                        stops: &stops,
                        index: 0,
                        carried,
                    };
                    return self.visit(&visit);
                }
                local_transfer(self.partition, command, postings)
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

    fn refuse(&mut self, (rejection, detail): Refusal) -> Decision {
        self.outcome.detail = Some(detail);
        Decision::Rejected(rejection)
    }

    /// Sets the decision, and what a repeat will be answered.
    fn conclude(
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
        if leg.number <= last {
            self.outcome.decision = Decision::Ignored(Ignored::KnownLeg);
            return;
        }
        if last.checked_add(1) != Some(leg.number) {
            self.outcome.decision = Decision::Ignored(Ignored::LegGap);
            return;
        }
        self.outcome.effects.received = Some((leg.from, leg.number));
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
            } => {
                let stops = walk::stops(command.postings(), self.partition.count);
                let here = stops
                    .iter()
                    .position(|stop| stop.partition == self.partition.id);
                let index = here.expect("a walk visits its own stops");
                let transaction = *transaction;
                self.visit(&Visit {
                    transaction,
                    command,
                    stops: &stops,
                    index,
                    carried,
                });
            }
            Step::Settle {
                transaction,
                command,
                carried,
            } => {
                self.settle(leg.from, command, carried);
                self.conclude(command, *transaction, Decision::Applied, Decision::Applied);
            }
            Step::Unwind {
                transaction,
                command,
                carried,
                reason,
            } => {
                self.unwind(
                    leg.from,
                    &Undo {
                        transaction: *transaction,
                        command,
                        carried,
                        reason: *reason,
                    },
                );
                let (returned, refused) =
                    (Decision::Returned(*reason), Decision::Rejected(*reason));
                self.conclude(command, *transaction, returned, refused);
            }
        }
    }

    /// One stop of the walk: debits first, then credits, then the money goes on.
    fn visit(&mut self, visit: &Visit<'_>) {
        let mut draft = Draft::new(
            self.partition,
            visit.command.postings().len().saturating_mul(2),
        );
        let last = visit.index.checked_add(1) == Some(visit.stops.len());
        let decision = match self.pass(&mut draft, visit, last) {
            Ok(legs) => {
                self.outcome.effects.entries = draft.entries;
                for (stop, step) in legs {
                    self.send(stop.partition, stop.key, step);
                }
                if last {
                    Decision::Applied
                } else {
                    Decision::Forwarded
                }
            }
            Err(refusal) => {
                let decision = self.refuse(refusal);
                self.turn_back(visit, refusal.0);
                decision
            }
        };
        self.conclude(visit.command, visit.transaction, decision, decision);
    }

    fn pass(
        &self,
        draft: &mut Draft<'_>,
        visit: &Visit<'_>,
        last: bool,
    ) -> Result<Vec<(Stop, Step)>, Refusal> {
        let Visit {
            transaction,
            command,
            stops,
            index,
            carried,
        } = *visit;
        let (here, count) = (self.partition.id, self.partition.count);
        let postings = command.postings();
        if let Some(before) = index.checked_sub(1).and_then(|before| stops.get(before)) {
            for money in carried {
                draft.arrive(before.partition, *money)?;
            }
        }
        debit_here(draft, command, here, count)?;
        let direction = if last {
            Direction::Credit
        } else {
            Direction::Reserve
        };
        credit_here(draft, command, here, count, direction)?;
        let mut onward: Vec<Carried> = carried.to_vec();
        for posting in postings
            .iter()
            .filter(|p| partition_of(p.source.id, count) == here)
        {
            walk::add(&mut onward, posting.asset, posting.amount);
        }
        let command = || (*command).clone();
        let mut legs = Vec::new();
        if let Some(next) = index.checked_add(1).and_then(|next| stops.get(next)) {
            for money in &onward {
                draft.leave(next.partition, *money)?;
            }
            legs.push((
                *next,
                Step::Visit {
                    transaction,
                    command: command(),
                    carried: onward,
                },
            ));
            return Ok(legs);
        }
        for stop in stops.iter().take(index) {
            let carried = walk::credits_at(postings, stop.partition, count);
            if carried.is_empty() {
                continue;
            }
            for money in &carried {
                draft.leave(stop.partition, *money)?;
            }
            legs.push((
                *stop,
                Step::Settle {
                    transaction,
                    command: command(),
                    carried,
                },
            ));
        }
        Ok(legs)
    }

    /// Refused at a later stop: nothing happened here, and what came goes back the way it came.
    fn turn_back(&mut self, visit: &Visit<'_>, reason: Rejection) {
        let before = visit.index.checked_sub(1);
        if let Some(before) = before.and_then(|before| visit.stops.get(before)) {
            let step = Step::Unwind {
                transaction: visit.transaction,
                command: visit.command.clone(),
                carried: visit.carried.to_vec(),
                reason,
            };
            self.send(before.partition, before.key, step);
        }
    }

    fn settle(&mut self, from: PartitionId, command: &Command, carried: &[Carried]) {
        let mut draft = Draft::new(self.partition, command.postings().len());
        for money in carried {
            draft
                .arrive(from, *money)
                .expect("transit has room for what is on it");
        }
        for posting in self.credits_here(command) {
            draft.resolve(posting.destination.id, posting.amount, Direction::Settle);
        }
        self.outcome.effects.entries = draft.entries;
    }

    /// The walk back: undoes this stop's part, and hands on what had come from the stop before.
    fn unwind(&mut self, from: PartitionId, undo: &Undo<'_>) {
        let Undo {
            transaction,
            command,
            carried,
            reason,
        } = *undo;
        let (here, count) = (self.partition.id, self.partition.count);
        let postings = command.postings();
        let mut draft = Draft::new(self.partition, postings.len().saturating_mul(2));
        let mut returned = carried.to_vec();
        for posting in postings
            .iter()
            .filter(|p| partition_of(p.source.id, count) == here)
        {
            if !draft.give_back(posting.source.id, posting.amount) {
                walk::take(&mut returned, posting.asset, posting.amount);
            }
        }
        for posting in self.credits_here(command) {
            draft.resolve(posting.destination.id, posting.amount, Direction::Release);
        }
        for money in &returned {
            draft.come_back(from, *money);
        }
        let stops = walk::stops(postings, count);
        if let Some((stop, carried)) = walk::before(postings, &stops, here, count) {
            for money in &carried {
                draft.go_back(stop.partition, *money);
            }
            let step = Step::Unwind {
                transaction,
                command: command.clone(),
                carried,
                reason,
            };
            self.send(stop.partition, stop.key, step);
        }
        self.outcome.effects.entries = draft.entries;
    }

    fn credits_here<'c>(&self, command: &'c Command) -> impl Iterator<Item = &'c Posting> {
        let (here, count) = (self.partition.id, self.partition.count);
        let postings = command.postings().iter();
        postings.filter(move |p| partition_of(p.destination.id, count) == here)
    }

    /// A repeat of a walked transaction, at a stop on its way.
    fn question(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        let setting = self
            .partition
            .setting
            .expect("the log's first record comes first");
        let key = command.seen_key.at_stop(transaction);
        let seen = self
            .partition
            .seen
            .find(key, self.outcome.at_ms, setting.horizon_seconds);
        self.outcome.replay_of = Some(transaction.offset());
        match seen.map(|seen| seen.decision) {
            None => self.outcome.decision = Decision::Ignored(Ignored::Forgotten),
            Some(decision) => {
                self.outcome.decision = decision;
                if decision == Decision::Forwarded {
                    self.ask(command, transaction);
                }
            }
        }
    }

    /// Sends a question to the stop after this one.
    fn ask(&mut self, command: &Arc<Command>, transaction: TransactionId) {
        let stops = walk::stops(command.postings(), self.partition.count);
        let here = self.partition.id;
        let next = stops
            .iter()
            .skip_while(|stop| stop.partition != here)
            .nth(1);
        let next = *next.expect("a forwarded transaction has a stop after this one");
        let step = Step::Question {
            transaction,
            command: command.clone(),
        };
        self.send(next.partition, next.key, step);
    }

    fn send(&mut self, to: PartitionId, key: BalanceId, step: Step) {
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
        self.outcome.effects.sent.push((to, number));
        self.outcome.legs.push(Leg {
            from: self.partition.id,
            to,
            number,
            key,
            step,
        });
    }
}

fn open_balance(
    partition: &Partition,
    command: &Command,
    open: &Open,
) -> Result<Vec<Entry>, Refusal> {
    let version = partition
        .balance(open.balance)
        .map(|balance| balance.state.version);
    let detail = Detail {
        balance: open.balance,
        version,
    };
    if version.is_some() {
        return Err((Rejection::BalanceExists, detail));
    }
    if open.account.starts_with('@') {
        return Err((Rejection::SystemBalance, detail));
    }
    let empty = State::default();
    if !empty.above(open.floor) || !empty.below(open.ceiling) {
        return Err((Rejection::LimitNotMet, detail));
    }
    let terms = Terms {
        ledger: command.ledger.clone(),
        account: open.account.clone(),
        key: open.key.clone(),
        floor: open.floor,
        ceiling: open.ceiling,
        status: Status::Open,
    };
    let mut draft = Draft::new(partition, 1);
    draft.open(open.balance, open.asset, terms);
    Ok(draft.entries)
}

fn configure_balance(
    partition: &Partition,
    command: &Command,
    configure: &Configure,
) -> Result<Vec<Entry>, Refusal> {
    let nowhere = Detail {
        balance: configure.balance,
        version: None,
    };
    let found = partition.balance(configure.balance);
    let Some(balance) = found.filter(|balance| balance.ledger == command.ledger) else {
        return Err((Rejection::BalanceNotFound, nowhere));
    };
    let State {
        posted,
        held,
        incoming,
        version,
    } = balance.state;
    let refuse = |rejection| {
        Err((
            rejection,
            Detail {
                version: Some(version),
                ..nowhere
            },
        ))
    };
    if balance.name.starts_with('@') {
        return refuse(Rejection::SystemBalance);
    }
    if configure.asset.is_some_and(|asset| asset != balance.asset) {
        return refuse(Rejection::AssetMismatch);
    }
    if balance.status == Status::Closed && configure.status.is_none_or(|to| to == Status::Closed) {
        return refuse(Rejection::BalanceClosed);
    }
    if command
        .expect
        .iter()
        .any(|(_, expected)| *expected != version)
    {
        return refuse(Rejection::VersionMismatch);
    }
    let floor = configure.floor.unwrap_or(balance.floor);
    let ceiling = configure.ceiling.unwrap_or(balance.ceiling);
    let raised = configure.floor.is_some() && !balance.state.above(floor);
    let lowered = configure.ceiling.is_some() && !balance.state.below(ceiling);
    if raised || lowered {
        return refuse(Rejection::LimitNotMet);
    }
    let status = configure.status.unwrap_or(balance.status);
    if status == Status::Closed && (posted, held, incoming) != (0, 0, 0) {
        return refuse(Rejection::BalanceNotEmpty);
    }
    let terms = Terms {
        ledger: balance.ledger.clone(),
        account: balance.account().into(),
        key: balance.key().into(),
        floor,
        ceiling,
        status,
    };
    let version = version.checked_add(1).expect("versions fit 64 bits");
    Ok(vec![Entry {
        balance: configure.balance,
        direction: Direction::Configure,
        amount: 0,
        asset: balance.asset,
        after: State {
            version,
            ..balance.state
        },
        terms: Some(Box::new(terms)),
    }])
}

fn local_transfer(
    partition: &Partition,
    command: &Command,
    postings: &[Posting],
) -> Result<Vec<Entry>, Refusal> {
    let mut draft = Draft::new(partition, postings.len().saturating_mul(2));
    for posting in postings {
        draft.debit(command, posting.source, posting.asset, posting.amount)?;
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

fn debit_here(
    draft: &mut Draft<'_>,
    command: &Command,
    here: PartitionId,
    count: PartitionId,
) -> Result<(), Refusal> {
    let postings = command.postings().iter();
    for posting in postings.filter(|p| partition_of(p.source.id, count) == here) {
        draft.debit(command, posting.source, posting.asset, posting.amount)?;
    }
    Ok(())
}

fn credit_here(
    draft: &mut Draft<'_>,
    command: &Command,
    here: PartitionId,
    count: PartitionId,
    direction: Direction,
) -> Result<(), Refusal> {
    let postings = command.postings().iter();
    for posting in postings.filter(|p| partition_of(p.destination.id, count) == here) {
        let Posting {
            destination,
            asset,
            amount,
            ..
        } = *posting;
        draft.credit(command, destination, asset, amount, direction)?;
    }
    Ok(())
}
