//! The balances of a run: its own ledger, opened and funded before anything is measured.

use anyhow::Result;

use super::mix::{Mix, Shape};
use crate::account::{Account, Ledger};
use crate::kafka::Route;
use crate::wire::{Posting, Writer};

/// What every balance starts with, in cents: more than a run can spend.
const FUNDS: u64 = 100_000_000 * CENTS;
/// What the hot balance starts with: it pays for everybody.
const HOT_FUNDS: u64 = 10_000_000_000_000 * CENTS;
const CENTS: u64 = 100;
/// What the first of two posts of a hold takes.
pub const FIRST_POST: u64 = 40;
/// The striped account of a striped load.
pub const STRIPED: &str = "@load";

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

    /// Writes one payment of the load; of a hold, its first command.
    pub fn payment(
        &self,
        writer: &Writer,
        number: usize,
        (mix, shape): (&mut Mix, Shape),
        out: &mut Vec<u8>,
    ) -> Route {
        let (from, to) = mix.pick();
        let key = |account: usize| &self.accounts[account].key[..];
        let posting = Posting {
            source: key(from),
            destination: match shape {
                Shape::Striped => STRIPED.as_bytes(),
                Shape::Transfer | Shape::Split | Shape::Hold => key(to),
            },
            minor: CENTS,
        };
        match shape {
            Shape::Transfer | Shape::Striped => writer.transfer(number, &[posting], out),
            Shape::Hold => writer.hold(number, posting, out),
            Shape::Split => {
                let shares = mix.beside(from, to).map(key);
                writer.split(number, (posting.source, shares, CENTS), out);
            }
        }
        Route::to(&self.accounts[from])
    }
}
