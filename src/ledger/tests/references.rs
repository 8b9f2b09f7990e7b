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
