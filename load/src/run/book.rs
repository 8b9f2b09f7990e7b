//! The balances of a run: its own ledger, opened and funded before anything is measured.

use anyhow::Result;

use crate::account::{Account, Ledger};
use crate::kafka::Route;
use crate::wire::{Posting, Writer};

/// What every balance starts with, in cents: more than a run can spend.
const FUNDS: u64 = 100_000_000 * CENTS;
/// What the hot balance starts with: it pays for everybody.
const HOT_FUNDS: u64 = 10_000_000_000_000 * CENTS;
const CENTS: u64 = 100;

#[derive(Debug)]
pub struct Book {
    pub ledger: Ledger,
    pub world: Account,
    pub accounts: Vec<Account>,
    /// Accounts by partition.
    pub local: Vec<Vec<usize>>,
}

/// The account that everything is paid from when one balance is hot.
pub const HOT: usize = 0;

impl Book {
    /// Names `count` accounts so that every partition that can has at least two of them.
    pub fn new(ledger: Ledger, count: usize) -> Result<Self> {
        let accounts: Vec<_> = (0..count)
            .map(|number| ledger.account(&format!("a{number:06}")))
            .collect();
        let mut local = vec![Vec::new(); usize::from(ledger.partitions)];
        for (index, account) in accounts.iter().enumerate() {
            local[usize::from(account.partition)].push(index);
        }
        let home = usize::from(accounts[HOT].partition);
        anyhow::ensure!(
            local[home].len() > 1,
            "{count} balances on {} partitions leave the hot one alone: use more",
            ledger.partitions
        );
        Ok(Self {
            world: ledger.world(),
            ledger,
            accounts,
            local,
        })
    }

    /// Writes the opening of one account.
    pub fn open(&self, writer: &Writer, number: usize, out: &mut Vec<u8>) -> Route {
        let account = &self.accounts[number];
        writer.open(number, &account.name, out);
        Route::to(account)
    }

    /// Writes the transfer that funds one account from the world.
    pub fn fund(&self, writer: &Writer, number: usize, out: &mut Vec<u8>) -> Route {
        let minor = if number == HOT { HOT_FUNDS } else { FUNDS };
        let posting = Posting {
            source: &self.world.key,
            destination: &self.accounts[number].key,
            minor,
        };
        writer.transfer(number, &[posting], out);
        // The world pays from its stripe where the account is.
        Route::to(&self.accounts[number])
    }

    /// Writes one transfer of the load.
    pub fn transfer(
        &self,
        writer: &Writer,
        number: usize,
        (from, to): (usize, usize),
        out: &mut Vec<u8>,
    ) -> Route {
        let posting = Posting {
            source: &self.accounts[from].key,
            destination: &self.accounts[to].key,
            minor: CENTS,
        };
        writer.transfer(number, &[posting], out);
        Route::to(&self.accounts[from])
    }
}
