//! Striped accounts: one balance in every partition.

use std::collections::BTreeSet;

use super::names::asset;
use super::table::check;
use crate::ledger::stripes::stripes;
use crate::ledger::{BalanceId, partition_of};

#[test]
fn whatever_is_paid_with_a_striped_account_stays_where_the_other_side_is() {
    check(
        3,
        "
        open alice                                      | applied
        open bob.1                                      | applied
        open carl.2                                     | applied
        world > alice 10                                | applied
        world > bob.1 20                                | applied
        stripe @world:USD 0 -10
        stripe @world:USD 1 -20
        stripe @world:USD 2 none
        alice > @fees 1                                 | applied
        bob.1 > @fees 2, bob.1 > @world 3               | applied
        @fees > bob.1 0.50                              | applied
        stripe @fees:USD 0 1
        stripe @fees:USD 1 1.50
        stripe @world:USD 1 -17
        alice > carl.2 4, alice > @fees 1               | forwarded, visit 0>2
        drain
        stripe @fees:USD 0 2
        stripe @fees:USD 2 none
        @fees > carl.2 100                              | applied
        stripe @fees:USD 2 -100
        = carl.2 104 v3
        ",
    );
}

#[test]
fn a_walk_that_is_refused_undoes_its_stripes() {
    check(
        2,
        "
        open alice                                      | applied
        open bob.1                                      | applied
        world > alice 10                                | applied
        alice > @fees 1, bob.1 > @fees 1, alice > bob.1 0.50 | forwarded, visit 0>1
        drain
        = alice 10
        = bob.1 0 v1
        stripe @fees:USD 0 0
        stripe @fees:USD 1 none
        ",
    );
}

#[test]
fn what_two_striped_accounts_pay_each_other_has_one_home() {
    check(
        2,
        "
        @world > @fees 5                                | applied
        stripe @world:USD 0 -5
        stripe @fees:USD 0 5
        stripe @fees:USD 1 none
        ",
    );
}

#[test]
fn each_partition_has_one_stripe() {
    let dollars = asset("USD");
    for count in [1, 2, 7, 64] {
        let stripes = stripes("acme/main", "@fees", &dollars, count);
        assert_eq!(stripes.len(), usize::from(count));
        for (partition, stripe) in (0..).zip(&stripes) {
            assert_eq!(partition_of(stripe.id, count), partition);
            let named = BalanceId::of("acme/main", &stripe.account, &dollars, &stripe.key);
            assert_eq!(named, stripe.id);
        }
        let ids: BTreeSet<BalanceId> = stripes.iter().map(|stripe| stripe.id).collect();
        assert_eq!(ids.len(), stripes.len());
    }
    let whole = BalanceId::of("acme/main", "@fees", &dollars, "default");
    assert_eq!(stripes("acme/main", "@fees", &dollars, 1)[0].id, whole);
}
