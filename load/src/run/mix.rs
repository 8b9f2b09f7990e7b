//! Who pays whom.
//!
//! *Spread* picks a partition, then two different balances in it. *One hot* pays everything from
//! the same balance: as the source it decides where a command goes, so every command of the run
//! lands in one partition and waits for one task, which is the worst that heat can do. (As a
//! destination only, a hot balance would get its commands from everywhere.) A share of `cross`
//! goes to a balance of another partition instead, and walks.
//!
//! A payment is a transfer, a split among three balances, a payment to one striped account that
//! everybody pays, or a hold that is posted in two parts.

use std::sync::Arc;

use super::book::{Book, HOT};
use crate::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heat {
    Spread,
    OneHot,
}

impl Heat {
    pub fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::OneHot => "one-hot",
        }
    }
}

/// What a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// From one balance to another.
    Transfer,
    /// From one balance to three: half, three tenths, what remains.
    Split,
    /// From one balance to the striped account that all pay.
    Striped,
    /// Held, then posted in two parts: three commands. Over HTTP, one transaction a request.
    Hold,
}

/// Who pays whom, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub heat: Heat,
    pub shape: Shape,
    /// Share of payments that go to another partition.
    pub cross: f64,
}

impl Load {
    /// Transfers that stay at home.
    pub fn plain(heat: Heat) -> Self {
        let (shape, cross) = (Shape::Transfer, 0.0);
        Self { heat, shape, cross }
    }

    pub fn name(self) -> String {
        let mut name = self.heat.name().to_owned();
        name += match self.shape {
            Shape::Transfer => "",
            Shape::Split => " split",
            Shape::Striped => " striped",
            Shape::Hold => " hold",
        };
        if self.cross > 0.0 {
            name += &format!(" cross {:.2}", self.cross);
        }
        name
    }
}

#[derive(Clone, Debug)]
pub struct Mix {
    book: Arc<Book>,
    heat: Heat,
    cross: f64,
    /// Partitions with at least two balances.
    homes: Vec<usize>,
    rng: Rng,
}

impl Mix {
    pub fn new(book: Arc<Book>, load: Load, seed: u64) -> Self {
        let Load { heat, cross, .. } = load;
        let wide = |partition: &usize| book.local[*partition].len() > 1;
        Self {
            homes: (0..book.local.len()).filter(wide).collect(),
            book,
            heat,
            cross,
            rng: Rng::new(seed),
        }
    }

    /// The source and the destination of the next transfer; they differ.
    pub fn pick(&mut self) -> (usize, usize) {
        let home = match self.heat {
            Heat::OneHot => usize::from(self.book.accounts[HOT].partition),
            Heat::Spread => self.homes[self.rng.below(self.homes.len())],
        };
        let source = match self.heat {
            Heat::OneHot => HOT,
            Heat::Spread => self.book.local[home][self.rng.below(self.book.local[home].len())],
        };
        (source, self.destination(home, source))
    }

    fn destination(&mut self, home: usize, source: usize) -> usize {
        let walks = self.cross > 0.0 && self.rng.chance(self.cross);
        let abroad = self.book.accounts.len() - self.book.local[home].len();
        match walks && abroad > 0 {
            true => self.other_partition(home),
            false => self.same_partition(home, source),
        }
    }

    /// Two more destinations beside `first`, for a source; all differ where there are as many.
    pub fn beside(&mut self, source: usize, first: usize) -> [usize; 3] {
        let home = usize::from(self.book.accounts[source].partition);
        let mut shares = [first; 3];
        for at in 1..shares.len() {
            for _ in 0..100 {
                let other = self.destination(home, source);
                if !shares[..at].contains(&other) {
                    shares[at] = other;
                    break;
                }
            }
        }
        shares
    }

    fn same_partition(&mut self, home: usize, source: usize) -> usize {
        let local = &self.book.local[home];
        loop {
            let other = local[self.rng.below(local.len())];
            if other != source {
                return other;
            }
        }
    }

    fn other_partition(&mut self, home: usize) -> usize {
        loop {
            let other = self.rng.below(self.book.accounts.len());
            if usize::from(self.book.accounts[other].partition) != home {
                return other;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Ledger;

    fn book(partitions: u16) -> Arc<Book> {
        let name = "load-test".to_owned();
        Arc::new(Book::new(Ledger { name, partitions }, 200).unwrap())
    }

    /// Plays 2,000 transfers; gives how many crossed, and the sum of all balances.
    fn play(book: &Arc<Book>, heat: Heat, cross: f64) -> (usize, i64, Vec<u16>) {
        let load = Load {
            cross,
            ..Load::plain(heat)
        };
        let mut mix = Mix::new(book.clone(), load, 5);
        let mut balances = vec![0_i64; book.accounts.len()];
        let (mut crossed, mut homes) = (0, Vec::new());
        for _ in 0..2_000 {
            let (source, destination) = mix.pick();
            assert_ne!(source, destination);
            balances[source] -= 100;
            balances[destination] += 100;
            let at = |index: usize| book.accounts[index].partition;
            crossed += usize::from(at(source) != at(destination));
            homes.push(at(source));
        }
        homes.sort_unstable();
        homes.dedup();
        (crossed, balances.iter().sum(), homes)
    }

    #[test]
    fn a_mix_sums_to_zero_and_stays_at_home() {
        for heat in [Heat::Spread, Heat::OneHot] {
            let (crossed, sum, _) = play(&book(8), heat, 0.0);
            assert_eq!((crossed, sum), (0, 0), "{heat:?}");
        }
    }

    #[test]
    fn heat_decides_how_many_partitions_work() {
        assert_eq!(play(&book(8), Heat::Spread, 0.0).2.len(), 8);
        assert_eq!(play(&book(8), Heat::OneHot, 0.5).2.len(), 1);
    }

    #[test]
    fn a_share_crosses() {
        for heat in [Heat::Spread, Heat::OneHot] {
            let (crossed, sum, _) = play(&book(8), heat, 0.25);
            assert!((400..600).contains(&crossed), "{heat:?} {crossed}");
            assert_eq!(sum, 0);
        }
    }

    #[test]
    fn one_partition_has_nowhere_else_to_go() {
        assert_eq!(play(&book(1), Heat::Spread, 1.0).0, 0);
    }
}
