//! Tickets: credentials that nodes present to be admitted to streams, and their validation.

mod jwt;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use jwt::fuzzing;
pub use jwt::{
    EdDsa, EdDsaSigningKey, Es256, Es256SigningKey, Es384, Es384SigningKey, Es512, Es512SigningKey,
    Hs256, Hs384, Hs512, InvalidKey, Jwt, JwtTicketBuilder, LEEWAY, MAX_TOKEN_LEN, SigningKey,
    VerifyingKey,
};

pub use crate::peer::{Expiration, InvalidTicket, Ticket, TicketClass, TicketValidator};
