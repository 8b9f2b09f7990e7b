//! The HTTP API, in this process, against the real services.

mod api;
mod bad_input;
mod cold;
mod dry_run;
mod faults;
mod holds;
mod keys;
mod reversals;
mod road;
mod security;
mod tried;
