//! What crosses a process boundary: bytes that never change, and bytes that must be refused.

mod invalid;
