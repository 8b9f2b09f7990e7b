//! How far the day has come: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::table::grouped;

pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    said: Instant,
}

/// Between two looks, and between two plain lines.
pub const LOOK: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(2);

impl Progress {
    pub fn new(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = "{bar:40} {human_pos} of {human_len} payments  {per_sec}  {elapsed}";
            bar.with_style(
                ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()),
            )
        });
        Self {
            bar,
            total,
            said: Instant::now(),
        }
    }

    pub fn show(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.said.elapsed() >= LINE => {
                eprintln!("{} of {} payments", grouped(done), grouped(self.total));
                self.said = Instant::now();
            }
            None => {}
        }
    }

    pub fn finish(&mut self, done: u64) {
        match self.bar.take() {
            Some(bar) => {
                bar.set_position(done);
                bar.finish();
            }
            None => eprintln!("{} of {} payments", grouped(done), grouped(self.total)),
        }
    }
}
