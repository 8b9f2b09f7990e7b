//! One record, from what it asks to its outcome.

use std::sync::Arc;

use super::contents::Contents;
use super::page::{Page, Refusal};
use super::way::partition_of;
use super::{Oracle, Place, limits};
use crate::ledger::command::Body;
use crate::ledger::outcome::Ignored;
use crate::ledger::{
    BalanceId, Command, Decision, Effects, Outcome, PartitionId, Record, Rejection, Setting, Step,
    TransactionId,
};

/// Decides a record and changes the books accordingly.
pub(super) fn turn(
    oracle: &mut Oracle,
    (here, offset, at_ms): (PartitionId, u64, i64),
    record: &Record,
    contents: Contents,
) -> Outcome {
    let place = oracle.places.entry(here).or_default();
    let outcome = Outcome {
        offset,
        at_ms: at_ms.max(place.log_time_ms),
        follows: place.last,
        decision: Decision::Ignored(Ignored::DeadLetter),
        transaction: None,
        command: None,
        replay_of: None,
        detail: None,
        effects: Effects::default(),
        legs: Vec::new(),
    };
    let mut turn = Turn {
        oracle,
        here,
        contents,
        outcome,
        purse: None,
    };
    match record {
        Record::DeadLetter => {}
        Record::Genesis(setting) => {
            turn.outcome.decision = Decision::Ignored(Ignored::Genesis);
            turn.outcome.effects.setting = Some(*setting);
            turn.place().setting = Some(*setting);
        }
        Record::Rules(rules) => {
            turn.outcome.decision = Decision::Ignored(Ignored::Rules);
            if *rules > turn.rules_at(offset) {
                turn.place().rules.push((*rules, offset));
                turn.outcome.effects.rules = Some(*rules);
            }
        }
        Record::Command(command) => turn.arrived(command),
        Record::Leg(leg) => turn.leg(leg),
    }
    turn.outcome
}

pub(super) struct Turn<'a> {
    pub(super) oracle: &'a mut Oracle,
    pub(super) here: PartitionId,
    /// What the record's command says.
    pub(super) contents: Contents,
    pub(super) outcome: Outcome,
    /// Whose money on the wire this is: of one ledger, or of all together.
    pub(super) purse: Option<Arc<str>>,
}

impl Turn<'_> {
    pub(super) fn place(&mut self) -> &mut Place {
        self.oracle.places.entry(self.here).or_default()
    }

    /// The rules that everything at `offset` of this partition goes by.
    pub(super) fn rules_at(&mut self, offset: u64) -> u32 {
        let asked = self.place().rules.iter();
        let before = asked.filter(|(_, at)| *at < offset);
        before.map(|(rules, _)| *rules).max().unwrap_or(1)
    }

    /// By rules 3, money on the wire is that of its ledger.
    pub(super) fn purse_by(rules: u32, command: &Command) -> Option<Arc<str>> {
        match rules {
            1 | 2 => None,
            _ => Some(command.ledger.clone()),
        }
    }

    pub(super) fn setting(&mut self) -> Setting {
        let setting = self.place().setting;
        setting.expect("the log's first record comes before its commands")
    }

    /// A client's command, perhaps on the wrong partition.
    fn arrived(&mut self, command: &Arc<Command>) {
        self.outcome.command = Some(command.clone());
        let key = decider(command);
        let home = partition_of(key, self.oracle.count);
        if home == self.here {
            return self.command(command);
        }
        self.outcome.decision = Decision::Ignored(Ignored::Misrouted);
        let step = Step::Forward {
            command: command.clone(),
            origin_offset: self.outcome.offset,
        };
        self.send((home, key), step);
    }

    /// A command at home: the first of its reference, a repeat, or another one under its name.
    pub(super) fn command(&mut self, command: &Arc<Command>) {
        if let Body::Expire(target) = &command.body {
            return self.expire(command, *target);
        }
        let generation = self.setting().generation;
        let Some(known) = self.recall(command, None) else {
            let id = TransactionId::new(self.here, self.outcome.offset, generation);
            self.outcome.transaction = Some(id);
            return self.fresh(command, id);
        };
        if known.content != self.contents.own {
            self.outcome.decision = Decision::Rejected(Rejection::ReferenceReused);
            return;
        }
        let id = TransactionId::new(self.here, known.offset, generation);
        self.outcome.transaction = Some(id);
        self.repeat(command, id, known.decision);
    }

    /// Says again what was said, or asks who knows: the next stop, or home of a hold.
    pub(super) fn repeat(&mut self, command: &Arc<Command>, id: TransactionId, said: Decision) {
        self.outcome.replay_of = Some(id.offset());
        self.outcome.decision = said;
        let who = if said == Decision::Forwarded {
            let visit = self.visit_of(command, id, &[], &[]);
            visit.stops[visit.index + 1]
        } else if said == Decision::Held && id.home() != self.here {
            (id.home(), decider(command))
        } else {
            return;
        };
        let (transaction, command) = (id, command.clone());
        self.send(
            who,
            Step::Question {
                transaction,
                command,
            },
        );
    }

    fn fresh(&mut self, command: &Arc<Command>, id: TransactionId) {
        if let Some(reason) = self.out_of_time(command) {
            let refused = Decision::Rejected(reason);
            return self.conclude(command, id, refused, refused);
        }
        self.purse = Self::purse_by(self.rules_at(id.offset()), command);
        let mut page = Page::new(&mut self.oracle.balances, self.outcome.offset);
        let result = match &command.body {
            Body::Open(open) => limits::open(&mut page, command, open),
            Body::Configure(configure) => limits::configure(&mut page, command, configure),
            Body::Transfer(_) | Body::Hold(_) | Body::ClosePeriod(_) => {
                return self.pass(&self.visit_of(command, id, &[], &[]));
            }
            Body::Post(post) => return self.post(command, id, post),
            Body::Void(target) => return self.void(command, id, *target),
            Body::Reverse(asked) => return self.reverse(command, id, asked),
            Body::Expire(_) => unreachable!("nobody asks to expire a hold under a reference"),
        };
        let decision = match result {
            Ok(()) => {
                self.outcome.effects.entries = page.entries;
                Decision::Applied
            }
            Err(refusal) => {
                page.put_back();
                self.refuse(refusal)
            }
        };
        self.conclude(command, id, decision, decision);
    }

    pub(super) fn refuse(&mut self, (rejection, detail): Refusal) -> Decision {
        self.outcome.detail = Some(detail);
        Decision::Rejected(rejection)
    }
}

/// The balance whose partition decides.
pub(super) fn decider(command: &Command) -> BalanceId {
    match &command.body {
        Body::Open(open) => open.balance,
        Body::Configure(configure) => configure.balance,
        Body::ClosePeriod(close) => close.home,
        Body::Transfer(postings) => postings[0].source.id,
        Body::Hold(hold) => hold.postings[0].source.id,
        Body::Post(post) => post.target.balance,
        Body::Void(target) | Body::Expire(target) => target.balance,
        Body::Reverse(asked) => decider(&asked.original),
    }
}
