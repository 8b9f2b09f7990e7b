//! Compares cold with the outcomes, folded up to the command where it stands.

use sqlx::PgPool;

use super::cold::{self, Rows};
use super::cursor::Cursor;
use super::journal::{self, Entries};
use super::report::{Check, Finding};
use crate::cold::audit::{Pinned, SinkRow};
use crate::ledger::{BalanceId, Partition, PartitionId};
use crate::wire::MarkerBody;

/// Cold's side of a partition, pinned.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) pinned: Pinned,
    balances: Option<SinkRow>,
    journal: Option<SinkRow>,
}

impl Cold {
    pub(super) async fn pin(pool: &PgPool, number: PartitionId) -> Result<Self, sqlx::Error> {
        let mut pinned = Pinned::open(pool, number).await?;
        let sinks = pinned.sinks().await?;
        let row = |sink: &str| sinks.iter().find(|row| row.sink == sink).cloned();
        let (balances, journal) = (row("balances"), row("journal"));
        Ok(Self {
            pinned,
            balances,
            journal,
        })
    }

    /// X: the last command whose effects are in the balances.
    pub(super) fn watermark(&self) -> Option<u64> {
        command(self.balances.as_ref())
    }

    /// The last command whose outcome is in the journal.
    pub(super) fn journaled(&self) -> Option<u64> {
        command(self.journal.as_ref())
    }

    pub(super) fn marker(&self) -> Option<&str> {
        self.balances.as_ref()?.marker.as_deref()
    }

    /// Where the accepted marker says its outcome is; what is there is not known yet.
    pub(super) fn marker_at(&self) -> Option<(u64, Option<u64>)> {
        let marker = MarkerBody::parse(self.marker()?.as_bytes()).ok()?;
        Some((marker.position, None))
    }
}

fn command(sink: Option<&SinkRow>) -> Option<u64> {
    sink?
        .command_offset
        .and_then(|offset| u64::try_from(offset).ok())
}

/// Reads on to `command`, and says in `check` why a comparison there cannot be made.
async fn reach(
    cursor: Cursor,
    command: Option<u64>,
    check: &mut Check,
) -> anyhow::Result<(Cursor, bool)> {
    let Some(command) = command else {
        return Ok((cursor, true));
    };
    let cursor = cursor.advance(Some(command)).await?;
    let (number, last) = (cursor.partition, cursor.scan.chain.last());
    if last != Some(command) {
        let last = last.map_or_else(|| "none".to_owned(), |last| last.to_string());
        let what = format!("stands at command {command}, the outcomes at {last}");
        check.miss(Finding::new(number, what).after(cursor.scan.chain.history()));
    } else if cursor.scan.books.state().is_none() {
        check.cannot_tell(format!("partition {number}: the fold stopped"));
    } else {
        return Ok((cursor, true));
    }
    Ok((cursor, false))
}

/// The newest epoch, and the balance that has it.
pub(super) type NewestEpoch = Option<(u64, BalanceId)>;

/// Balances and marker, as of the watermark.
pub(super) async fn balances(
    cursor: Cursor,
    cold: &mut Cold,
    check: &mut Check,
) -> anyhow::Result<(Cursor, NewestEpoch)> {
    let watermark = cold.watermark();
    let (cursor, reached) = reach(cursor, watermark, check).await?;
    let empty = Partition::new(cursor.partition, cursor.partition.saturating_add(1));
    let state = match watermark {
        Some(_) => cursor.scan.books.state(),
        None => Some(&empty),
    };
    let Some(state) = state.filter(|_| reached) else {
        return Ok((cursor, None));
    };
    let mut rows = Rows::new(state);
    let read = cold.pinned.balances(|row| rows.take(&row)).await;
    if let Err(error) = read {
        check.cannot_tell(format!("postgres: {error}"));
        return Ok((cursor, None));
    }
    let (found, newest_epoch) = rows.finish();
    check.absorb(found);
    if let Some(sink) = cold.balances.as_ref().filter(|_| watermark.is_some()) {
        cold::marker(state, sink, check);
    }
    let marker = cold.marker().map(str::as_bytes).map(MarkerBody::parse);
    if let Some(Ok(marker)) = marker {
        match cold.pinned.holds(&marker).await {
            Ok(holds) => cold::holds(state, &holds, check),
            Err(error) => check.cannot_tell(format!("postgres: {error}")),
        }
    }
    Ok((cursor, newest_epoch))
}

/// Transactions and entries, as of the journal's position. `base` is where the fold started.
pub(super) async fn journal(
    cursor: Cursor,
    cold: &mut Cold,
    base: Option<u64>,
    check: &mut Check,
) -> anyhow::Result<Cursor> {
    let journaled = cold.journaled();
    if journaled < base {
        let number = cursor.partition;
        check.cannot_tell(format!(
            "partition {number}: the journal is behind the base"
        ));
        return Ok(cursor);
    }
    let (cursor, reached) = reach(cursor, journaled, check).await?;
    let empty = Partition::new(cursor.partition, cursor.partition.saturating_add(1));
    let state = match journaled {
        Some(_) => cursor.scan.books.state(),
        None => Some(&empty),
    };
    let Some(state) = state.filter(|_| reached) else {
        return Ok(cursor);
    };
    let mut entries = Entries::new(state);
    let read = async {
        let after = cold.pinned.rows_after(journaled).await?;
        let Some(upto) = journaled else {
            return Ok((after, Vec::new()));
        };
        cold.pinned.entries(upto, |row| entries.take(&row)).await?;
        Ok((after, cold.pinned.transactions(base, upto).await?))
    };
    let (after, transactions) = match read.await {
        Ok(read) => read,
        Err(error) => {
            let error: sqlx::Error = error;
            check.cannot_tell(format!("postgres: {error}"));
            return Ok(cursor);
        }
    };
    check.absorb(entries.finish());
    if after > 0 {
        let what = format!("the journal has {after} rows of commands after its position");
        check.miss(Finding::new(cursor.partition, what).at(journaled));
    }
    if let Some(sink) = cold.journal.as_ref().filter(|_| journaled.is_some()) {
        journal::statuses(state, &transactions, &cursor.scan.statuses, check);
        journal::position(state, sink, cursor.scan.chain.end(), check);
    }
    Ok(cursor)
}
