//! By which rules a partition decides.

use uuid::Uuid;

use crate::ledger::outcome::Ignored;
use crate::ledger::{Decision, Partition, RULES_FIRST, RULES_KNOWN, Record, SeenMap, Setting};

fn begun() -> Partition {
    let mut partition = Partition::new(0, 1);
    let setting = Setting {
        generation: Uuid::from_u128(7),
        horizon_seconds: 600,
    };
    partition.apply(0, 1, &Record::Genesis(setting));
    partition
}

#[test]
fn known_rules_are_a_record_without_effect_on_money() {
    let mut partition = begun();
    assert_eq!(partition.rules(), RULES_FIRST);
    let outcome = partition.apply(1, 1, &Record::Rules(RULES_KNOWN));
    assert_eq!(outcome.decision, Decision::Ignored(Ignored::Rules));
    assert_eq!(partition.rules(), RULES_KNOWN);
    let lower = partition.apply(2, 1, &Record::Rules(RULES_FIRST));
    assert_eq!(lower.effects.rules, None);
    assert_eq!(partition.rules(), RULES_KNOWN, "never back");
}

#[test]
#[should_panic(expected = "by a binary that knows them")]
fn unknown_rules_are_not_decided() {
    begun().apply(1, 1, &Record::Rules(RULES_KNOWN + 1));
}

#[test]
fn a_cut_carries_the_rules() {
    let mut partition = begun();
    let mut raised = partition.apply(1, 1, &Record::Rules(RULES_KNOWN));
    raised.offset = 2;
    raised.effects.rules = Some(RULES_KNOWN + 1);
    partition.fold(&raised);
    let cut = partition.cut().unwrap();
    assert_eq!(cut.rules, RULES_KNOWN + 1);
    let restored = Partition::from_cut(0, &cut, [], [], SeenMap::default());
    assert_eq!(restored.cut(), Some(cut));
}
