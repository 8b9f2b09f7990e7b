//! Money of a run, read back from the log: every balance's versions without a gap, and all of
//! them together, the world included, at zero.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use serde::Serialize;
use std::time::{Duration, Instant};
use steelyard::ledger::amount::minor_of;
use steelyard::ledger::id::WORLD;
use steelyard::ledger::{Asset, BalanceId};
use steelyard::log::Options;
use steelyard::wire::OutcomeBody;
use uuid::Uuid;

use super::book::{Book, STRIPED};
use crate::account::ASSET;
use crate::kafka;

/// Reads `outcomes` from where a run began; goes on from where it stood when asked again.
pub struct Conservation {
    consumer: BaseConsumer,
    topic: String,
    next: Vec<i64>,
    /// Per partition, the last command whose outcome was read: copies of it change nothing.
    last: Vec<Option<u64>>,
    balances: HashMap<Uuid, Standing>,
    scale: u8,
    found: Findings,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    version: u64,
    posted: i128,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// Outcomes read, copies left out.
    pub outcomes: u64,
    pub copies: u64,
    /// Entries of this run's balances.
    pub entries: u64,
    /// Balances whose versions have a gap or a repeat.
    pub gaps: u64,
    /// Sum of posted over all balances and the world, in cents. Zero, or money was made or lost.
    pub sum: i128,
    pub balances: usize,
    pub versions: u64,
}

impl Findings {
    pub fn holds(&self) -> bool {
        self.sum == 0 && self.gaps == 0
    }
}

impl std::fmt::Debug for Conservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Conservation({:?})", self.found)
    }
}

/// Money may be on the wire when a run ends; it arrives within this.
const ARRIVES: Duration = Duration::from_secs(10);

impl Conservation {
    /// Starts at the end of every partition, so before the first command of the run.
    pub fn start(options: &Options, book: &Book) -> Result<Self> {
        let consumer = kafka::reader(options)?;
        let topic = options.topics().outcomes;
        let next = kafka::ends(&consumer, &topic, book.ledger.partitions)?;
        let ids = book.accounts.iter().map(|account| account.id);
        let stripes = [WORLD, STRIPED].map(|account| book.ledger.stripes(account));
        let ids = ids.chain(stripes.into_iter().flatten());
        Ok(Self {
            consumer,
            topic,
            last: vec![None; next.len()],
            next,
            balances: ids.map(|id| (id, Standing::default())).collect(),
            scale: Asset::parse(ASSET).context("the asset")?.scale(),
            found: Findings::default(),
        })
    }

    /// Reads up to now, and on for a while if money is still on the wire.
    pub fn check(&mut self) -> Result<Findings> {
        let deadline = Instant::now() + ARRIVES;
        loop {
            self.catch_up()?;
            let opened = self.balances.values().filter(|b| b.version > 0);
            self.found.balances = opened.count();
            self.found.versions = self.balances.values().map(|b| b.version).sum();
            self.found.sum = self.balances.values().map(|b| b.posted).sum();
            if self.found.sum == 0 || Instant::now() > deadline {
                return Ok(self.found.clone());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn catch_up(&mut self) -> Result<()> {
        let partitions = u16::try_from(self.next.len())?;
        let ends = kafka::ends(&self.consumer, &self.topic, partitions)?;
        kafka::tail::assign(&self.consumer, &self.topic, &self.next)?;
        let mut heard = Instant::now();
        while self.next.iter().zip(&ends).any(|(next, end)| next < end) {
            let Some(message) = self.consumer.poll(Duration::from_millis(100)) else {
                ensure!(heard.elapsed() < kafka::ASK, "the log does not answer");
                continue;
            };
            let Ok(message) = message else { continue };
            heard = Instant::now();
            let partition = usize::try_from(message.partition())?;
            let offset = message.offset();
            let value = message.payload().unwrap_or_default().to_vec();
            drop(message);
            self.next[partition] = offset + 1;
            self.read(partition, &value)?;
        }
        self.consumer.unassign()?;
        Ok(())
    }

    fn read(&mut self, partition: usize, value: &[u8]) -> Result<()> {
        // Claims are no outcomes, and not of this shape.
        let Ok(outcome) = OutcomeBody::parse(value) else {
            return Ok(());
        };
        let last = &mut self.last[partition];
        if last.is_some_and(|last| outcome.offset <= last) {
            self.found.copies += 1;
            return Ok(());
        }
        *last = Some(outcome.offset);
        self.found.outcomes += 1;
        for entry in &outcome.entries {
            let Some(balance) = self.balances.get_mut(&BalanceId::new(entry.balance).uuid()) else {
                continue;
            };
            self.found.entries += 1;
            self.found.gaps += u64::from(entry.version != balance.version + 1);
            balance.version = entry.version;
            balance.posted = minor_of(entry.posted.0, self.scale).context("an entry's posted")?;
        }
        Ok(())
    }
}
