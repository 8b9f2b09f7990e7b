//! Where a turn starts: with the log; if that was trimmed with what it tells alone, as of where
//! cold stands or before; if it does not tell, with what cold accepted.

use super::books::Books;
use super::compare::body_of;
use super::scan::Scan;
use super::turn::Place;
use super::visit::Cold;
use crate::ledger::{Balance, BalanceId, PartitionId};
use crate::log::alone::Error;
use crate::log::sift::Told;
use crate::wire::outcome::shared_ledger;
use crate::wire::{Decoder, MarkerBody};

/// The start of a turn.
#[derive(Debug)]
pub(super) struct Base {
    /// The command whose state is taken from cold, if any.
    pub(super) command: Option<u64>,
    /// The first position to read.
    pub(super) position: u64,
    pub(super) scan: Scan,
}

impl Base {
    pub(super) fn start(place: &Place, count: PartitionId) -> Self {
        Self {
            command: None,
            position: 0,
            scan: Scan::new(place.number, count, place.cut),
        }
    }
}

/// The base of a log that begins at `low`, and what it tells alone. What is lacking ends the fold
/// before it begins.
pub(super) async fn trimmed(
    place: &Place,
    count: PartitionId,
    (low, told): (u64, Result<Told, Error>),
    cold: &mut Result<Cold, sqlx::Error>,
) -> Base {
    let started = match told.map_err(|error| error.to_string()) {
        Ok(told) => alone(place.number, told),
        Err(untold) => accepted(place.number, low, cold, &untold).await,
    };
    match started {
        Ok((marker, books)) => Base {
            command: Some(marker.command_offset),
            position: marker.position,
            scan: Scan::from_base(place.number, &marker, books, place.cut),
        },
        Err(why) => {
            let mut base = Base::start(place, count);
            let what = format!("outcomes are trimmed to {low}, and {why}");
            base.scan.books.stop(what);
            base.position = low;
            base
        }
    }
}

/// What the log alone tells. No row of cold is believed.
fn alone(number: PartitionId, told: Told) -> Result<(MarkerBody, Books), String> {
    let cut = told.marker.to_cut().map_err(|error| error.to_string())?;
    let from = format!("snapshots as of command {}", cut.command_offset);
    let books = Books::from_cut(number, &cut, (told.balances, told.holds), &from);
    Ok((told.marker, books))
}

/// What cold accepted: rows that no outcome left has changed are believed.
async fn accepted(
    number: PartitionId,
    low: u64,
    cold: &mut Result<Cold, sqlx::Error>,
    untold: &str,
) -> Result<(MarkerBody, Books), String> {
    let cold = cold
        .as_mut()
        .map_err(|error| format!("postgres says {error}"))?;
    let marker = cold.marker().ok_or("cold has accepted no marker")?;
    let marker = MarkerBody::parse(marker.as_bytes()).map_err(|error| error.to_string())?;
    if marker.position < low {
        return Err(format!("cold needs them from {}", marker.position));
    }
    let cut = marker.to_cut().map_err(|error| error.to_string())?;
    let (mut decoder, mut balances) = (Decoder::new(), Ok(Vec::new()));
    let read = cold.pinned.balances(|row| {
        let read = body_of(&row, number).and_then(|body| {
            let ledger = shared_ledger(&mut decoder, &body.ledger);
            body.to_ledger(ledger).map_err(|error| error.to_string())
        });
        push(&mut balances, read);
    });
    read.await
        .map_err(|error| format!("postgres says {error}"))?;
    let holds = cold.pinned.holds(&marker).await;
    let holds = holds.map_err(|error| format!("postgres says {error}"))?;
    let from = format!(
        "what cold accepted as of command {}, for the log alone does not tell: {untold}",
        cut.command_offset
    );
    let books = Books::from_cut(number, &cut, (balances?, holds), &from);
    Ok((marker, books))
}

type Rows = Result<Vec<(BalanceId, Balance)>, String>;

/// Keeps the first error.
fn push(rows: &mut Rows, row: Result<(BalanceId, Balance), String>) {
    match (rows.as_mut(), row) {
        (Ok(rows), Ok(row)) => rows.push(row),
        (Ok(_), Err(error)) => *rows = Err(error),
        (Err(_), _) => {}
    }
}
