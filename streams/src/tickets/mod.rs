//! Tickets: what nodes show to be let into streams, and how it is judged.

mod ticket;
mod validator;

pub use ticket::{Ticket, TicketClass};
pub use validator::{Expiration, InvalidTicket, TicketValidator};
