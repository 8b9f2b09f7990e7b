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
