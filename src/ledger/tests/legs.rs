//! Legs arrive once, in order, and where they belong.

use super::table::check;

#[test]
fn a_copy_of_a_leg_has_no_effect() {
    check(
        2,
        "
        open alice floor none               | applied
        open bob.1                          | applied
        alice > bob.1 1                     | forwarded, visit 0>1
        alice > bob.1 2                     | forwarded, visit 0>1
        leg 0>1                             | applied
        again 0>1 1                         | ignored known-leg
        leg 0>1                             | applied
        again 0>1 1                         | ignored known-leg
        again 0>1 2                         | ignored known-leg
        = bob.1 3 v3
        ",
    );
}

#[test]
fn a_leg_beyond_the_next_number_is_not_applied_until_its_turn() {
    check(
        2,
        "
        open alice floor none               | applied
        open bob.1                          | applied
        alice > bob.1 1                     | forwarded, visit 0>1
        alice > bob.1 2                     | forwarded, visit 0>1
        alice > bob.1 4                     | forwarded, visit 0>1
        again 0>1 2                         | ignored leg-gap
        again 0>1 3                         | ignored leg-gap
        = bob.1 0 v1
        wire 0>1 7.00
        again 0>1 1                         | applied
        again 0>1 3                         | ignored leg-gap
        again 0>1 2                         | applied
        again 0>1 3                         | applied
        = bob.1 7 v4
        wire 0>1 0.00
        ",
    );
}

#[test]
fn legs_are_numbered_by_pair() {
    check(
        3,
        "
        open alice floor none               | applied
        open bob.1 floor none               | applied
        open carl.2                         | applied
        alice > carl.2 1                    | forwarded, visit 0>2
        bob.1 > carl.2 2                    | forwarded, visit 1>2
        alice > bob.1 4                     | forwarded, visit 0>1
        again 1>2 1                         | applied
        again 0>1 1                         | applied
        again 0>2 1                         | applied
        = carl.2 3 v3
        ",
    );
}

#[test]
fn a_command_on_the_wrong_partition_is_forwarded_and_applied_once() {
    check(
        3,
        "
        via 1 o1: open alice                | ignored misrouted, forward 1>0
        = alice none
        leg 1>0                             | applied
        = alice 0 v1
        o1: open alice                      | replay applied
        via 2 o1: open alice                | ignored misrouted, forward 2>0
        leg 2>0                             | replay applied
        again 1>0 1                         | ignored known-leg
        via 1 t1: world > alice 5           | ignored misrouted, forward 1>0
        via 1 t1: world > alice 5           | ignored misrouted, forward 1>0
        via 1 t1: world > alice 6           | ignored misrouted, forward 1>0
        leg 1>0                             | applied
        leg 1>0                             | replay applied
        leg 1>0                             | rejected reference-reused
        = alice 5 v2
        ",
    );
}

#[test]
fn a_forwarded_command_walks_from_its_own_home() {
    check(
        3,
        "
        open alice floor none               | applied
        open bob.1                          | applied
        via 2 alice > bob.1 5               | ignored misrouted, forward 2>0
        leg 2>0                             | forwarded, visit 0>1
        leg 0>1                             | applied
        = bob.1 5 v2
        ",
    );
}

#[test]
fn a_new_owner_sends_its_legs_again_and_nothing_happens_twice() {
    check(
        2,
        "
        open alice floor none               | applied
        open bob.1                          | applied
        alice > bob.1 1                     | forwarded, visit 0>1
        alice > bob.1 2                     | forwarded, visit 0>1
        leg 0>1                             | applied
        takeover 0 0                        |
        leg 0>1                             | ignored known-leg
        leg 0>1                             | applied
        takeover 1 2                        |
        marker 0                            |
        alice > bob.1 4                     | forwarded, visit 0>1
        takeover 0 5                        |
        leg 0>1                             | applied
        takeover 0 4                        |
        leg 0>1                             | ignored known-leg
        marker 1                            |
        takeover 1 0                        |
        = bob.1 7 v4
        wire 0>1 0.00
        ",
    );
}
