//! A reference has one outcome (L4), and time is log time (L5).

use super::table::check;

#[test]
fn a_repeat_gets_the_first_answer_and_changes_nothing() {
    check(
        1,
        "
        o1: open alice                      | applied
        t1: world > alice 5                 | applied
        t1: world > alice 5                 | replay applied
        t1: world > alice 5.00 USD/2        | replay applied
        o1: open alice                      | replay applied
        = alice 5 v2
        ",
    );
}

#[test]
fn a_rejection_is_final_for_its_reference() {
    check(
        1,
        "
        open alice                          | applied
        t1: alice > world 5                 | rejected insufficient-funds on alice v1
        world > alice 10                    | applied
        t1: alice > world 5                 | replay rejected insufficient-funds
        t2: alice > world 5                 | applied
        = alice 5 v3
        ",
    );
}

#[test]
fn a_reference_of_other_content_is_refused() {
    check(
        1,
        "
        t1: open alice                      | applied
        t1: open alice floor -1             | rejected reference-reused
        t1: set alice floor -1              | rejected reference-reused
        t1: world > alice 5                 | rejected reference-reused
        t2: world > alice 5                 | applied
        t2: world > alice 5.01              | rejected reference-reused
        t2: world > alice 5 expect alice=1  | rejected reference-reused
        t2: alice > world 5                 | rejected reference-reused
        t2: world > alice 5                 | replay applied
        = alice 5 v2
        ",
    );
}

#[test]
fn a_reference_belongs_to_its_ledger() {
    check(
        1,
        "
        r1: open alice                      | applied
        r1: open other/alice                | applied
        r1: open other/alice                | replay applied
        ",
    );
}

#[test]
fn a_reference_is_remembered_for_the_horizon_and_not_longer() {
    check(
        1,
        "
        at 1000                             |
        open alice                          | applied
        t1: world > alice 5                 | applied
        at 1600                             |
        t1: world > alice 5                 | replay applied
        t1: world > alice 6                 | rejected reference-reused
        # neither a repeat nor a reuse makes the horizon longer
        at 1601                             |
        t1: world > alice 6                 | applied
        at 2201                             |
        t1: world > alice 6                 | replay applied
        = alice 11 v3
        ",
    );
}

#[test]
fn log_time_never_goes_back() {
    check(
        1,
        "
        at 1000                             |
        open alice                          | applied
        # nor for a new owner that starts here
        marker 0                            |
        takeover 0 0                        |
        at 400                              |
        t1: world > alice 5                 | applied
        # decided at 1000, not at 400
        at 1600                             |
        t1: world > alice 5                 | replay applied
        at 0                                |
        t1: world > alice 5                 | replay applied
        at 1601                             |
        t1: world > alice 5                 | applied
        = alice 10 v3
        ",
    );
}

#[test]
fn records_that_ask_for_nothing_change_nothing() {
    check(
        1,
        "
        open alice                          | applied
        junk 0                              | ignored dead-letter
        # a second genesis record is a command that makes no sense
        genesis 0                           | ignored dead-letter
        = alice 0 v1
        ",
    );
}

#[test]
fn a_repeat_of_a_walk_is_answered_by_whoever_decided_it() {
    check(
        3,
        "
        open alice floor none               | applied
        open bob.1                          | applied
        open carl.2                         | applied
        t1: alice > bob.1 1, alice > carl.2 2 | forwarded, visit 0>1
        t1: alice > bob.1 1, alice > carl.2 2 | replay forwarded, question 0>1
        leg 0>1                             | forwarded, visit 1>2
        leg 0>1                             | replay forwarded, question 1>2
        leg 1>2                             | applied, settle 2>1
        leg 1>2                             | replay applied
        leg 2>1                             | applied
        # the stop that has settled knows the answer by now
        t1: alice > bob.1 1, alice > carl.2 2 | replay forwarded, question 0>1
        leg 0>1                             | replay applied
        t1: alice > bob.1 1, alice > carl.2 9 | rejected reference-reused
        = bob.1 1 v3
        = carl.2 2 v2
        ",
    );
}

#[test]
fn a_repeat_of_a_refused_walk_gets_the_refusal() {
    check(
        2,
        "
        open alice floor none               | applied
        t1: alice > bob.1 1                 | forwarded, visit 0>1
        leg 0>1                             | rejected balance-not-found on bob.1, unwind 1>0
        # asked before the unwind has arrived at home
        t1: alice > bob.1 1                 | replay forwarded, question 0>1
        leg 0>1                             | replay rejected balance-not-found
        leg 1>0                             | returned balance-not-found
        # and after it
        t1: alice > bob.1 1                 | replay rejected balance-not-found
        open bob.1                          | applied
        t1: alice > bob.1 1                 | replay rejected balance-not-found
        = alice 0 v3
        ",
    );
}

#[test]
fn a_stop_that_has_forgotten_says_so() {
    check(
        2,
        "
        at 1000                             |
        open alice floor none               | applied
        open bob.1                          | applied
        t1: alice > bob.1 1                 | forwarded, visit 0>1
        leg 0>1                             | applied
        at 1600                             |
        t1: alice > bob.1 1                 | replay forwarded, question 0>1
        at 1601                             |
        leg 0>1                             | replay ignored forgotten
        = alice -1 v2
        = bob.1 1 v2
        ",
    );
}

#[test]
fn a_transaction_passing_through_does_not_shadow_a_reference_at_home() {
    check(
        2,
        "
        open alice floor none               | applied
        open bob.1 floor none               | applied
        t1: alice > bob.1 1                 | forwarded, visit 0>1
        leg 0>1                             | applied
        t1: bob.1 > alice 5                 | forwarded, visit 1>0
        leg 1>0                             | applied
        t1: bob.1 > alice 5                 | replay forwarded, question 1>0
        leg 1>0                             | replay applied
        t1: alice > bob.1 1                 | replay forwarded, question 0>1
        leg 0>1                             | replay applied
        = alice 4 v3
        ",
    );
}

#[test]
fn a_repeat_at_home_names_the_transaction_of_the_first_answer() {
    check(
        3,
        "
        open alice floor none               | applied
        open bob                            | applied
        open carl.1                         | applied
        t1: alice > bob 1, alice > carl.1 1 | forwarded, visit 0>1
        t2: alice > nobody.2 1              | forwarded, visit 0>2
        leg 0>1                             | applied, settle 1>0
        leg 0>2                             | rejected balance-not-found, unwind 2>0
        leg 1>0                             | applied
        leg 2>0                             | returned balance-not-found
        # the settle and the unwind came under offsets of their own
        t1: alice > bob 1, alice > carl.1 1 | replay applied
        t2: alice > nobody.2 1              | replay rejected balance-not-found
        ",
    );
}
