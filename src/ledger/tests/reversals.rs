//! Reversals: whole, in parts, refused and forced, of transfers and holds, over several partitions.

use super::table::check;

/// Alice has paid bob 6 of her 10.
const ONE: &str = "
    open alice                                | applied
    open bob                                  | applied
    world > alice 10                          | applied
    r: alice > bob 6                          | applied
";

fn one(table: &str) {
    check(1, &format!("{ONE}{table}"));
}

#[test]
fn a_reversal_moves_everything_back_once() {
    one("
        b: reverse r                          | applied
        = alice 10 v4
        = bob 0 v3
        reversed r 6
        b: reverse r                          | replay applied
        b: reverse r 1                        | rejected reference-reused
        reverse r                             | rejected nothing-to-reverse
        reverse r 1                           | rejected reverse-exceeds-original
        marker 0
        takeover 0 0
        reverse r                             | rejected nothing-to-reverse
        ");
}

#[test]
fn parts_never_come_to_more_than_the_original() {
    one("
        reverse r 2.50                        | applied
        reverse r 3.51                        | rejected reverse-exceeds-original
        reverse r 1 EUR                       | rejected asset-mismatch
        reverse r 1                           | applied
        marker 0
        takeover 0 0
        reverse r 2.51                        | rejected reverse-exceeds-original
        reverse r                             | applied
        reversed r 6
        = alice 10
        = bob 0
        ");
}

#[test]
fn what_is_spent_comes_back_by_force_only() {
    one("
        open carl                             | applied
        bob > carl 4                          | applied
        reverse r                             | rejected insufficient-funds on bob v3
        reversed r
        reverse r 2                           | applied
        reverse r 1                           | rejected insufficient-funds on bob v4
        reversed r 2
        f: reverse r force                    | applied
        = bob -4
        = alice 10
        bob > carl 1                          | rejected insufficient-funds on bob v5
        world > bob 4                         | applied
        = bob 0
        ");
}

#[test]
fn limits_and_freezes_hold_for_a_reversal_too() {
    one("
        set alice ceiling 9                   | applied
        reverse r                             | rejected ceiling-exceeded on alice v4
        reverse r force                       | rejected ceiling-exceeded on alice v4
        reverse r 5                           | applied
        set bob status debits-frozen          | applied
        reverse r force                       | rejected balance-frozen on bob v4
        set bob status open                   | applied
        set alice status credits-frozen       | applied
        reverse r                             | rejected balance-frozen on alice v6
        set alice status open ceiling none    | applied
        reverse r expect bob=4                | rejected version-mismatch on bob v5
        reverse r expect bob=5                | applied
        ");
}

#[test]
fn only_what_was_done_is_reversed() {
    one("
        no: alice > bob 7                     | rejected insufficient-funds on alice v3
        reverse no                            | rejected not-reversible
        h: hold alice > bob 3                 | held
        reverse h                             | rejected nothing-to-reverse
        post h 2                              | posted
        reverse h 2.01                        | rejected reverse-exceeds-original
        reverse h 1                           | applied
        hold h 0 open 1.00
        reversed h 1
        void h                                | voided
        reverse h                             | applied
        reverse h                             | rejected nothing-to-reverse
        = alice 4 held 0
        = bob 6 incoming 0
        reversed h 2
        ");
}

#[test]
fn the_original_is_known_within_the_horizon() {
    one("
        s: alice > bob 1                      | applied
        at 600
        reverse r 1                           | applied
        at 601
        reverse s                             | rejected original-not-found
        reverse r 1                           | rejected original-not-found
        ");
}

#[test]
fn several_assets_go_back_as_a_whole() {
    check(
        1,
        "
        open alice floor none                 | applied
        open bob                              | applied
        open eve asset EUR floor none         | applied
        open finn asset EUR                   | applied
        x: alice > bob 3, eve > finn 2 EUR    | applied
        reverse x 1                           | rejected amount-ambiguous
        reverse x                             | applied
        = bob 0
        = finn:EUR 0
        reversed x 3 2
        ",
    );
}

#[test]
fn a_reversal_takes_postings_in_their_order() {
    check(
        1,
        "
        open alice floor none                 | applied
        open bob                              | applied
        open carl                             | applied
        x: alice > bob 3, alice > carl 4      | applied
        reverse x 5                           | applied
        = bob 0
        = carl 2
        reversed x 3 2
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
    r: alice > carl.2 4, bob.1 > dora.3 5, bob.1 > alice 1 | forwarded, visit 0>1
";

fn four(table: &str) {
    check(4, &format!("{FOUR}{table}"));
}

#[test]
fn a_reversal_walks_from_home_over_the_destinations() {
    four(
        "
        drain
        = alice 7
        reverse r                             | forwarded, visit 0>2
        reversed r 4 5 1
        leg 0>2                               | forwarded, visit 2>3
        leg 2>3                               | forwarded, visit 3>1
        = carl.2 0
        = dora.3 0
        = alice 6 incoming 4
        leg 3>1                               | applied, settle 1>0
        leg 1>0                               | applied
        = alice 10 incoming 0
        = bob.1 10
        reverse r                             | rejected nothing-to-reverse
        ",
    );
}

#[test]
fn a_part_passes_stops_that_it_moves_nothing_at() {
    four(
        "
        drain
        q: reverse r 5                        | forwarded, visit 0>2
        reversed r 4 1 0
        leg 0>2                               | forwarded, visit 2>3
        leg 2>3                               | forwarded, visit 3>1
        q: reverse r 5                        | replay forwarded, question 0>2
        leg 3>1                               | applied, settle 1>0
        drain
        = alice 11
        = bob.1 5
        = carl.2 0
        = dora.3 4
        wire 1>0 0.00
        ",
    );
}

#[test]
fn a_refused_reversal_may_be_tried_again() {
    four(
        "
        drain
        dora.3 > world 3                      | applied
        reverse r                             | forwarded, visit 0>2
        reverse r 1                           | rejected reverse-exceeds-original
        leg 0>2                               | forwarded, visit 2>3
        leg 2>3                               | rejected insufficient-funds on dora.3 v3, unwind 3>2
        leg 3>2                               | returned insufficient-funds, unwind 2>0
        marker 0
        leg 2>0                               | returned insufficient-funds
        reversed r 0 0 0
        = alice 7 incoming 0
        = carl.2 4
        takeover 0 0
        reverse r force                       | forwarded, visit 0>2
        drain
        = dora.3 -3
        = alice 10
        = bob.1 10
        reversed r 4 5 1
        ",
    );
}

/// Home does not know whether the walk was accepted: its last stop does.
#[test]
fn an_original_that_was_refused_later_is_not_reversed() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1 ceiling 3                  | applied
        world > alice 10                      | applied
        r: alice > bob.1 4                    | forwarded, visit 0>1
        b: reverse r                          | forwarded, visit 0>1
        leg 0>1                               | rejected ceiling-exceeded on bob.1 v1, unwind 1>0
        leg 0>1                               | rejected not-reversible, unwind 1>0
        leg 1>0                               | returned ceiling-exceeded
        b: reverse r                          | replay forwarded, question 0>1
        leg 1>0                               | returned not-reversible
        drain
        = alice 10 incoming 0
        reversed r 0
        reverse r                             | rejected not-reversible
        = alice 10 incoming 0
        ",
    );
}

/// Nor by who asks before the refusal has come home; after that, home knows.
#[test]
fn a_refusal_in_the_middle_is_known_at_home_in_the_end() {
    check(
        3,
        "
        open alice                            | applied
        open bob.1                            | applied
        open carl.2                           | applied
        world > alice 10                      | applied
        r: alice > carl.2 4, bob.1 > carl.2 1 | forwarded, visit 0>1
        reverse r                             | forwarded, visit 0>2
        leg 0>1                               | rejected insufficient-funds on bob.1 v1, unwind 1>0
        leg 0>2                               | rejected original-undecided, unwind 2>0
        drain
        reverse r                             | rejected not-reversible
        = alice 10
        ",
    );
}

#[test]
fn a_part_expects_also_what_it_moves_nothing_at() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1                            | applied
        world > alice 10                      | applied
        r: alice > bob.1 4, alice > world 5   | forwarded, visit 0>1
        drain
        reverse r 4                           | forwarded, visit 0>1
        drain
        reverse r 1 expect bob.1=2            | forwarded, visit 0>1
        leg 0>1                               | rejected version-mismatch on bob.1 v3, unwind 1>0
        drain
        reverse r 1 expect bob.1=3            | forwarded, visit 0>1
        drain
        reversed r 4 1
        ",
    );
}

/// Not even who calls it a hold, which its last stop is not asked about.
#[test]
fn a_refused_transfer_is_not_reversed_as_a_hold() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1 ceiling 3                  | applied
        world > alice 10                      | applied
        r: alice > bob.1 4                    | forwarded, visit 0>1
        reverse r                             | forwarded, visit 0>1
        drain
        reverse r as hold                     | rejected original-mismatch
        h: hold alice > bob.1 1               | forwarded, visit 0>1
        drain
        post h                                | posted, give 0>1
        drain
        reverse h as transfer                 | rejected original-mismatch
        reverse h                             | forwarded, visit 0>1
        drain
        = alice 10
        ",
    );
}

/// Home hears of the decision where it gets something, and waits for that.
#[test]
fn home_waits_for_the_word_that_comes_by() {
    four(
        "
        reverse r                             | rejected original-undecided
        drain
        reverse r                             | forwarded, visit 0>2
        drain
        = alice 10
        ",
    );
}

/// By another way than the original's, a reversal can be at its last stop first.
#[test]
fn an_original_that_is_still_on_its_way_is_not_reversed_yet() {
    check(
        3,
        "
        open alice                            | applied
        open bob.1                            | applied
        open carl.2                           | applied
        world > alice 10                      | applied
        world > bob.1 10                      | applied
        r: alice > carl.2 1, bob.1 > carl.2 1 | forwarded, visit 0>1
        reverse r                             | forwarded, visit 0>2
        leg 0>2                               | rejected original-undecided, unwind 2>0
        drain
        = carl.2 2
        reversed r 0 0
        reverse r                             | forwarded, visit 0>2
        drain
        = carl.2 0
        = alice 10
        = bob.1 10
        ",
    );
}

#[test]
fn money_from_the_world_goes_back_there() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1                            | applied
        r: world > alice 5                    | applied
        f: alice > bob.1 2, alice > @fees 1   | forwarded, visit 0>1
        drain
        stripe @fees:USD 0 1.00
        reverse f                             | forwarded, visit 0>1
        drain
        stripe @fees:USD 0 0.00
        reverse r                             | applied
        = alice 0
        ",
    );
}

