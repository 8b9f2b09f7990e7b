//! Holds: reserved, posted in part and whole, voided, expired; in one partition and over several.

use super::table::check;

/// Alice has 10, and holds 6 of it for bob.
const ONE: &str = "
    open alice                                | applied
    open bob                                  | applied
    world > alice 10                          | applied
    h: hold alice > bob 6 for 15m             | held
";

fn one(table: &str) {
    check(1, &format!("{ONE}{table}"));
}

#[test]
fn a_hold_reserves_on_both_sides() {
    one("
        = alice 10 held 6 v3
        = bob 0 incoming 6 v2
        hold h 0 open 6.00
        alice > bob 5                         | rejected insufficient-funds on alice v3
        alice > bob 4                         | applied
        = alice 6 held 6
        h: hold alice > bob 6 for 900s        | replay held
        h: hold alice > bob 6 for 901s        | rejected reference-reused
        ");
}

#[test]
fn a_hold_is_posted_in_parts_until_it_is_spent() {
    one("
        p: post h 2                           | posted
        = alice 8 held 4 v4
        = bob 2 incoming 4 v3
        hold h 0 open 4.00
        p: post h 2                           | replay posted
        p: post h 3                           | rejected reference-reused
        post h 4.01                           | rejected post-exceeds-hold
        post h 1 EUR                          | rejected asset-mismatch
        post h                                | posted
        = alice 4 held 0
        = bob 6 incoming 0
        hold h 0 spent 0.00
        post h                                | rejected hold-spent
        void h                                | rejected hold-spent
        ");
}

#[test]
fn a_void_releases_the_rest_once() {
    one("
        post h 2                              | posted
        v: void h                             | voided
        = alice 8 held 0
        = bob 2 incoming 0
        hold h 0 voided 0.00
        v: void h                             | replay voided
        void h                                | rejected hold-voided
        post h 1                              | rejected hold-voided
        ");
}

#[test]
fn a_hold_expires_by_log_time() {
    one("
        at 899
        tick h                                | ignored not-due
        post h 1                              | posted
        at 900
        post h 1                              | rejected hold-expired
        void h                                | rejected hold-expired
        = alice 9 held 5
        marker 0
        tick h                                | expired
        = alice 9 held 0
        = bob 1 incoming 0
        hold h 0 expired 0.00
        tick h                                | ignored not-due
        post h                                | rejected hold-expired
        takeover 0 0
        post h                                | rejected hold-expired
        ");
}

#[test]
fn an_ended_hold_is_forgotten_beyond_the_horizon() {
    one("
        void h                                | voided
        at 600
        void h                                | rejected hold-voided
        at 601
        void h                                | rejected hold-not-found
        ");
}

#[test]
fn limits_count_what_is_held() {
    check(
        1,
        "
        open alice                            | applied
        open bob ceiling 8                    | applied
        world > alice 10                      | applied
        h: hold alice > bob 6                 | held
        hold alice > bob 5                    | rejected insufficient-funds on alice v3
        hold alice > bob 3                    | rejected ceiling-exceeded on bob v2
        world > bob 3                         | rejected ceiling-exceeded on bob v2
        set alice floor 5                     | rejected limit-not-met on alice v3
        set alice floor 4                     | applied
        set bob ceiling 5                     | rejected limit-not-met on bob v2
        set bob ceiling 6                     | applied
        set alice status closed               | rejected balance-not-empty on alice v4
        set bob status closed                 | rejected balance-not-empty on bob v3
        set alice status frozen               | applied
        hold alice > bob 1                    | rejected balance-frozen on alice v5
        post h                                | posted
        = alice 4 held 0 frozen
        = bob 6 incoming 0
        ",
    );
}

#[test]
fn a_closed_balance_opens_again() {
    check(
        1,
        "
        open alice                            | applied
        world > alice 5                       | applied
        h: hold alice > world 5               | held
        post h                                | posted
        set alice status closed               | applied
        hold world > alice 1                  | rejected balance-closed on alice v5
        set alice status open                 | applied
        hold world > alice 1                  | held
        set alice status closed               | rejected balance-not-empty on alice v7
        ",
    );
}

#[test]
fn an_amount_takes_postings_in_their_order() {
    check(
        1,
        "
        open alice floor none                 | applied
        open bob                              | applied
        open carl                             | applied
        h: hold alice > bob 3, alice > carl 4 | held
        post h 5                              | posted
        hold h 0 open 0.00 2.00
        = bob 3 incoming 0
        = carl 2 incoming 2
        open eve asset EUR floor none         | applied
        open finn asset EUR                   | applied
        k: hold alice > bob 3, eve > finn 2 EUR | held
        post k 1                              | rejected amount-ambiguous
        post k                                | posted
        hold k 0 spent 0.00 0.00
        ",
    );
}

#[test]
fn what_is_no_hold_is_not_found() {
    check(
        2,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        h: hold alice > bob.1 3               | forwarded, visit 0>1
        post h                                | rejected hold-pending
        leg 0>1                               | held, settle 1>0
        tick h                                | ignored not-due
        leg 1>0                               | held
        hold h 0 open 3.00
        hold h 1 open 3.00
        k: hold alice > bob.1 3 expect bob.1=9 | forwarded, visit 0>1
        leg 0>1                               | rejected version-mismatch on bob.1 v2, unwind 1>0
        leg 1>0                               | returned version-mismatch
        post k                                | rejected hold-not-found
        = alice 0 held 3
        ",
    );
}

/// Two sources and two destinations, each in a partition of its own.
const FOUR: &str = "
    open alice                                | applied
    open bob.1                                | applied
    open carl.2                               | applied
    open dora.3                               | applied
    world > alice 10                          | applied
    world > bob.1 10                          | applied
    h: hold alice > carl.2 4, bob.1 > dora.3 5, bob.1 > alice 1 for 60s | forwarded, visit 0>1
    leg 0>1                                   | forwarded, visit 1>2
    leg 1>2                                   | forwarded, visit 2>3
    leg 2>3                                   | held, settle 3>0
    leg 3>0                                   | held
    = alice 10 held 4 incoming 1
    = bob.1 10 held 6
    = carl.2 0 incoming 4
    = dora.3 0 incoming 5
    hold h 0 open 4.00 5.00 1.00
    hold h 1 open 5.00 1.00
    hold h 2 open 4.00
    hold h 3 open 5.00
";

fn four(table: &str) {
    check(4, &format!("{FOUR}{table}"));
}

#[test]
fn a_post_takes_from_the_sources_and_gives_to_the_destinations() {
    four(
        "
        post h 5                              | posted, give 0>2, take 0>1
        = alice 6 held 0 incoming 1
        wire 0>2 4.00
        leg 0>2                               | posted
        = carl.2 4 incoming 0
        hold h 2 spent 0.00
        leg 0>1                               | posted, give 1>3
        = bob.1 9 held 5
        wire 1>3 1.00 reserved 4.00
        leg 1>3                               | posted
        = dora.3 1 incoming 4
        post h                                | posted, take 0>1
        hold h 0 spent 0.00 0.00 0.00
        leg 0>1                               | posted, give 1>3, give 1>0
        leg 1>3                               | posted
        leg 1>0                               | posted
        = alice 7 held 0 incoming 0
        = bob.1 4 held 0
        = dora.3 5 incoming 0
        hold h 1 spent 0.00 0.00
        hold h 3 spent 0.00
        ",
    );
}

#[test]
fn a_void_releases_everywhere_and_overtakes_no_post() {
    four(
        "
        post h 5                              | posted, give 0>2, take 0>1
        void h                                | voided, release 0>1, release 0>3
        leg 0>3                               | voided
        hold h 3 open 1.00
        drain
        = alice 6 held 0 incoming 0
        = bob.1 9 held 0
        = carl.2 4 incoming 0
        = dora.3 1 incoming 0
        hold h 0 voided 0.00 0.00 0.00
        hold h 1 voided 0.00 0.00
        hold h 3 spent 0.00
        ",
    );
}

#[test]
fn an_expiry_releases_everywhere() {
    four(
        "
        at 60
        post h                                | rejected hold-expired
        tick h                                | expired, release 0>1, release 0>2, release 0>3
        drain
        = alice 10 held 0 incoming 0
        = bob.1 10 held 0
        = carl.2 0 incoming 0
        = dora.3 0 incoming 0
        hold h 3 expired 0.00
        ",
    );
}

#[test]
fn a_refused_hold_leaves_nothing_behind() {
    check(
        3,
        "
        open alice floor -9                   | applied
        open bob.1 floor -9                   | applied
        open carl.2 ceiling 3                 | applied
        h: hold alice > bob.1 2, bob.1 > carl.2 4 | forwarded, visit 0>1
        leg 0>1                               | forwarded, visit 1>2
        = bob.1 0 held 4 incoming 2
        leg 1>2                               | rejected ceiling-exceeded on carl.2 v1, unwind 2>1
        leg 2>1                               | returned ceiling-exceeded, unwind 1>0
        leg 1>0                               | returned ceiling-exceeded
        = alice 0 held 0
        = bob.1 0 held 0 incoming 0
        hold h 0 refused 0.00 0.00
        hold h 1 refused 0.00 0.00
        ",
    );
}

/// A repeat of a hold on its way is answered at home, behind the hold.
#[test]
fn a_repeat_of_a_hold_on_its_way_is_answered_at_home() {
    check(
        2,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        h: hold alice > bob.1 3               | forwarded, visit 0>1
        h: hold alice > bob.1 3               | replay forwarded, question 0>1
        leg 0>1                               | held, settle 1>0
        leg 0>1                               | replay held, question 1>0
        leg 1>0                               | held
        leg 1>0                               | replay held
        post h                                | posted, give 0>1
        drain
        = bob.1 3 incoming 0
        ",
    );
}

#[test]
fn expiring_is_for_processors() {
    check(
        2,
        "
        open alice floor none                 | applied
        open bob.1                            | applied
        h: hold alice > bob.1 3 for 1s        | forwarded, visit 0>1
        at 5
        tick h                                | ignored not-due
        drain
        takeover 0 3
        tick h                                | expired, release 0>1
        takeover 1 1
        leg 0>1                               | ignored known-leg
        leg 0>1                               | expired
        again 0>1 2                           | ignored known-leg
        = bob.1 0 incoming 0
        ",
    );
}
