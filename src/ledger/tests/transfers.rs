//! Transfers inside one partition.

use super::names::asset;
use super::table::check;
use crate::ledger::{BalanceId, partition_of};

#[test]
fn money_moves_from_source_to_destination() {
    check(
        1,
        "
        open alice                                    | applied
        open bob                                      | applied
        world > alice 12.50                           | applied
        alice > bob 2.5                               | applied
        = world -12.50 v2
        = alice 10.00 v3
        = bob 2.50 v2
        ",
    );
}

#[test]
fn the_world_is_opened_on_first_use_in_every_asset() {
    check(
        1,
        "
        = world none
        open alice                                    | applied
        open bob asset JPY                            | applied
        world > alice 1                               | applied
        world > bob 100 JPY                           | applied
        = world -1.00 v2
        = world:JPY -100 v2
        alice > world 0.40                            | applied
        = world -0.60 v3
        ",
    );
}

#[test]
fn a_refused_transfer_does_not_open_the_world() {
    check(
        1,
        "
        world > nobody 1                              | rejected balance-not-found on nobody
        = world none
        open alice                                    | applied
        alice > world 1                               | rejected insufficient-funds on alice v1
        = world none
        world > alice 1 expect world=1                | rejected version-mismatch on world v0
        world > alice 1 expect world=0                | applied
        = world -1 v2
        ",
    );
}

#[test]
fn a_debit_stops_at_the_floor() {
    check(
        1,
        "
        open alice floor 0                            | applied
        open bob floor -20                            | applied
        open carl floor none                          | applied
        open shop                                     | applied
        world > alice 10                              | applied
        alice > shop 10.01                            | rejected insufficient-funds on alice v2
        alice > shop 10                               | applied
        bob > shop 20.01                              | rejected insufficient-funds on bob v1
        bob > shop 20                                 | applied
        carl > shop 99999999999999999999999999.99     | rejected amount-overflow on shop v3
        carl > shop 99999999999999999999999000.00     | applied
        carl > world 1000.00                          | rejected amount-overflow on carl v2
        carl > world 999.99                           | applied
        = carl -99999999999999999999999999.99 v3
        ",
    );
}

#[test]
fn a_credit_stops_at_the_ceiling() {
    check(
        1,
        "
        open alice ceiling 10                         | applied
        world > alice 10.01                           | rejected ceiling-exceeded on alice v1
        world > alice 10                              | applied
        world > alice 0.01                            | rejected ceiling-exceeded on alice v2
        alice > world 0.01                            | applied
        world > alice 0.01                            | applied
        = alice 10 v4
        ",
    );
}

#[test]
fn several_postings_are_applied_whole_or_not_at_all() {
    check(
        1,
        "
        open alice                                    | applied
        open bob                                      | applied
        open fees ceiling 1                           | applied
        world > alice 10                              | applied
        alice > bob 9, alice > fees 1                 | applied
        = alice 0 v4
        = bob 9 v2
        = fees 1 v2
        bob > alice 4, bob > fees 0.01                | rejected ceiling-exceeded on fees v2
        bob > alice 4, bob > fees 6                   | rejected insufficient-funds on bob v2
        bob > alice 4, bob > nobody 1                 | rejected balance-not-found on nobody
        = alice 0 v4
        = bob 9 v2
        bob > alice 1, bob > alice 2, bob > alice 3   | applied
        = bob 3 v5
        = alice 6 v7
        ",
    );
}

#[test]
fn all_debits_come_before_all_credits() {
    check(
        1,
        "
        open alice                                    | applied
        open bob                                      | applied
        open carl                                     | applied
        world > alice 5                               | applied
        alice > bob 5, bob > carl 5                   | rejected insufficient-funds on bob v1
        world > bob 5                                 | applied
        alice > bob 5, bob > carl 5                   | applied
        = alice 0 v3
        = bob 5 v4
        = carl 5 v2
        ",
    );
}