#[test]
fn a_misrouted_reversal_finds_its_home() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1                            | applied
        world > alice 5                       | applied
        r: alice > bob.1 5                    | forwarded, visit 0>1
        drain
        via 1 b: reverse r                    | ignored misrouted, forward 1>0
        leg 1>0                               | forwarded, visit 0>1
        leg 0>1                               | applied, settle 1>0
        drain
        = alice 5
        ",
    );
}

/// What was reserved before is settled all the same.
#[test]
fn a_reversal_obeys_what_every_stop_finds() {
    check(
        2,
        "
        open alice                            | applied
        open bob.1                            | applied
        world > alice 10                      | applied
        r: alice > bob.1 4                    | forwarded, visit 0>1
        drain
        reverse r 1                           | forwarded, visit 0>1
        set bob.1 status debits-frozen        | applied
        leg 0>1                               | rejected balance-frozen on bob.1 v3, unwind 1>0
        = alice 6 incoming 1
        leg 1>0                               | returned balance-frozen
        = alice 6 incoming 0
        reversed r 0
        set bob.1 status open                 | applied
        reverse r 3                           | forwarded, visit 0>1
        set bob.1 floor 2                     | applied
        leg 0>1                               | rejected insufficient-funds on bob.1 v5, unwind 1>0
        leg 1>0                               | returned insufficient-funds
        reversed r 0
        reverse r 2                           | forwarded, visit 0>1
        leg 0>1                               | applied, settle 1>0
        set alice status credits-frozen ceiling 8 | applied
        leg 1>0                               | applied
        = alice 8 incoming 0 credits-frozen
        reverse r force                       | rejected balance-frozen on alice v10
        set alice status open ceiling none    | applied
        reverse r force                       | forwarded, visit 0>1
        set bob.1 status closed               | rejected balance-not-empty
        set bob.1 status credits-frozen       | applied
        leg 0>1                               | applied, settle 1>0
        drain
        = alice 10 incoming 0
        = bob.1 0 credits-frozen
        reversed r 4
        ",
    );
}

