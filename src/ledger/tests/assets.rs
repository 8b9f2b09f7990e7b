//! Transactions in several assets: each nets to zero, and none stands for another.

use super::table::check;

#[test]
fn an_exchange_is_whole_in_both_assets() {
    check(
        1,
        "
        open alice                                    | applied
        open desk                                     | applied
        open alice asset EUR                          | applied
        open desk asset EUR                           | applied
        world > alice 110                             | applied
        world > desk 100 EUR                          | applied
        alice > desk 110, desk > alice 100.01 EUR     | rejected insufficient-funds
        = alice 110 v2
        = desk 0 v1
        alice > desk 110, desk > alice 100 EUR        | applied
        = alice 0 v3
        = desk 110 v2
        = alice:EUR 100 v2
        = desk:EUR 0 v3
        ",
    );
}

#[test]
fn an_exchange_over_several_partitions_carries_each_asset_by_itself() {
    check(
        3,
        "
        open alice                                    | applied
        open desk.1                                   | applied
        open alice.2 asset EUR                        | applied
        open desk.1 asset EUR                         | applied
        world > alice 110                             | applied
        open bank.1 floor none asset EUR              | applied
        bank.1 > desk.1 100 EUR                       | applied
        alice > desk.1 10, desk.1 > alice.2 9 EUR     | forwarded, visit 0>1
        leg 0>1                                       | forwarded, visit 1>2
        = desk.1 0 incoming 10 v2
        = desk.1:EUR 91 v3
        leg 1>2                                       | applied, settle 2>1
        drain
        = alice 100 v3
        = desk.1 10 v3
        = alice.2:EUR 9 v2
        alice > desk.1 10, desk.1 > alice.2 92 EUR    | forwarded, visit 0>1
        leg 0>1                                       | rejected insufficient-funds, unwind 1>0
        drain
        = alice 100 v5
        = desk.1 10 v3
        = desk.1:EUR 91 v3
        = alice.2:EUR 9 v2
        ",
    );
}

#[test]
fn an_amount_in_another_asset_than_the_balances_is_refused() {
    check(
        2,
        "
        open alice                                    | applied
        open bob asset EUR                            | applied
        open carl.1 asset EUR                         | applied
        world > alice 10                              | applied
        alice > bob:EUR 1                             | rejected asset-mismatch
        bob:EUR > alice 1                             | rejected asset-mismatch
        alice > world:EUR 1                           | rejected balance-not-found
        alice > carl.1:EUR 1                          | forwarded, visit 0>1
        leg 0>1                                       | rejected asset-mismatch, unwind 1>0
        drain
        = alice 10 v4
        = bob:EUR 0 v1
        = carl.1:EUR 0 v1
        ",
    );
}