#[test]
fn one_transfer_may_hold_several_assets() {
    check(
        1,
        "
        open alice                                    | applied
        open alice asset EUR                          | applied
        open bob                                      | applied
        open bob asset EUR                            | applied
        world > alice 10, world > bob 8 EUR           | applied
        alice > bob 5, bob > alice 4 EUR              | applied
        = alice 5 v3
        = alice:EUR 4 v2
        = bob:EUR 4 v3
        alice > bob:EUR 1                             | rejected asset-mismatch on bob v3
        alice:EUR > bob 1                             | rejected asset-mismatch on alice v2
        alice > world:EUR 1                           | rejected asset-mismatch on world v2
        ",
    );
}

#[test]
fn expect_speaks_of_the_version_before_the_transfer() {
    check(
        1,
        "
        open alice                                    | applied
        open bob                                      | applied
        world > alice 10 expect alice=0               | rejected version-mismatch on alice v1
        world > alice 10 expect alice=1               | applied
        alice > bob 1, alice > bob 2 expect alice=2 bob=1   | applied
        = alice 7 v4
        = bob 3 v3
        alice > bob 1 expect alice=4 bob=2            | rejected version-mismatch on bob v3
        alice > bob 1 expect alice=3 bob=3            | rejected version-mismatch on alice v4
        alice > bob 1 expect bob=3                    | applied
        world > bob 1 expect world=2                  | applied
        ",
    );
}

#[test]
fn the_first_refusal_of_the_first_refused_balance_is_the_answer() {
    check(
        1,
        "
        open alice                                    | applied
        open frozen ceiling 1                         | applied
        set frozen status frozen                      | applied
        open closed ceiling 1                         | applied
        set closed status closed                      | applied
        open bob ceiling 1                            | applied
        # one balance: not found, asset, closed, frozen, version, funds or ceiling
        nobody > bob 5 expect nobody=7                | rejected balance-not-found on nobody
        closed > bob 5 EUR                            | rejected balance-not-found on closed
        closed:USD > bob 5 EUR                        | rejected asset-mismatch on closed v2
        closed > bob 5 expect closed=7                | rejected balance-closed on closed v2
        frozen > bob 5 expect frozen=7                | rejected balance-frozen on frozen v2
        alice > bob 5 expect alice=7                  | rejected version-mismatch on alice v1
        alice > bob 5                                 | rejected insufficient-funds on alice v1
        world > frozen 5 expect frozen=7              | rejected balance-frozen on frozen v2
        world > bob 5 expect bob=7                    | rejected version-mismatch on bob v1
        world > bob 5                                 | rejected ceiling-exceeded on bob v1
        # debits in their order, then credits in theirs
        world > nobody 1, alice > bob 1               | rejected insufficient-funds on alice v1
        world > frozen 1, world > closed 1            | rejected balance-frozen on frozen v2
        world > closed 1, world > frozen 1            | rejected balance-closed on closed v2
        ",
    );
}

#[test]
fn a_balance_of_another_ledger_is_not_found() {
    check(
        1,
        "
        open alice floor none                         | applied
        open other/alice floor none                   | applied
        alice > other/alice 1                         | rejected balance-not-found on other/alice
        other/alice > alice 1                         | rejected balance-not-found on other/alice
        set other/alice status frozen                 | rejected balance-not-found on other/alice
        = alice 0 v1
        = other/alice 0 v1 open
        ",
    );
}

#[test]
fn nobody_spends_the_money_on_the_wire() {
    let reachable =
        |code: &String| partition_of(BalanceId::transit((0, 1), 1, None, &asset(code)), 2) == 1;
    let code = (0..).map(|n| format!("T{n}/2")).find(reachable).unwrap();
    let table = "
        open alice floor none asset CODE              | applied
        open bob.1 asset CODE                         | applied
        alice > bob.1 5 CODE                          | forwarded, visit 0>1
        leg 0>1                                       | applied
        = mirror:CODE -5
        mirror > bob.1 1 CODE                         | rejected balance-not-found on mirror
        bob.1 > mirror 1 CODE                         | rejected balance-not-found on mirror
        = mirror:CODE -5
        ";
    check(2, &table.replace("CODE", &code));
}
