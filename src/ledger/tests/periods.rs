//! Dates, and periods that are closed.

use super::table::check;

#[test]
fn a_date_may_be_past_but_not_future() {
    check(
        1,
        "
        at 1000
        open alice                            | applied
        world > alice 10 dated 0              | applied
        world > alice 10 dated 1060           | applied
        world > alice 10 dated 1061           | rejected effective-in-future
        = alice 20 v3
        ",
    );
}

#[test]
fn a_closed_period_refuses_earlier_dates() {
    check(
        1,
        "
        at 1000
        open alice                            | applied
        close 1001                            | rejected effective-in-future
        c: close 500                          | applied
        world > alice 1 dated 499             | rejected period-closed
        world > alice 1 dated 500             | applied
        world > alice 1                       | applied
        close 499                             | rejected period-closed
        close 500                             | applied
        close 1000                            | applied
        world > alice 1 dated 999             | rejected period-closed
        c: close 500                          | replay applied
        c: close 501                          | rejected reference-reused
        = alice 2 v3
        ",
    );
}

#[test]
fn closing_walks_through_every_partition() {
    check(
        3,
        "
        at 1000
        open alice                            | applied
        open bob.1                            | applied
        world > alice 10                      | applied
        c: close 500                          | forwarded, visit 0>1
        drain
        alice > bob.1 1 dated 499             | rejected period-closed
        alice > bob.1 1 dated 500             | forwarded, visit 0>1
        drain
        = bob.1 1 v2
        ",
    );
}

#[test]
fn what_is_closed_is_known_after_a_takeover() {
    check(
        2,
        "
        at 1000
        open alice                            | applied
        world > alice 10                      | applied
        close 500                             | forwarded, visit 0>1
        drain
        marker 0
        takeover 0 0
        world > alice 1 dated 499             | rejected period-closed
        ",
    );
}
