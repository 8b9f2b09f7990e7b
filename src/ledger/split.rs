//! Splits: one amount shared out over several balances, exactly.
//!
//! A share is a fixed amount, a percentage of the whole amount, or what remains. Percentages are
//! rounded down to minor units. What that cuts off goes to the share that takes what remains; if
//! there is none, a minor unit each goes to the percentages that lost something, in the order of
//! the list. So the shares always sum to the amount, and follow from the command alone.

use super::amount::Amount;

/// Decimals that a percentage may have.
pub const PERCENT_SCALE: u8 = 8;

/// How many units of [`Percent`] are the whole.
const WHOLE: i128 = 10_000_000_000;

/// A percentage in units of 10⁻⁸ %: more than zero, at most 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(i128);

/// How much of an amount one balance takes or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Fixed(Amount),
    Percent(Percent),
    /// What the other shares leave, which may be nothing.
    Remaining,
}

/// Why shares do not come to an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    #[error("must be more than 0 and at most 100")]
    PercentOutOfRange,
    #[error("come to more than the amount")]
    TooMuch,
    #[error("come to less than the amount, and none of them takes what remains")]
    TooLittle,
    #[error("take what remains more than once")]
    RemainingTwice,
}

impl Percent {
    /// `units` of 10⁻⁸ %.
    pub fn new(units: i128) -> Result<Self, SplitError> {
        match units {
            1..=WHOLE => Ok(Self(units)),
            _ => Err(SplitError::PercentOutOfRange),
        }
    }

    /// The minor units this is of `amount`, rounded down, and what was cut off in units of
    /// 10⁻¹⁰ minor units.
    fn of(self, amount: Amount) -> (i128, i128) {
        // At most 10²⁸ × 10¹⁰, which 127 bits hold.
        let exact = amount.minor().saturating_mul(self.0);
        (exact.div_euclid(WHOLE), exact.rem_euclid(WHOLE))
    }
}

/// The minor units of each share of `amount`, in order: none negative, in sum the amount.
pub fn share_out(amount: Amount, shares: &[Share]) -> Result<Vec<i128>, SplitError> {
    let rounded: Vec<(i128, i128)> = shares.iter().map(|share| rounded(amount, share)).collect();
    let sum = |sum: i128, part: i128| sum.saturating_add(part);
    let taken = rounded.iter().map(|(whole, _)| *whole).fold(0, sum);
    let cut = rounded.iter().map(|(_, cut)| *cut).fold(0, sum);
    let left = amount.minor().saturating_sub(taken);
    // The exact sum of fixed amounts and percentages is `taken` and `cut` together.
    let exactly = left.saturating_mul(WHOLE).cmp(&cut);
    let mut remaining = shares.iter().filter(|share| **share == Share::Remaining);
    match (exactly, remaining.next(), remaining.next()) {
        (_, _, Some(_)) => Err(SplitError::RemainingTwice),
        (std::cmp::Ordering::Less, ..) => Err(SplitError::TooMuch),
        (std::cmp::Ordering::Greater, None, _) => Err(SplitError::TooLittle),
        (_, Some(_), None) => Ok(with_remaining(shares, &rounded, left)),
        (std::cmp::Ordering::Equal, None, None) => Ok(with_cuts(&rounded, left)),
    }
}

fn rounded(amount: Amount, share: &Share) -> (i128, i128) {
    match share {
        Share::Fixed(fixed) => (fixed.minor(), 0),
        Share::Percent(percent) => percent.of(amount),
        Share::Remaining => (0, 0),
    }
}

fn with_remaining(shares: &[Share], rounded: &[(i128, i128)], left: i128) -> Vec<i128> {
    let parts = shares.iter().zip(rounded);
    let part = |(share, (whole, _)): (&Share, &(i128, i128))| match share {
        Share::Remaining => left,
        Share::Fixed(_) | Share::Percent(_) => *whole,
    };
    parts.map(part).collect()
}

/// `left` is less than the number of shares that lost something.
fn with_cuts(rounded: &[(i128, i128)], mut left: i128) -> Vec<i128> {
    let part = |(whole, cut): &(i128, i128)| {
        let unit = i128::from(*cut > 0 && left > 0);
        left = left.saturating_sub(unit);
        whole.saturating_add(unit)
    };
    rounded.iter().map(part).collect()
}

/// Who gives how much to whom, where `sources` give and `destinations` take the same sum: each
/// source in order fills the destinations in order. At most one movement fewer than there are
/// balances on both sides; a balance without a part is in none.
pub fn pair<T: Copy>(sources: &[(T, i128)], destinations: &[(T, i128)]) -> Vec<(T, T, Amount)> {
    let mut moves = Vec::with_capacity(sources.len().max(destinations.len()));
    let mut wanting = destinations.iter().copied();
    let mut next = wanting.next();
    for (source, mut given) in sources.iter().copied() {
        while let Some((destination, wanted)) = next {
            let moved = given.min(wanted);
            if let Ok(amount) = Amount::new(moved) {
                moves.push((source, destination, amount));
            }
            given = given.saturating_sub(moved);
            next = match wanted.saturating_sub(moved) {
                0 => wanting.next(),
                rest => Some((destination, rest)),
            };
            if given == 0 {
                break;
            }
        }
    }
    moves
}
