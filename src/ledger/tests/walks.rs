//! Transactions over several partitions.

use super::table::check;

#[test]
fn one_source_and_one_destination_elsewhere_are_two_records() {
    check(
        2,
        "
        open alice                          | applied
        open bob.1                          | applied
        world > alice 10                    | applied
        alice > bob.1 4                     | forwarded, visit 0>1
        = alice 6 v3
        = bob.1 0 v1
        wire 0>1 4.00
        leg 0>1                             | applied
        = bob.1 4 v2
        wire 0>1 0.00
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
