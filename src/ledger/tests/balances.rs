//! Opening and configuring balances.

use super::table::check;

#[test]
fn a_balance_is_opened_once() {
    check(
        1,
        "
        open alice                          | applied
        = alice 0 v1 open
        open alice                          | rejected balance-exists on alice v1
        open alice floor -5 asset EUR       | applied
        = alice:EUR 0 v1
        = bob none
        ",
    );
}

#[test]
fn an_empty_balance_meets_its_limits_when_it_is_opened() {
    check(
        1,
        "
        open alice floor 0.01               | rejected limit-not-met on alice
        open alice ceiling -0.01            | rejected limit-not-met on alice
        open alice floor -10 ceiling 0      | applied
        open bob floor none ceiling none    | applied
        = alice 0 v1
        ",
    );
}

#[test]
fn limits_change_while_the_balance_meets_them() {
    check(
        1,
        "
        open alice ceiling 100              | applied
        world > alice 50.00                 | applied
        set alice ceiling 49.99             | rejected limit-not-met on alice v2
        set alice ceiling 50.00             | applied
        set alice floor 50.01               | rejected limit-not-met on alice v3
        set alice floor 50.00 ceiling none  | applied
        = alice 50 v4
        world > alice 1.00                  | applied
        alice > world 1.01                  | rejected insufficient-funds on alice v5
        set alice floor -20                 | applied
        alice > world 71.00                 | applied
        = alice -20 v7
        set alice floor none                | applied
        alice > world 1000000               | applied
        = alice -1000020 v9
        ",
    );
}

#[test]
fn a_limit_that_is_not_named_is_not_judged() {
    check(
        1,
        "
        open alice                          | applied
        set alice floor none                | applied
        alice > world 5                     | applied
        set alice status frozen             | applied
        set alice ceiling 0                 | applied
        set alice floor 0                   | rejected limit-not-met on alice v5
        = alice -5 v5 frozen
        ",
    );
}

#[test]
fn a_frozen_balance_refuses_in_the_frozen_direction_only() {
    check(
        1,
        "
        open alice                          | applied
        world > alice 10                    | applied
        set alice status debits-frozen      | applied
        alice > world 1                     | rejected balance-frozen on alice v3
        world > alice 1                     | applied
        set alice status credits-frozen     | applied
        world > alice 1                     | rejected balance-frozen on alice v5
        alice > world 1                     | applied
        set alice status frozen             | applied
        alice > world 1                     | rejected balance-frozen on alice v7
        world > alice 1                     | rejected balance-frozen on alice v7
        set alice status open               | applied
        alice > world 10                    | applied
        = alice 0 v9 open
        ",
    );
}

#[test]
fn only_an_empty_balance_is_closed_and_only_a_status_reopens_it() {
    check(
        1,
        "
        open alice                          | applied
        world > alice 1                     | applied
        set alice status closed             | rejected balance-not-empty on alice v2
        alice > world 1                     | applied
        set alice status closed             | applied
        = alice 0 v4 closed
        world > alice 1                     | rejected balance-closed on alice v4
        alice > world 1                     | rejected balance-closed on alice v4
        set alice floor -1                  | rejected balance-closed on alice v4
        set alice status closed             | rejected balance-closed on alice v4
        open alice                          | rejected balance-exists on alice v4
        set alice status open floor -1      | applied
        alice > world 1                     | applied
        = alice -1 v6 open
        ",
    );
}

#[test]
fn a_reserved_credit_keeps_a_balance_from_being_closed() {
    check(
        2,
        "
        open alice floor -5                 | applied
        open bob                            | applied
        open carl.1                         | applied
        alice > bob 5, alice > carl.1 0.01  | rejected insufficient-funds on alice v1
        alice > bob 4, alice > carl.1 1     | forwarded, visit 0>1
        = bob 0 incoming 4 v2
        set bob status closed               | rejected balance-not-empty on bob v2
        leg 0>1                             | applied, settle 1>0
        leg 1>0                             | applied
        = bob 4 incoming 0 v3
        ",
    );
}

#[test]
fn configure_refuses_in_order_of_precedence() {
    check(
        1,
        "
        set alice status closed expect alice=9             | rejected balance-not-found on alice
        open alice                                         | applied
        world > alice 1                                    | applied
        set alice floor 9 status closed asset EUR expect alice=9 | rejected asset-mismatch on alice v2
        set alice floor 9 status closed expect alice=9     | rejected version-mismatch on alice v2
        set alice floor 9 status closed expect alice=2     | rejected limit-not-met on alice v2
        set alice floor 1 status closed expect alice=2     | rejected balance-not-empty on alice v2
        alice > world 1                                    | applied
        set alice status closed expect alice=3             | applied
        set alice floor 9 asset EUR expect alice=9         | rejected asset-mismatch on alice v4
        set alice floor 9 expect alice=9                   | rejected balance-closed on alice v4
        ",
    );
}

#[test]
fn the_systems_own_balances_cannot_be_configured() {
    check(
        2,
        "
        set world status frozen             | rejected balance-not-found on world
        open alice                          | applied
        world > alice 1                     | applied
        set world status frozen asset EUR   | rejected system-balance on world v2
        ",
    );
}
