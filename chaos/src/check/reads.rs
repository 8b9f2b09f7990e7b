//! What readers saw: only what was, and nothing older than they may have been told.
//!
//! A read says up to when every change is in it (`as_of`). Whatever anybody had been shown by
//! then must be in it: so a read may be old where it says so, and never goes backwards unsaid.

use std::collections::HashMap;

use anyhow::{Result, bail};
use uuid::Uuid;

use super::replay::Expected;
use crate::drive::book::Shown;

/// Times are told in whole milliseconds.
const ROUNDING_MS: i64 = 2;

/// # Errors
/// The first read that shows what never was, or leaves out what was shown before.
pub fn check(expected: &Expected, mut shown: Vec<Shown>) -> Result<()> {
    shown.sort_by_key(|shown| shown.ended_ms);
    let mut histories: HashMap<Uuid, Vec<&Shown>> = HashMap::new();
    for read in &shown {
        let amounts = expected.versions.get(&(read.balance, read.version));
        if amounts != Some(&read.amounts) {
            bail!(
                "{read} was shown, but version {} has {amounts:?}",
                read.version
            );
        }
        // Only what is higher than everything before it is worth remembering.
        let history = histories.entry(read.balance).or_default();
        if history
            .last()
            .is_none_or(|last| last.version < read.version)
        {
            history.push(read);
        }
    }
    for read in shown.iter().filter(|read| read.source != "answer") {
        let as_of_ms = read.as_of_ms.unwrap_or(read.began_ms).min(read.began_ms);
        let history = histories.get(&read.balance).map_or(&[][..], Vec::as_slice);
        let known = history.partition_point(|it| it.ended_ms + ROUNDING_MS < as_of_ms);
        if let Some(before) = history[..known].last()
            && before.version > read.version
        {
            bail!("a read went backwards:\n  first {before}\n  then  {read}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::book::Amounts;

    fn amounts(version: u64) -> Amounts {
        [version, 0, 0].map(|amount| amount.to_string())
    }

    fn shown(version: u64, ended_ms: i64, as_of_ms: i64) -> Shown {
        Shown {
            balance: Uuid::from_u128(1),
            version,
            amounts: amounts(version),
            source: "hot".to_owned(),
            as_of_ms: Some(as_of_ms),
            began_ms: ended_ms - 5,
            ended_ms,
            node: "n".to_owned(),
        }
    }

    fn verdict(reads: Vec<Shown>) -> bool {
        let mut expected = Expected::default();
        for version in 0..10 {
            let key = (Uuid::from_u128(1), version);
            expected.versions.insert(key, amounts(version));
        }
        check(&expected, reads).is_ok()
    }

    #[test]
    fn a_read_may_be_old_where_it_says_so() {
        assert!(verdict(vec![shown(4, 100, 98), shown(5, 200, 198)]));
        assert!(!verdict(vec![shown(5, 100, 98), shown(4, 200, 198)]));
        assert!(verdict(vec![shown(5, 100, 98), shown(4, 200, 90)]));
        // At the same time: neither was before the other.
        assert!(verdict(vec![shown(5, 100, 98), shown(4, 102, 100)]));
    }

    #[test]
    fn what_never_was_is_never_shown() {
        let mut strange = shown(4, 100, 98);
        strange.amounts = amounts(5);
        assert!(!verdict(vec![strange]));
        assert!(!verdict(vec![shown(11, 100, 98)]));
    }
}
