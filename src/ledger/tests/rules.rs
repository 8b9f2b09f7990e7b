//! By which rules a partition decides.

use serde_json::{Value, json};
use uuid::Uuid;

use super::cluster::Cluster;
use super::message::Message;
use super::names::asset;
use super::table::check;
use crate::ledger::outcome::Ignored;
use crate::ledger::{
    BalanceId, Decision, Partition, PartitionId, RULES_FIRST, RULES_KNOWN, Record, Rejection,
    SeenMap, Setting, partition_of,
};

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
    assert_eq!(partition.rules().now(), RULES_FIRST);
    let outcome = partition.apply(1, 1, &Record::Rules(RULES_KNOWN));
    assert_eq!(outcome.decision, Decision::Ignored(Ignored::Rules));
    assert_eq!(partition.rules().now(), RULES_KNOWN);
    let lower = partition.apply(2, 1, &Record::Rules(RULES_FIRST));
    assert_eq!(lower.effects.rules, None);
    assert_eq!(partition.rules().now(), RULES_KNOWN, "never back");
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
    assert_eq!(cut.rules.now(), RULES_KNOWN + 1);
    let restored = Partition::from_cut(0, &cut, [], [], SeenMap::default());
    assert_eq!(restored.cut(), Some(cut));
}

/// Three partitions that take what later rules make, and make none of it.
const ANNOUNCED: &str = "
    open alice floor none                     | applied
    open bob.1 floor none                     | applied
    open carl.2 floor none                    | applied
    raise 0 2                                 | ignored rules
    raise 1 2                                 | ignored rules
    raise 2 2                                 | ignored rules
";

fn announced(table: &str) {
    check(3, &format!("{ANNOUNCED}{table}"));
}

#[test]
fn a_walk_stays_on_the_balances_that_it_set_out_on() {
    announced(
        "
        alice > bob.1 5, bob.1 > alice 2      | forwarded, visit 0>1
        wire 0>1 5.00
        raise 1 3                             | ignored rules
        leg 0>1                               | applied, settle 1>0
        wire 0>1 0.00
        wire 1>0 2.00
        wire 1>0 0.00 own
        raise 0 3                             | ignored rules
        leg 1>0                               | applied
        wire 1>0 0.00
        = alice -3
        = bob.1 3
        ",
    );
}

#[test]
fn a_walk_by_later_rules_passes_partitions_that_are_behind() {
    announced(
        "
        raise 0 3                             | ignored rules
        alice > bob.1 5, bob.1 > alice 2, bob.1 > carl.2 1 | forwarded, visit 0>1
        wire 0>1 5.00 own
        wire 0>1 0.00
        leg 0>1                               | forwarded, visit 1>2
        wire 0>1 0.00 own
        wire 1>2 8.00 own
        leg 1>2                               | applied, settle 2>0, settle 2>1
        wire 1>2 0.00 own
        wire 2>0 2.00 own
        marker 2
        takeover 2 0
        leg 2>0                               | applied
        leg 2>1                               | applied
        wire 2>0 0.00 own
        wire 2>1 0.00 own
        # what sets out there does as it always did
        bob.1 > alice 1                       | forwarded, visit 1>0
        wire 1>0 1.00
        leg 1>0                               | applied
        wire 1>0 0.00
        ",
    );
}

#[test]
fn a_walk_turns_back_over_the_balances_it_came_by() {
    let back = "
        alice > nobody.2 5, bob.1 > nobody.2 3 | forwarded, visit 0>1
        RAISE 0
        leg 0>1                               | forwarded, visit 1>2
        wire 1>2 8.00 OWN
        RAISE 1
        leg 1>2                               | rejected balance-not-found, unwind 2>1
        RAISE 2
        leg 2>1                               | returned balance-not-found, unwind 1>0
        wire 1>2 0.00 OWN
        wire 0>1 5.00 OWN
        leg 1>0                               | returned balance-not-found
        wire 0>1 0.00 OWN
        = alice 0
        = bob.1 0
        ";
    let raised = |back: &str| {
        let rows = back.lines().map(|row| match row.split_once("RAISE ") {
            Some((_, partition)) => format!("raise {partition} 3 | ignored rules\n"),
            None => format!("{row}\n"),
        });
        rows.collect::<String>()
    };
    announced(&raised(&back.replace("OWN", "")));
    let behind = back.replace("RAISE", "#").replace("OWN", "own");
    announced(&format!("raise 0 3 | ignored rules\n{behind}"));
}

