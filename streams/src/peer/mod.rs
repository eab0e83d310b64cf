//! The public description of a node: its signed entry, with the tickets that it presents to others. No I/O.

mod address;
mod entry;
pub(crate) mod extension;
mod layout;
mod signed;
mod ticket;
mod validator;

#[cfg(test)]
pub(crate) use address::{CustomAddress, Transport};
pub(crate) use entry::now_ms;
pub use entry::{Generation, PeerEntry, PeerEntryVersion};
pub(crate) use signed::Unverified;
pub use signed::{InvalidSignature, SignedPeerEntry};
pub use ticket::{Ticket, TicketClass};
pub use validator::{Expiration, InvalidTicket, MAX_TICKETS_JUDGED, TicketValidator};