/// It takes effect when it is decided, unless it says otherwise: the original's date is not asked.
#[test]
fn a_reversal_has_a_date_of_its_own() {
    check(
        1,
        "
        at 1000
        open alice                            | applied
        open bob                              | applied
        world > alice 10                      | applied
        r: alice > bob 6 dated 100            | applied
        reverse r 1 dated 100                 | applied
        close 500                             | applied
        reverse r 1 dated 499                 | rejected period-closed
        reversed r 1
        reverse r 1 dated 500                 | applied
        reverse r 1                           | applied
        reverse r 1 dated 1061                | rejected effective-in-future
        close 1000                            | applied
        reverse r 1 dated 999                 | rejected period-closed
        reverse r                             | applied
        reversed r 6
        ",
    );
}

#[test]
fn a_period_that_closes_in_between_turns_a_reversal_back() {
    check(
        3,
        "
        at 1000
        open alice.1                          | applied
        open bob                              | applied
        world > alice.1 10                    | applied
        r: alice.1 > bob 4 dated 100          | forwarded, visit 1>0
        drain
        reverse r dated 400                   | forwarded, visit 1>0
        reversed r 4
        close 500                             | forwarded, visit 0>1
        leg 1>0                               | rejected period-closed, unwind 0>1
        = alice.1 6 incoming 4
        drain
        = alice.1 6 incoming 0
        = bob 4
        reversed r 0
        reverse r dated 400                   | rejected period-closed
        reverse r                             | forwarded, visit 1>0
        drain
        = alice.1 10
        = bob 0
        reversed r 4
        ",
    );
}
