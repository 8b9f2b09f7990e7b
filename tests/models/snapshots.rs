//! What is published of balances, as the models of takeovers see it.

/// How many balances there are.
pub(crate) const BALANCES: usize = 2;
/// No command: none was lost.
pub(crate) const NEVER: u8 = u8::MAX;
/// How often the last owner may publish again: more often than others can interfere.
pub(crate) const AGAIN: u8 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Value {
    pub(crate) version: u8,
    /// The command that changed it last, counted from one, and the one that set its terms, where a
    /// model has terms.
    pub(crate) changed: u8,
    pub(crate) terms: u8,
}

pub(crate) type Values = [Value; BALANCES];

/// Balances that no command has changed.
pub(crate) const UNTOUCHED: Values = [Value {
    version: 0,
    changed: 0,
    terms: 0,
}; BALANCES];

/// Snapshots on their way, and the marker behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flush {
    pub(crate) left: u8,
    pub(crate) values: Values,
    pub(crate) covers: u8,
    pub(crate) position: u8,
}

/// Of each balance the newer one.
pub(crate) fn newest_of(rows: &Values, gathered: &Values) -> Values {
    let mut newest = *rows;
    for (row, gathered) in newest.iter_mut().zip(gathered) {
        if gathered.version > row.version {
            *row = *gathered;
        }
    }
    newest
}

/// The balances that commands after the first `count` have changed, as bits.
pub(crate) fn changed_since(values: &Values, count: u8) -> u8 {
    let values = values.iter().enumerate();
    let touched = values.filter(|(_, value)| value.changed > count);
    touched.map(|(at, _)| 1 << at).sum()
}

/// The last of `count` commands.
pub(crate) fn last(count: u8) -> Option<u64> {
    count.checked_sub(1).map(u64::from)
}
