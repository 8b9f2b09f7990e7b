//! How far a long command is: a bar on a terminal, a line at the end elsewhere.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error; hidden where that is no terminal.
pub(super) fn bar(what: &str) -> ProgressBar {
    let target = match stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{msg:24} {bar:40} {human_pos} of {human_len}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// Ends the bar with a line that stays.
pub(super) fn done(bar: &ProgressBar, line: &str) {
    bar.finish_and_clear();
    eprintln!("{line}");
}