#[test]
fn a_hold_keeps_the_way_that_it_reserved() {
    announced(
        "
        h: hold alice > bob.1 6, alice > carl.2 1 for 15m | forwarded, visit 0>1
        leg 0>1                               | forwarded, visit 1>2
        leg 1>2                               | held, settle 2>0
        leg 2>0                               | held
        wire 0>1 0.00 reserved 6.00
        raise 0 3                             | ignored rules
        raise 1 3                             | ignored rules
        post h 2                              | posted, give 0>1
        wire 0>1 2.00 reserved 4.00
        wire 0>1 0.00 own
        leg 0>1                               | posted
        wire 0>1 0.00 reserved 4.00
        marker 0
        takeover 0 0
        post h 1                              | posted, give 0>1
        wire 0>1 1.00 reserved 3.00
        leg 0>1                               | posted
        void h                                | voided, release 0>1, release 0>2
        wire 0>1 0.00
        wire 0>2 0.00
        leg 0>1                               | voided
        leg 0>2                               | voided
        # one that is made by them has a way of its own
        k: hold alice > bob.1 6, bob.1 > carl.2 1 for 15m | forwarded, visit 0>1
        leg 0>1                               | forwarded, visit 1>2
        leg 1>2                               | held, settle 2>0
        leg 2>0                               | held
        wire 0>1 0.00 own reserved 6.00
        wire 1>2 0.00 own reserved 1.00
        post k 6.50                           | posted, give 0>1, take 0>1
        wire 0>1 6.00 own
        leg 0>1                               | posted
        leg 0>1                               | posted, give 1>2
        wire 0>1 0.00 own
        wire 1>2 0.50 own reserved 0.50
        leg 1>2                               | posted
        wire 1>2 0.00 own reserved 0.50
        marker 0
        takeover 0 0
        at 900
        tick k                                | expired, release 0>1, release 0>2
        leg 0>1                               | expired
        leg 0>2                               | expired
        wire 1>2 0.00 own
        ",
    );
}

#[test]
fn a_hold_that_a_later_stop_refuses_gives_its_own_way_up() {
    announced(
        "
        h: hold alice > nobody.2 5, bob.1 > nobody.2 3 | forwarded, visit 0>1
        raise 0 3                             | ignored rules
        leg 0>1                               | forwarded, visit 1>2
        wire 1>2 0.00 reserved 3.00
        raise 1 3                             | ignored rules
        leg 1>2                               | rejected balance-not-found, unwind 2>1
        leg 2>1                               | returned balance-not-found, unwind 1>0
        wire 1>2 0.00
        wire 0>2 0.00 reserved 5.00
        leg 1>0                               | returned balance-not-found
        wire 0>2 0.00
        k: hold alice > nobody.2 5            | forwarded, visit 0>2
        wire 0>2 0.00 own reserved 5.00
        leg 0>2                               | rejected balance-not-found, unwind 2>0
        leg 2>0                               | returned balance-not-found
        wire 0>2 0.00 own
        ",
    );
}

#[test]
fn a_reversal_goes_by_the_rules_that_it_sets_out_under() {
    announced(
        "
        r: alice > bob.1 5                    | forwarded, visit 0>1
        leg 0>1                               | applied
        raise 0 3                             | ignored rules
        reverse r 2                           | forwarded, visit 0>1
        leg 0>1                               | applied, settle 1>0
        wire 1>0 2.00 own
        leg 1>0                               | applied
        wire 1>0 0.00 own
        = alice -3
        ",
    );
}

