//! Who takes part in a day: a few employers, some merchants that everybody pays, one account for
//! fees, and everybody else.

use std::ops::Range;

use crate::account::{Account, Ledger};

#[derive(Clone, Debug)]
pub struct Cast {
    pub ledger: Ledger,
    pub world: Account,
    /// All that are opened, and behind them one that is not: somebody who was never here.
    pub accounts: Vec<Account>,
    pub employers: Range<usize>,
    pub merchants: Range<usize>,
    pub fees: usize,
    pub customers: Range<usize>,
    /// Customers whose accounts are frozen before the day begins.
    pub frozen: Range<usize>,
    pub stranger: usize,
}

/// The fewest balances that a day can be played among.
pub const BALANCES_MIN: usize = 20;

impl Cast {
    pub fn new(ledger: Ledger, balances: usize) -> Self {
        let employers = 0..(balances / 200).max(1);
        let merchants = employers.end..employers.end + (balances / 50).max(2);
        let fees = merchants.end;
        let customers = fees + 1..balances;
        let frozen = customers.end - (balances / 500).max(1)..customers.end;
        let name = |index: usize| {
            if employers.contains(&index) {
                format!("employer-{:02}", index - employers.start + 1)
            } else if merchants.contains(&index) {
                format!("merchant-{:02}", index - merchants.start + 1)
            } else if index == fees {
                "fees".to_owned()
            } else if customers.contains(&index) {
                format!("customer-{:04}", index - customers.start + 1)
            } else {
                "stranger".to_owned()
            }
        };
        let accounts = (0..=balances).map(|index| ledger.account(&name(index)));
        Self {
            world: ledger.world(),
            accounts: accounts.collect(),
            stranger: balances,
            ledger,
            employers,
            merchants,
            fees,
            customers,
            frozen,
        }
    }

    /// The accounts that are opened.
    pub fn opened(&self) -> &[Account] {
        &self.accounts[..self.stranger]
    }

    /// What an account has in the morning, in cents. Merchants and fees begin with nothing.
    pub fn morning(&self, index: usize) -> u64 {
        match index {
            index if self.employers.contains(&index) => 50_000_000 * 100,
            index if self.customers.contains(&index) => (20 + (index as u64 * 37) % 400) * 100,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_one_part() {
        for balances in [BALANCES_MIN, 100, 2_000] {
            let ledger = Ledger {
                name: "demo".to_owned(),
                partitions: 4,
            };
            let cast = Cast::new(ledger, balances);
            assert_eq!(cast.opened().len(), balances);
            let parts = cast.employers.len() + cast.merchants.len() + 1 + cast.customers.len();
            assert_eq!(parts, balances);
            assert!(cast.customers.len() > balances / 2);
            let mut ids: Vec<_> = cast.accounts.iter().map(|account| account.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), balances + 1);
        }
    }
}
