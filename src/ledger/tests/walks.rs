//! Transactions over several partitions.

use super::table::check;

#[test]
fn one_source_and_one_destination_elsewhere_are_two_records() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1                            | applied
        world > alice 10                      | applied
        alice > bob.1 4                       | forwarded, visit 0>1
        = alice 6 v3
        = bob.1 0 v1
        wire 0>1 4.00
        leg 0>1                               | applied
        = bob.1 4 v2
        wire 0>1 0.00
        ",
    );
}

#[test]
fn debits_come_first_and_credits_are_reserved_until_the_last_stop_decides() {
    check(
        3,
        "
        open alice floor none                 | applied
        open bob.1 floor none                 | applied
        open carl.2                           | applied
        alice > carl.2 1, bob.1 > alice 4     | forwarded, visit 0>1
        = alice -1 incoming 4 v3
        wire 0>1 1.00
        leg 0>1                               | forwarded, visit 1>2
        = bob.1 -4 incoming 0 v2
        wire 0>1 0.00
        wire 1>2 5.00
        leg 1>2                               | applied, settle 2>0
        = carl.2 1 v2
        wire 1>2 0.00
        wire 2>0 4.00
        leg 2>0                               | applied
        = alice 3 incoming 0 v4
        wire 2>0 0.00
        ",
    );
}

#[test]
fn stops_with_debits_come_before_stops_with_credits_only() {
    check(
        3,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        open carl.2 floor none                | applied
        alice > bob.1 1, carl.2 > alice 2     | forwarded, visit 0>2
        leg 0>2                               | forwarded, visit 2>1
        leg 2>1                               | applied, settle 1>0
        drain
        = alice 1 incoming 0
        = bob.1 1
        = carl.2 -2
        ",
    );
}

#[test]
fn a_stop_with_credits_only_settles_too() {
    check(
        3,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        open carl.2                           | applied
        alice > bob.1 1, alice > carl.2 2     | forwarded, visit 0>1
        leg 0>1                               | forwarded, visit 1>2
        = bob.1 0 incoming 1 v2
        wire 1>2 3.00
        leg 1>2                               | applied, settle 2>1
        leg 2>1                               | applied
        = bob.1 1 incoming 0 v3
        = carl.2 2 v2
        ",
    );
}

#[test]
fn a_refusal_at_home_sends_nothing() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1                            | applied
        alice > bob.1 1                       | rejected insufficient-funds on alice v1
        = alice 0 v1
        ",
    );
}

#[test]
fn a_refusal_at_the_last_stop_changes_nothing_there() {
    check(
        2,
        "
        open alice floor none                 | applied
        open bob.1 ceiling 3                  | applied
        alice > bob.1 4                       | forwarded, visit 0>1
        leg 0>1                               | rejected ceiling-exceeded on bob.1 v1, unwind 1>0
        = bob.1 0 v1
        wire 0>1 4.00
        leg 1>0                               | returned ceiling-exceeded
        = alice 0 v3
        wire 0>1 0.00
        alice > nobody.1 4                    | forwarded, visit 0>1
        leg 0>1                               | rejected balance-not-found on nobody.1, unwind 1>0
        leg 1>0                               | returned balance-not-found
        = alice 0 v5
        alice > bob.1 3 expect bob.1=2        | forwarded, visit 0>1
        leg 0>1                               | rejected version-mismatch on bob.1 v1, unwind 1>0
        leg 1>0                               | returned version-mismatch
        = alice 0 v7
        wire 0>1 0.00
        ",
    );
}

#[test]
fn a_refused_walk_turns_back_stop_by_stop() {
    check(
        3,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        open carl.2                           | applied
        # refused at the second stop
        alice > carl.2 1, bob.1 > alice 4     | forwarded, visit 0>1
        leg 0>1                               | rejected insufficient-funds on bob.1 v1, unwind 1>0
        wire 0>1 1.00
        leg 1>0                               | returned insufficient-funds
        = alice 0 incoming 0 v5
        wire 0>1 0.00
        # refused at the third
        set bob.1 floor none                  | applied
        set carl.2 status frozen              | applied
        alice > carl.2 1, bob.1 > alice 4     | forwarded, visit 0>1
        leg 0>1                               | forwarded, visit 1>2
        leg 1>2                               | rejected balance-frozen on carl.2 v2, unwind 2>1
        = carl.2 0 v2
        wire 1>2 5.00
        leg 2>1                               | returned balance-frozen, unwind 1>0
        = bob.1 0 v4
        wire 1>2 0.00
        wire 0>1 1.00
        leg 1>0                               | returned balance-frozen
        = alice 0 incoming 0 v9
        wire 0>1 0.00
        ",
    );
}

#[test]
fn a_refusal_releases_what_a_stop_of_credits_had_reserved() {
    check(
        3,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        alice > bob.1 1, alice > carl.2 2     | forwarded, visit 0>1
        leg 0>1                               | forwarded, visit 1>2
        = bob.1 0 incoming 1 v2
        leg 1>2                               | rejected balance-not-found on carl.2, unwind 2>1
        leg 2>1                               | returned balance-not-found, unwind 1>0
        = bob.1 0 incoming 0 v3
        leg 1>0                               | returned balance-not-found
        = alice 0 v5
        ",
    );
}

#[test]
fn an_unwind_gives_back_whatever_the_ceiling_and_the_status() {
    check(
        2,
        "
        open alice ceiling 10                 | applied
        world > alice 10                      | applied
        t1: alice > nobody.1 10               | forwarded, visit 0>1
        world > alice 10                      | applied
        leg 0>1                               | rejected balance-not-found, unwind 1>0
        leg 1>0                               | returned balance-not-found
        = alice 20 v5
        world > alice 0.01                    | rejected ceiling-exceeded
        t2: alice > nobody.1 20               | forwarded, visit 0>1
        set alice status closed               | applied
        leg 0>1                               | rejected balance-not-found, unwind 1>0
        leg 1>0                               | returned balance-not-found
        = alice 20 v8 closed
        ",
    );
}

#[test]
fn a_settle_posts_whatever_the_ceiling_and_the_status() {
    check(
        3,
        "
        open alice floor none                 | applied
        open bob.1 ceiling 10                 | applied
        open carl.2                           | applied
        alice > bob.1 10, alice > carl.2 1    | forwarded, visit 0>1
        leg 0>1                               | forwarded, visit 1>2
        # what is reserved counts against the ceiling
        alice > bob.1 0.01                    | forwarded, visit 0>1
        leg 0>1                               | rejected ceiling-exceeded on bob.1 v2, unwind 1>0
        set bob.1 ceiling 9                   | rejected limit-not-met
        set bob.1 status frozen               | applied
        leg 1>2                               | applied, settle 2>1
        leg 2>1                               | applied
        = bob.1 10 incoming 0 v4 frozen
        ",
    );
}

#[test]
fn one_balance_may_be_on_both_sides_of_a_walk() {
    check(
        2,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        alice > bob.1 5, bob.1 > alice 5      | forwarded, visit 0>1
        leg 0>1                               | rejected insufficient-funds on bob.1 v1, unwind 1>0
        leg 1>0                               | returned insufficient-funds
        alice > bob.1 5                       | forwarded, visit 0>1
        leg 0>1                               | applied
        alice > bob.1 5, bob.1 > alice 4      | forwarded, visit 0>1
        = alice -10 incoming 4
        leg 0>1                               | applied, settle 1>0
        leg 1>0                               | applied
        = alice -6 incoming 0
        = bob.1 6
        wire 0>1 0.00
        wire 1>0 0.00
        ",
    );
}