#[test]
fn questions_and_strays_say_nothing_of_rules() {
    announced(
        "
        raise 0 3                             | ignored rules
        via 0 f: bob.1 > alice 1              | ignored misrouted, forward 0>1
        leg 0>1                               | forwarded, visit 1>0
        wire 1>0 1.00
        leg 1>0                               | applied
        r: alice > bob.1 5                    | forwarded, visit 0>1
        r: alice > bob.1 5                    | replay forwarded, question 0>1
        leg 0>1                               | applied
        leg 0>1                               | replay applied
        ",
    );
}

#[test]
#[should_panic(expected = "raised out of turn")]
fn a_leg_ahead_of_its_receiver_is_not_decided() {
    check(
        2,
        "
        open alice floor none                 | applied
        raise 0 3                             | ignored rules
        alice > bob.1 5                       | forwarded, visit 0>1
        leg 0>1                               | rejected balance-not-found, unwind 1>0
        ",
    );
}

#[test]
fn a_partition_knows_by_which_rules_it_decided_what() {
    let mut partition = begun();
    partition.apply(1, 1, &Record::Rules(2));
    partition.apply(2, 1, &Record::DeadLetter);
    partition.apply(3, 1, &Record::Rules(2));
    partition.apply(4, 1, &Record::Rules(3));
    let by = |offset| partition.rules().at(offset);
    assert_eq!([0, 1, 2, 3, 4, 5].map(by), [1, 1, 2, 2, 2, 3]);
}

/// Two tenants, each with two unlimited accounts in partition 0 and one in partition 1.
struct Tenants {
    cluster: Cluster,
    asked: u64,
}

impl Tenants {
    fn new() -> Self {
        let cluster = Cluster::new(2);
        let mut tenants = Self { cluster, asked: 0 };
        for tenant in ["greedy/book", "modest/book"] {
            for (name, partition) in [("one", 0), ("two", 0), ("far", 1)] {
                let (id, key) = account(tenant, name, partition);
                let open = json!({"reference": name, "type": "open", "ledger": tenant,
                    "open": {"account": name, "key": key, "asset": "USD", "floor": null}});
                tenants.ask(id, &open);
            }
        }
        tenants
    }

    /// What is answered in the end, when everything has arrived.
    fn ask(&mut self, key: BalanceId, json: &Value) -> Decision {
        self.asked += 1;
        let to = partition_of(key, 2);
        self.cluster
            .append(to, Message::command(self.asked, key, json));
        self.cluster.drain();
        self.cluster.answers[&self.asked].decision
    }

    /// Moves money from an account in partition 0 to partition 1.
    fn moves(&mut self, tenant: &str, name: &str, amount: &str) -> Decision {
        let from = account(tenant, name, 0).0;
        let to = account(tenant, "far", 1).0;
        let json = json!({"reference": format!("r{}", self.asked), "type": "transfer",
            "ledger": tenant, "postings": [{"source": from.uuid(), "destination": to.uuid(),
            "amount": amount, "asset": "USD"}]});
        self.ask(from, &json)
    }
}

/// A tenant's account in a partition, and its key.
fn account(tenant: &str, name: &str, partition: PartitionId) -> (BalanceId, String) {
    let keys = (0..).map(|number| format!("k{number}"));
    let mut own = keys.map(|key| (BalanceId::of(tenant, name, &asset("USD"), &key), key));
    own.find(|(id, _)| partition_of(*id, 2) == partition)
        .unwrap()
}

#[test]
fn whoever_fills_a_way_stops_nobody_but_himself() {
    let full = Decision::Rejected(Rejection::AmountOverflow);
    for (raised, others) in [(false, full), (true, Decision::Applied)] {
        let mut tenants = Tenants::new();
        if raised {
            tenants.cluster.raise(0);
        }
        let all = "99999999999999999999999999.99";
        assert_eq!(tenants.moves("greedy/book", "one", all), Decision::Applied);
        assert_eq!(tenants.moves("greedy/book", "two", "0.01"), full);
        assert_eq!(tenants.moves("modest/book", "one", "0.01"), others);
        // What was filled by earlier rules is in nobody's way any more.
        tenants.cluster.raise(0);
        let again = tenants.moves("modest/book", "one", "0.01");
        assert_eq!(again, Decision::Applied);
    }
}
