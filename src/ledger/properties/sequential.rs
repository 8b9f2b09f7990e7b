//! One command after the other, each run to its end: the oracle knows every answer.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::desk::Desk;
use super::oracle::Oracle;
use super::plan::{ASSETS, Submit, WORLD, openings, submit};
use crate::ledger::tests::message::SETTING;
use crate::ledger::tests::rehearsed::Rehearsed;
use crate::ledger::{Decision, PartitionId};

#[derive(Clone, Debug)]
enum Action {
    Submit(Submit),
    /// The command of an earlier ticket once more.
    Again(prop::sample::Index, Option<u16>),
    /// Seconds pass.
    Wait(i64),
}

fn action() -> impl Strategy<Value = Action> {
    let again = (any::<prop::sample::Index>(), prop::option::of(any::<u16>()));
    prop_oneof![
        12 => submit().prop_map(Action::Submit),
        2 => again.prop_map(|(which, via)| Action::Again(which, via)),
        1 => (0_i64..400).prop_map(Action::Wait),
    ]
}

/// What was answered to a reference, and when.
struct Remembered {
    content: Value,
    answer: Decision,
    at_seconds: i64,
}

struct Run {
    desk: Desk,
    oracle: Oracle,
    /// A reference is remembered where it is decided.
    references: HashMap<(PartitionId, String), Remembered>,
    intents: Vec<Submit>,
}

impl Run {
    fn act(&mut self, action: &Action) {
        let ticket = match action {
            Action::Wait(seconds) => {
                self.desk.cluster.clock_ms += seconds * 1000;
                return;
            }
            Action::Submit(submit) => {
                self.intents.push(submit.clone());
                self.desk.submit(submit)
            }
            Action::Again(which, via) => {
                let earlier = which.index(self.intents.len().max(1));
                let asked = self.desk.asked.get(earlier);
                // A version that was present then may be stale by now.
                if asked.is_none_or(|(_, json)| json["expect"] != json!({})) {
                    return;
                }
                self.intents.push(self.intents[earlier].clone());
                self.desk.again(earlier, *via)
            }
        };
        let mut json = self.desk.asked[ticket].1.clone();
        json.as_object_mut().unwrap().remove("id");
        let rehearsal = Rehearsed::of(&self.desk.cluster, &json);
        self.desk.cluster.drain();
        rehearsal.check(&self.desk.cluster, ticket as u64);
        self.check(ticket);
    }

    fn check(&mut self, ticket: usize) {
        let answer = self.desk.answer(ticket);
        let (home, content) = self.desk.asked[ticket].clone();
        let reference = content["reference"].as_str().unwrap().to_owned();
        let now = self.desk.cluster.clock_ms / 1000;
        let horizon = i64::try_from(SETTING.horizon_seconds).unwrap();
        let known = self.references.get(&(home, reference.clone()));
        if let Some(known) = known.filter(|known| known.at_seconds + horizon >= now) {
            let expected = match known.content == content {
                true => known.answer.reason(),
                false => Some("reference-reused"),
            };
            assert_eq!(answer.reason(), expected, "a repeat of {reference}");
            return;
        }
        let reasons = self.oracle.decide(&self.intents[ticket].intent);
        match answer.reason() {
            None => assert!(reasons.is_empty(), "applied in spite of {reasons:?}"),
            Some(reason) => assert!(reasons.contains(reason), "{reason} is not in {reasons:?}"),
        }
        let remembered = Remembered {
            content,
            answer,
            at_seconds: now,
        };
        self.references.insert((home, reference), remembered);
    }

    fn compare_balances(&self) {
        for who in 0..=WORLD {
            for asset in 0..ASSETS.len() {
                let balance = self.desk.cluster.balance(self.desk.id(who, asset));
                let account = self.oracle.accounts.get(&(who, asset));
                let cents = account.map_or(0, |account| account.cents);
                let state = balance
                    .as_ref()
                    .map_or(Default::default(), |balance| balance.state);
                assert_eq!(self.desk.posted(who, asset), i128::from(cents));
                assert_eq!((state.held, state.incoming), (0, 0));
                if who == WORLD {
                    continue;
                }
                let limits = account.map(|a| (a.floor, a.ceiling, a.status));
                let wide = |limit: Option<i128>| limit.map(|cents| i64::try_from(cents).unwrap());
                let kept = balance.map(|b| (wide(b.floor), wide(b.ceiling), b.status.slug()));
                assert_eq!(kept, limits);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_oracle_agrees_with_every_answer(
        count in 1_u16..5,
        openings in openings(),
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let (desk, oracle) = (Desk::new(count), Oracle::default());
        let mut run = Run { desk, oracle, references: HashMap::new(), intents: Vec::new() };
        let openings = openings.into_iter().map(Action::Submit);
        for action in openings.chain(actions) {
            run.act(&action);
            run.compare_balances();
        }
    }
}
