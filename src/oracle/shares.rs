//! Splits: who gives and gets how much, by the words of the rule.

use serde_json::Value;

use super::decimal::{minor, units};
use super::said::text;

/// 100 % in units of 10⁻⁸ %.
const ALL: i128 = 10_000_000_000;

/// The balances of one side of a posting, and how much of `amount` each has; who has nothing is
/// left out.
pub(super) fn shares<'a>(
    side: &'a Value,
    amount: i128,
    asset: &str,
) -> Result<Vec<(&'a str, i128)>, String> {
    let Some(list) = side.as_array() else {
        let name = side.as_str().ok_or("a side has no name")?;
        return Ok(vec![(name, amount)]);
    };
    let (mut parts, mut cut, mut taker) = (Vec::new(), Vec::new(), None);
    for (at, share) in list.iter().enumerate() {
        let part = if let Some(fixed) = share["amount"].as_str() {
            minor(fixed, asset)?
        } else if let Some(percent) = share["percent"].as_str() {
            // Rounded down; who lost something by that is remembered.
            let exact = amount * units(percent, 8)?;
            if exact % ALL != 0 {
                cut.push(at);
            }
            exact / ALL
        } else {
            taker = Some(at);
            0
        };
        parts.push((text(share, "balance")?, part));
    }
    let mut left = amount - parts.iter().map(|(_, part)| part).sum::<i128>();
    // One takes all that is left, or those who lost something a unit each, in their order.
    if let Some(at) = taker {
        parts[at].1 = left;
        left = 0;
    }
    for at in cut {
        if left > 0 {
            parts[at].1 += 1;
            left -= 1;
        }
    }
    if left != 0 || parts.iter().any(|(_, part)| *part < 0) {
        return Err(format!("shares do not come to {amount}"));
    }
    parts.retain(|(_, part)| *part > 0);
    Ok(parts)
}

/// Who gives how much to whom: the first who has something left to give to the first who has not
/// got all, until nobody has.
pub(super) fn pairs<'a>(
    mut giving: Vec<(&'a str, i128)>,
    mut getting: Vec<(&'a str, i128)>,
) -> Vec<(&'a str, &'a str, i128)> {
    let mut pairs = Vec::new();
    while let (Some(from), Some(to)) = (giving.first_mut(), getting.first_mut()) {
        let amount = from.1.min(to.1);
        pairs.push((from.0, to.0, amount));
        from.1 -= amount;
        to.1 -= amount;
        giving.retain(|(_, rest)| *rest > 0);
        getting.retain(|(_, rest)| *rest > 0);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(amount: i128, side: &Value) -> Vec<i128> {
        let shares = shares(side, amount, "USD/2").unwrap();
        shares.into_iter().map(|(_, part)| part).collect()
    }

    #[test]
    fn what_rounding_leaves_goes_to_the_rest_or_to_the_first_who_lost() {
        let third = json!({"balance": "a", "percent": "33.33333333"});
        let thirds = json!([third, third, {"balance": "b", "percent": "33.33333334"}]);
        assert_eq!(of(100, &thirds), [34, 33, 33]);
        let rest = json!([third, {"balance": "b", "remaining": true}, third]);
        assert_eq!(of(100, &rest), [33, 34, 33]);
        let fixed = json!([{"balance": "a", "amount": "0.40"}, {"balance": "b", "percent": "60"}]);
        assert_eq!(of(100, &fixed), [40, 60]);
        assert!(shares(&fixed, 90, "USD/2").is_err());
    }

    #[test]
    fn givers_fill_takers_in_their_order() {
        let (giving, getting) = (vec![("a", 5), ("b", 3)], vec![("c", 2), ("d", 6)]);
        let expected = [("a", "c", 2), ("a", "d", 3), ("b", "d", 3)];
        assert_eq!(pairs(giving, getting), expected);
    }
}
