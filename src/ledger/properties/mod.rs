//! The rules of money against random commands.
//!
//! [`sequential`] runs each command to its end before the next: a naive [`oracle`] that knows
//! neither partitions nor versions must agree with every answer and every balance.
//! [`interleaved`] delivers legs in any order of partitions, twice, and with owners that start
//! again: what must hold then is conservation, one answer for every question, and the same bytes.
//! [`held`] does both with holds, [`reversed`] gives back what was moved, and [`mixed`] gives the
//! oracle whatever an edge lets through. What runs to its end is rehearsed first, and must then do
//! just that.
//! [`values`] holds the small types against numbers computed by hand.

mod desk;
mod held;
mod interleaved;
mod mixed;
mod oracle;
mod plan;
mod reversed;
mod sequential;
mod splits;
mod values;
