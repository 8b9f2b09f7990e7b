//! What tests against real services share.

pub(crate) mod kafka;
