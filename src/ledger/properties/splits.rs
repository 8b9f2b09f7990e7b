//! Splits against fractions worked out by hand.

use proptest::prelude::*;

use crate::ledger::Amount;
use crate::ledger::amount::MAX;
use crate::ledger::split::{Percent, Share, SplitError, pair, share_out};

const WHOLE: i128 = 10_000_000_000;

fn amount() -> impl Strategy<Value = i128> {
    prop_oneof![1..=1000_i128, 1..=MAX, Just(MAX)]
}

/// Up to 20 percentages that sum to at most the whole.
fn percentages() -> impl Strategy<Value = Vec<i128>> {
    let one = prop_oneof![1..=WHOLE, 1..=1000_i128, Just(WHOLE / 3), Just(WHOLE / 4)];
    prop::collection::vec(one, 1..20).prop_map(|all| {
        let mut room = WHOLE;
        let fitting = all.into_iter().map(|units| {
            let units = units.min(room);
            room -= units;
            units
        });
        fitting.filter(|units| *units > 0).collect()
    })
}

fn percent(units: i128) -> Share {
    Share::Percent(Percent::new(units).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the percentages: with one more that completes them, or with what remains, the
    /// parts sum to the amount, and none is off by a minor unit.
    #[test]
    fn shares_sum_exactly(amount in amount(), percentages in percentages(), at in 0..20_usize) {
        let mut complete = percentages.clone();
        let rest = WHOLE - percentages.iter().sum::<i128>();
        complete.extend((rest > 0).then_some(rest));
        let shares: Vec<Share> = complete.iter().copied().map(percent).collect();
        let whole = Amount::new(amount).unwrap();
        let parts = share_out(whole, &shares).unwrap();
        prop_assert_eq!(parts.iter().sum::<i128>(), amount);
        let mut given = true;
        for (part, units) in parts.iter().zip(&complete) {
            let (down, cut) = (amount * units / WHOLE, amount * units % WHOLE);
            prop_assert!(*part == down || (cut > 0 && *part == down + 1), "{part} of {units}");
            // Units are placed from the front: after one that got none, nobody gets one.
            if cut > 0 {
                prop_assert!(given || *part == down);
                given = *part > down;
            }
        }

        let mut open: Vec<Share> = percentages.iter().copied().map(percent).collect();
        let at = at.min(open.len());
        open.insert(at, Share::Remaining);
        let parts = share_out(whole, &open).unwrap();
        prop_assert_eq!(parts.iter().sum::<i128>(), amount);
        prop_assert!(parts.iter().all(|part| *part >= 0));
        let mut rounded = parts;
        rounded.remove(at);
        let down: Vec<i128> = percentages.iter().map(|units| amount * units / WHOLE).collect();
        prop_assert_eq!(rounded, down);
    }

    /// Every source gives, and every destination takes, just its part.
    #[test]
    fn pairs_move_every_part(
        parts in prop::collection::vec(0..50_i128, 1..12),
        cuts in prop::collection::vec(0..600_i128, 0..12),
    ) {
        let total: i128 = parts.iter().sum();
        let mut bounds: Vec<i128> = cuts.into_iter().map(|cut| cut.min(total)).collect();
        bounds.extend([0, total]);
        bounds.sort_unstable();
        let sources: Vec<(usize, i128)> = parts.into_iter().enumerate().collect();
        let widths = bounds.windows(2).map(|pair| pair[1] - pair[0]);
        let destinations: Vec<(usize, i128)> = widths.enumerate().collect();
        let moves = pair(&sources, &destinations);
        for (source, given) in &sources {
            let moved = moves.iter().filter(|(from, ..)| from == source);
            prop_assert_eq!(moved.map(|(.., amount)| amount.minor()).sum::<i128>(), *given);
        }
        for (destination, taken) in &destinations {
            let moved = moves.iter().filter(|(_, to, _)| to == destination);
            prop_assert_eq!(moved.map(|(.., amount)| amount.minor()).sum::<i128>(), *taken);
        }
        prop_assert!(moves.len() < sources.len() + destinations.len());
    }
}

#[test]
fn shares_by_hand() {
    let fixed = |minor| Share::Fixed(Amount::new(minor).unwrap());
    let percent = |hundredths: i128| percent(hundredths * WHOLE / 10_000);
    let third = Share::Percent(Percent::new(WHOLE / 3).unwrap());
    type Parts = Result<&'static [i128], SplitError>;
    let table: &[(i128, &[Share], Parts)] = &[
        (
            1000,
            &[percent(290), fixed(30), Share::Remaining],
            Ok(&[29, 30, 941]),
        ),
        (100, &[percent(5000), percent(5000)], Ok(&[50, 50])),
        (101, &[percent(5000), percent(5000)], Ok(&[51, 50])),
        (
            2,
            &[percent(3333), percent(3333), percent(3334)],
            Ok(&[1, 1, 0]),
        ),
        (1, &[percent(1), Share::Remaining], Ok(&[0, 1])),
        (10, &[fixed(10), Share::Remaining], Ok(&[10, 0])),
        (10, &[fixed(4), percent(6000)], Ok(&[4, 6])),
        (10, &[fixed(10), percent(1)], Err(SplitError::TooMuch)),
        (
            10,
            &[fixed(10), percent(1), Share::Remaining],
            Err(SplitError::TooMuch),
        ),
        (10, &[fixed(9)], Err(SplitError::TooLittle)),
        (10, &[third, third, third], Err(SplitError::TooLittle)),
        (
            10,
            &[Share::Remaining, Share::Remaining],
            Err(SplitError::RemainingTwice),
        ),
    ];
    for (amount, shares, expected) in table {
        let parts = share_out(Amount::new(*amount).unwrap(), shares);
        assert_eq!(
            parts.as_deref(),
            expected.as_ref().copied(),
            "{amount} {shares:?}"
        );
    }
    for units in [i128::MIN, 0, WHOLE + 1] {
        assert_eq!(Percent::new(units), Err(SplitError::PercentOutOfRange));
    }
}
