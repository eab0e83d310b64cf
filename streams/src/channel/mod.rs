//! What producers and consumers have in common: the protocol between them, queues, filters, taps, authorization, and
//! the status of their channels.

pub(crate) mod authorization;
pub mod backoff;
pub(crate) mod config;
pub(crate) mod env;
pub(crate) mod filter;
pub(crate) mod format;
pub(crate) mod hold;
pub(crate) mod protocol;
pub(crate) mod queue;
pub(crate) mod refusal;
pub(crate) mod side;
pub mod status;
pub mod tap;
