//! The options as a table, for the README: generated, so that it cannot be out of date.

use std::fmt::Write;

use clap::{Arg, Command};

/// A Markdown table of the options of `command`, a role, under their headings.
pub fn markdown(command: &Command) -> String {
    let mut text = String::new();
    let mut heading = None;
    let options = command
        .get_arguments()
        .filter(|arg| arg.get_env().is_some());
    for arg in options {
        if arg.get_help_heading() != heading || text.is_empty() {
            heading = arg.get_help_heading();
            let title = heading.unwrap_or("Options");
            let _ = write!(
                text,
                "\n**{title}**\n\n| flag | variable | default | what |\n"
            );
            text.push_str("|---|---|---|---|\n");
        }
        text.push_str(&row(arg));
    }
    text
}

fn row(arg: &Arg) -> String {
    let flag = arg.get_long().unwrap_or_default();
    let variable = arg
        .get_env()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let defaults = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy());
    let default = defaults.collect::<Vec<_>>().join(",");
    let default = match default.is_empty() {
        true => String::new(),
        false => format!("`{default}`"),
    };
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let help = help
        .replace('|', "\\|")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    format!("| `--{flag}` | `{variable}` | {default} | {help} |\n")
}
