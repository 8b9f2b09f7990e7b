//! By which rules records are decided: a number on the log.
//!
//! Two owners of a partition may run different binaries, during a rolling upgrade or where one has
//! lost its claim and does not know it yet. They do no harm as long as both write the same bytes
//! (P4), so a binary never decides by rules of its own choice: it decides by those that the log
//! has come to. A log begins with rules 1. A record of rules raises them from its own place in
//! `commands` on, in one partition; lower ones have no effect. A binary that does not know what a
//! record asks for stops there, and waits to be replaced.
//!
//! Whoever changes what is decided, or the bytes of an outcome, adds one here and keeps the old
//! way for partitions that are not there yet. Reading is never bound to it: fields are only added.

/// The latest rules that this binary knows; it knows all from 1 on.
pub const RULES_KNOWN: u32 = 1;

/// The rules of a log until a record raises them.
pub const RULES_FIRST: u32 = 1;
