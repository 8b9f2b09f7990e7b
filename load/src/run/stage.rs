//! A run's stage: its ledger with its balances, and the phases that are played on it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use uuid::Uuid;

use super::book::Book;
use super::conservation::Conservation;
use super::options::Options;
use crate::account::Ledger;
use crate::kafka::{Road, Route, Sinks};
use crate::measure::{Schedule, Track};
use crate::reference::Tag;
use crate::stop::Stop;
use crate::wire::Writer;

#[derive(Debug)]
pub struct Stage {
    pub options: Options,
    pub road: Road,
    pub sinks: Sinks,
    pub book: Arc<Book>,
    pub conservation: Conservation,
    phases: u32,
}

/// Commands unanswered at a time while opening and funding.
const SETUP_WINDOW: usize = 5_000;

impl Stage {
    /// Opens and funds the balances of a new ledger.
    pub async fn set(options: Options, stop: Stop) -> Result<Self> {
        let road = Road::find(&options.target.log, stop, options.patience())?;
        let id = Uuid::new_v4().simple().to_string();
        let name = format!("load-{}", &id[..8]);
        let ledger = Ledger {
            name,
            partitions: road.partitions,
        };
        let book = Arc::new(Book::new(ledger, options.balances as usize)?);
        let mut stage = Self {
            conservation: Conservation::start(&road.options, &book)?,
            options,
            sinks: Sinks::watch(&road)?,
            road,
            book,
            phases: 0,
        };
        stage.prepare("opening", Book::open).await?;
        stage.prepare("funding", Book::fund).await?;
        Ok(stage)
    }

    /// One command for each balance; all must be applied.
    async fn prepare(
        &mut self,
        what: &str,
        write: impl Fn(&Book, &Writer, usize, &mut Vec<u8>) -> Route + Send + 'static,
    ) -> Result<()> {
        let began = Instant::now();
        let count = self.book.accounts.len();
        let track = self.track(Schedule::all(SETUP_WINDOW, count));
        let (book, writer) = (self.book.clone(), self.writer(&track, true));
        let tail = self.road.settle(&track)?;
        let write = move |number: usize, out: &mut Vec<u8>| write(&book, &writer, number, out);
        let road = &self.road;
        road.send(&track, &road.topics.commands, write).await?;
        road.await_complete(&track).await?;
        tail.finish()?;
        let account = track.account();
        ensure!(
            account.applied == count as u64,
            "{what} {count} balances: {} applied, {} lost, {} refused {:?}, rejected {:?}",
            account.applied,
            account.lost,
            account.refused,
            account.refusals,
            account.rejected
        );
        let (ledger, took) = (&self.book.ledger.name, began.elapsed().as_secs_f64());
        eprintln!("{what} {count} balances of {ledger}: {took:.1} s");
        Ok(())
    }

    /// The track of a new phase, with references of its own.
    pub fn track(&mut self, schedule: Schedule) -> Arc<Track> {
        self.phases += 1;
        let tag = Tag::new(format!("{}.{}", self.book.ledger.name, self.phases));
        Arc::new(Track::new(tag, schedule))
    }

    pub fn writer(&self, track: &Track, typed: bool) -> Writer {
        Writer {
            tag: track.tag.clone(),
            ledger: self.book.ledger.name.clone(),
            typed,
        }
    }
}
