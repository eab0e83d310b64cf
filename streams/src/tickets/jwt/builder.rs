//! Issues tickets.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Jwt, SigningKey, token};
use crate::{
    PeerId,
    tickets::{Expiration, Ticket},
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
    /// Issues with this key.
    pub fn new(key: impl Into<SigningKey>) -> Self {
        Self {
            key: key.into(),
            claims: BTreeMap::new(),
        }
    }

    /// Who issues: the claim `iss`. Default: none.
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.claim("iss", issuer.into())
    }

    /// For whom: the claim `sub`. Default: the peer that the ticket is built for, as 64 hex digits.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject.into())
    }

    /// What for: the claim `aud`. Default: none.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// When: the claim `iat`, in whole seconds. Default: when the ticket is built.
    pub fn issued_at(self, time: impl Into<DateTime<Utc>>) -> Self {
        self.claim("iat", time.into().timestamp())
    }

    /// From when it is good: the claim `nbf`, in whole seconds. Default: at once.
    pub fn not_before(self, time: impl Into<DateTime<Utc>>) -> Self {
        self.claim("nbf", time.into().timestamp())
    }

    /// What this token is called: the claim `jti`. Default: nothing.
    pub fn token_id(self, id: impl Into<String>) -> Self {
        self.claim("jti", id.into())
    }

    /// Any claim. `exp` is always what [`build`](Self::build) is told.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// A ticket that `peer_id` may show until `expiration`, which counts in whole seconds, rounded down.
    ///
    /// Claims that make a token longer than [`MAX_TOKEN_LEN`](super::MAX_TOKEN_LEN) make one that is good nowhere.
    ///
    /// # Panics
    /// With ES512, when the operating system has no random bytes to give.
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

/// How tokens name a peer: by its 64 hex digits in lower case.
pub(super) fn subject_of(peer: &PeerId) -> String {
    format!("{peer:?}")
}
