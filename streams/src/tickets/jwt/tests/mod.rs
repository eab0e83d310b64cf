//! Accepted and refused tokens, with a fixed clock and handwritten tokens.

mod claims;
mod forged;

use data_encoding::BASE64URL_NOPAD;

use super::*;
use crate::{EndpointAddr, SecretKey, peer::Ticket};

const NOW: i64 = 1_800_000_000;
const SECRET: Hs256 = Hs256::new([7; 32]);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn peer() -> PeerId {
    SecretKey::from_bytes([1; 32]).public()
}

fn issuer() -> JwtTicketBuilder {
    JwtTicketBuilder::new(SECRET).issued_at(at(NOW - 10))
}

/// A ticket that is valid for another minute.
fn ticket(issuer: &JwtTicketBuilder) -> Ticket {
    issuer.build(&peer(), Expiration::At(at(NOW + 60)))
}

fn check(validator: &Jwt, ticket: &Ticket) -> Result<Expiration, InvalidTicket> {
    validator.check(&ticket.data, &peer(), NOW)
}

fn accepts(validator: &Jwt, ticket: &Ticket) -> bool {
    check(validator, ticket).is_ok()
}

/// A correctly signed token with any header and claims.
fn signed(key: impl Into<SigningKey>, header: &str, claims: &str) -> Ticket {
    let message = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(claims.as_bytes())
    );
    let signature = key.into().sign(message.as_bytes());
    Ticket::new(Jwt::CLASS, token::finish(message, &signature))
}

fn claims() -> String {
    format!(r#"{{"sub":"{:?}","exp":{}}}"#, peer(), NOW + 60)
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
