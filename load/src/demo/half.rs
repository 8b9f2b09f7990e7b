//! Half a day: the payments of one road, in order, and what becomes of them.

use std::sync::Arc;

use super::cast::Cast;
use super::day::{Move, Payment};
use crate::kafka::Route;
use crate::measure::{Schedule, Track};
use crate::reference::Tag;
use crate::wire::{Posting, Writer};

/// The attempts of one road. A payment that is sent twice is two of them, under one reference, so
/// the track counts attempts, and references are looked up.
#[derive(Debug)]
pub struct Half {
    pub cast: Arc<Cast>,
    pub payments: Vec<Payment>,
    pub track: Arc<Track>,
    writer: Writer,
}

impl Half {
    /// `typed` is the writer's: records name their type. `window` bounds what is unanswered.
    pub fn new(
        cast: &Arc<Cast>,
        payments: Vec<Payment>,
        tag: Tag,
        (typed, window): (bool, usize),
    ) -> Arc<Self> {
        let schedule = Schedule::all(window, payments.len());
        Arc::new(Self {
            cast: cast.clone(),
            payments,
            track: Arc::new(Track::new(tag.clone(), schedule)),
            writer: Writer {
                tag,
                ledger: cast.ledger.name.clone(),
                typed,
            },
        })
    }

    /// Appends an attempt, under the reference of its payment; gives where it goes.
    pub fn write(&self, attempt: usize, out: &mut Vec<u8>) -> Route {
        let payment = &self.payments[attempt];
        let key = |index: usize| &self.cast.accounts[index].key;
        let posting = |movement: &Move| Posting {
            source: key(movement.from),
            destination: key(movement.to),
            minor: movement.minor,
        };
        let postings: Vec<_> = payment.moves.iter().map(posting).collect();
        self.writer.transfer(payment.reference, &postings, out);
        Route::to(&self.cast.accounts[payment.moves[0].from])
    }

    pub fn reference(&self, attempt: usize) -> String {
        self.writer.tag.text(self.payments[attempt].reference)
    }
}
