//! The chapters of the book that show Rust: compiled and run with the tests of the documentation, and in nothing else.

#[doc = include_str!("../../docs/criteria.md")]
mod criteria {}

#[doc = include_str!("../../docs/tickets.md")]
mod tickets {}

#[doc = include_str!("../../docs/discovery.md")]
mod discovery {}
