//! [`JwtTicketBuilder`]: issues tickets.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Jwt, keys::SigningKey, token};
use crate::{
    PeerId,
    peer::{Expiration, Ticket},
};

/// Issues JSON Web Tokens as tickets.
///
/// ```
/// use std::time::Duration;
///
/// use mosaik_streams::{
///     SecretKey,
///     tickets::{EdDsaSigningKey, Expiration, Jwt, JwtTicketBuilder},
/// };
///
/// let key = EdDsaSigningKey::random();
/// let validator = Jwt::with_key(key.verifying_key()).allow_issuer("my-app");
/// let issuer = JwtTicketBuilder::new(key).issuer("my-app");
///
/// let peer = SecretKey::generate().public();
/// let ticket = issuer.build(&peer, Expiration::after(Duration::from_secs(3600)));
/// assert_eq!(ticket.class, Jwt::CLASS);
/// # let _ = validator;
/// ```
#[derive(Debug, Clone)]
pub struct JwtTicketBuilder {
    key: SigningKey,
    claims: BTreeMap<String, Value>,
}

impl JwtTicketBuilder {
    /// Creates a builder that signs with this key.
    pub fn new(key: impl Into<SigningKey>) -> Self {
        Self {
            key: key.into(),
            claims: BTreeMap::new(),
        }
    }

    /// Sets the issuer, claim `iss`. Default: none.
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.claim("iss", issuer.into())
    }

    /// Sets the subject, claim `sub`. Default: the peer that the ticket is built for, as 64 hex digits.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject.into())
    }

    /// Sets the audience, claim `aud`. Default: none.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// Sets the time of issue, claim `iat`, in whole seconds. Default: the time at which the ticket is built.
    pub fn issued_at(self, time: impl Into<DateTime<Utc>>) -> Self {
        self.claim("iat", time.into().timestamp())
    }

    /// Sets the start of validity, claim `nbf`, in whole seconds. Default: at once.
    pub fn not_before(self, time: impl Into<DateTime<Utc>>) -> Self {
        self.claim("nbf", time.into().timestamp())
    }

    /// Sets the id of the token, claim `jti`. Default: none.
    pub fn token_id(self, id: impl Into<String>) -> Self {
        self.claim("jti", id.into())
    }

    /// Sets any claim. `exp` is always set by [`build`](Self::build).
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Issues a ticket for `peer_id`, valid until `expiration`, rounded down to whole seconds.
    ///
    /// If the claims make the token longer than [`MAX_TOKEN_LEN`](super::MAX_TOKEN_LEN), no validator accepts it.
    ///
    /// # Panics
    /// Panics with ES512 if the operating system provides no random bytes.
    pub fn build(&self, peer_id: &PeerId, expiration: Expiration) -> Ticket {
        let mut claims = self.claims.clone();
        claims
            .entry("sub".to_owned())
            .or_insert_with(|| subject_of(peer_id).into());
        claims
            .entry("iat".to_owned())
            .or_insert_with(|| Utc::now().timestamp().into());
        match expiration {
            Expiration::Never => claims.remove("exp"),
            Expiration::At(time) => claims.insert("exp".to_owned(), time.timestamp().into()),
        };
        let message = token::message(self.key.algorithm(), &claims);
        let signature = self.key.sign(message.as_bytes());
        Ticket::new(Jwt::CLASS, token::finish(message, &signature))
    }
}

/// Returns the form in which tokens name a peer: 64 lowercase hex digits.
pub(super) fn subject_of(peer: &PeerId) -> String {
    format!("{peer:?}")
}
