//! Walks at the edge of 28 digits: whatever a client does there, no partition stops.

use super::table::check;

const MAX: &str = "99999999999999999999999999.99";

fn check_with_max(partitions: u16, table: &str) {
    check(partitions, &table.replace("MAX", MAX));
}

#[test]
fn a_return_leg_fits_whatever_went_the_other_way_before() {
    check_with_max(
        2,
        "
        open alice floor none                 | applied
        open bob.1 floor none                 | applied
        # the way from 1 to 0 has carried all it can ever carry
        bob.1 > alice MAX                     | forwarded, visit 1>0
        leg 1>0                               | applied
        alice > nobody.1 7                    | forwarded, visit 0>1
        leg 0>1                               | rejected balance-not-found, unwind 1>0
        leg 1>0                               | returned balance-not-found
        = alice MAX
        bob.1 > alice 0.01                    | rejected amount-overflow
        ",
    );
}

#[test]
fn money_that_no_longer_fits_its_balance_stays_on_the_wire() {
    check_with_max(
        2,
        "
        open alice floor none                 | applied
        open bob floor none                   | applied
        bob > alice MAX                       | applied
        alice > nobody.1 MAX                  | forwarded, visit 0>1
        open carl floor none                  | applied
        carl > alice MAX                      | applied
        leg 0>1                               | rejected balance-not-found, unwind 1>0
        leg 1>0                               | returned balance-not-found
        = alice MAX
        wire 0>1 MAX
        ",
    );
}

#[test]
fn a_reserved_credit_keeps_its_room() {
    check_with_max(
        2,
        "
        open alice floor none                 | applied
        open bob floor none                   | applied
        open carl.1                           | applied
        bob > alice 5                         | applied
        alice > nobody.1 5                    | forwarded, visit 0>1
        bob > alice 9                         | applied
        open dora floor none                  | applied
        dora > alice 99999999999999999999999990.99, dora > carl.1 0.01 | forwarded, visit 0>1
        = alice 9 incoming 99999999999999999999999990.99
        leg 0>1                               | rejected balance-not-found, unwind 1>0
        # the 5 would leave no room for what is reserved
        leg 1>0                               | returned balance-not-found
        leg 0>1                               | applied, settle 1>0
        leg 1>0                               | applied
        = alice MAX incoming 0
        wire 0>1 5.00
        ",
    );
}

#[test]
fn a_walk_carries_no_more_than_a_balance_may_hold() {
    check_with_max(
        2,
        "
        open alice floor none                 | applied
        open bob floor none                   | applied
        open carl.1                           | applied
        alice > carl.1 MAX, bob > carl.1 0.01 | rejected amount-overflow
        alice > carl.1 MAX                    | forwarded, visit 0>1
        bob > carl.1 0.01                     | rejected amount-overflow
        leg 0>1                               | applied
        = carl.1 MAX
        ",
    );
}

/// What is posted makes no room for what is held.
#[test]
fn no_more_is_held_than_a_balance_may_hold() {
    check_with_max(
        1,
        "
        open alice floor none                 | applied
        open bob floor none                   | applied
        open carl floor none                  | applied
        world > alice 5                       | applied
        hold alice > bob 3                    | held
        hold alice > carl MAX                 | rejected amount-overflow on alice v3
        = alice 5 held 3
        ",
    );
}
