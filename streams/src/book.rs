//! Compiles and runs the Rust examples of the book as doctests.

#[doc = include_str!("../../docs/criteria.md")]
mod criteria {}

#[doc = include_str!("../../docs/tickets.md")]
mod tickets {}

#[doc = include_str!("../../docs/discovery.md")]
mod discovery {}
