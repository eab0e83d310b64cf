//! Issuers and validators of tickets in the tests.

use std::time::Duration;

use mosaik_streams::{
    Network,
    tickets::{Expiration, Hs256, Jwt, JwtTicketBuilder, Ticket},
};

/// The key of the issuer.
pub(crate) const KEY: Hs256 = Hs256::new([1; 32]);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn issuer() -> JwtTicketBuilder {
    JwtTicketBuilder::new(KEY).issuer("tests")
}

pub(crate) fn validator() -> Jwt {
    Jwt::with_key(KEY).allow_issuer("tests")
}

pub(crate) fn ticket_for(peer: &Network) -> Ticket {
    issuer().build(&peer.local().id(), Expiration::after(HOUR))
}
