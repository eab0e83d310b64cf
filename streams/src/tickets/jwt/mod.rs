//! JSON Web Tokens as tickets (RFC 7519): [`Jwt`] validates them, [`JwtTicketBuilder`] issues them.
//!
//! Implements the part of RFC 7515 that tickets need: the compact form, seven algorithms, and only keys given to the
//! validator. Keys in a token's header are ignored.

mod builder;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod keys;
mod token;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use builder::JwtTicketBuilder;
pub use keys::{
    EdDsa, EdDsaSigningKey, Es256, Es256SigningKey, Es384, Es384SigningKey, Es512, Es512SigningKey,
    Hs256, Hs384, Hs512, InvalidKey, SigningKey, VerifyingKey,
};
pub use token::MAX_TOKEN_LEN;
use token::Token;

use crate::{
    PeerId, UniqueId, id,
    peer::{Expiration, InvalidTicket, PeerEntry, TicketClass, TicketValidator},
};

/// The tolerated clock difference: 50 s, as in the catalog. A token's `nbf` and `iat` may be this far in the future.
/// Its expiry is checked against this node's clock without tolerance.
pub const LEEWAY: Duration = Duration::from_secs(50);

/// Validates JSON Web Tokens.
///
/// A token is valid if it is signed with one of the keys, by the algorithm of that key, and
/// - `sub` is the peer that presents it, or the text set with [`require_subject`](Self::require_subject);
/// - `exp` is in the future, or missing if [`allow_non_expiring`](Self::allow_non_expiring) is set;
/// - `nbf` and `iat`, if present, are in the past, with a tolerance of [`LEEWAY`];
/// - `iss`, `aud` and other claims have the values required by the methods below;
/// - its header contains no critical extension (`crit`), no member of header or claims occurs twice, and it has at most
///   [`MAX_TOKEN_LEN`] bytes.
///
/// ```
/// use std::time::Duration;
///
/// use mosaik_streams::tickets::{Hs256, Jwt};
///
/// const KEY: Hs256 = Hs256::hex("87e50edd90e2f9d53a7f2a9bd51c1069a454b827f0e1002577c54e1c2a598568");
///
/// let validator = Jwt::with_key(KEY)
///     .allow_issuer("my-auth-service")
///     .max_lifetime(Duration::from_secs(3600));
/// # let _ = validator;
/// ```
#[derive(Debug, Clone)]
pub struct Jwt {
    keys: Vec<VerifyingKey>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    subject: Option<String>,
    claims: BTreeMap<String, Value>,
    allow_non_expiring: bool,
    max_lifetime: Option<Duration>,
    max_age: Option<Duration>,
}

impl Jwt {
    /// The class of these tickets.
    pub const CLASS: TicketClass = id!("mosaik.tickets.jwt.v1");

    /// Creates a validator for tokens signed with this key.
    pub fn with_key(key: impl Into<VerifyingKey>) -> Self {
        Self {
            keys: vec![key.into()],
            issuers: Vec::new(),
            audiences: Vec::new(),
            subject: None,
            claims: BTreeMap::new(),
            allow_non_expiring: false,
            max_lifetime: None,
            max_age: None,
        }
    }

    /// Accepts another key as well. While keys are being changed, tokens of both are valid.
    pub fn add_key(mut self, key: impl Into<VerifyingKey>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Requires this issuer (`iss`). With several calls, one of them must match. Default: any or none.
    pub fn allow_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Requires this audience (`aud`), alone or in a list. With several calls, one of them must match. Default: any or
    /// none.
    pub fn allow_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Requires this subject (`sub`). Any peer can then present the token, which every node of the network can read.
    /// Default: the presenting peer, as 64 lowercase hex digits.
    pub fn require_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Requires this value of a claim. With several claims, all must match.
    pub fn require_claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Accepts tokens without `exp`, which never expire. Default: rejects them.
    pub const fn allow_non_expiring(mut self) -> Self {
        self.allow_non_expiring = true;
        self
    }

    /// Limits how far `exp` may be in the future. Does not apply to tokens without `exp`. Default: no limit.
    pub const fn max_lifetime(mut self, duration: Duration) -> Self {
        self.max_lifetime = Some(duration);
        self
    }

    /// Requires `iat`, at most `duration` ago. The token expires after that. Default: no limit.
    pub const fn max_age(mut self, duration: Duration) -> Self {
        self.max_age = Some(duration);
        self
    }

    /// Returns the expiration of a valid token. `now` is in seconds since 1970.
    fn check(&self, token: &[u8], peer: &PeerId, now: i64) -> Result<Expiration, InvalidTicket> {
        let token = Token::parse(token)?;
        let algorithm = token.header.text("alg").ok_or(InvalidTicket)?;
        if token.header.get("crit").is_some() || !self.meets(&token, peer) {
            return Err(InvalidTicket);
        }
        let until = self.until(&token, now)?;
        // Last, because it is by far the most expensive check.
        let is_signed = self
            .keys
            .iter()
            .filter(|key| key.algorithm() == algorithm)
            .any(|key| key.verify(token.message.as_bytes(), &token.signature));
        if is_signed {
            Ok(until)
        } else {
            Err(InvalidTicket)
        }
    }

    /// Returns true if the claims match, except for times.
    fn meets(&self, token: &Token<'_>, peer: &PeerId) -> bool {
        let claims = &token.claims;
        let is_subject = match &self.subject {
            Some(subject) => claims.text("sub") == Some(subject),
            None => claims.text("sub") == Some(&builder::subject_of(peer)),
        };
        let is_one_of = |value: &Value, allowed: &[String]| {
            let text = value.as_str();
            text.is_some_and(|text| allowed.iter().any(|allowed| allowed == text))
        };
        let is_issuer = self.issuers.is_empty()
            || (claims.get("iss")).is_some_and(|issuer| is_one_of(issuer, &self.issuers));
        let is_audience = self.audiences.is_empty()
            || match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(|one| is_one_of(one, &self.audiences)),
                Some(one) => is_one_of(one, &self.audiences),
                None => false,
            };
        is_subject
            && is_issuer
            && is_audience
            && (self.claims.iter()).all(|(name, value)| claims.get(name) == Some(value))
    }

    /// Returns the expiration that results from the times.
    fn until(&self, token: &Token<'_>, now: i64) -> Result<Expiration, InvalidTicket> {
        let claims = &token.claims;
        // Fractions of a second are rounded in the direction of a shorter validity.
        let expires = claims.seconds("exp", f64::floor)?;
        let not_before = claims.seconds("nbf", f64::ceil)?;
        let issued = claims.seconds("iat", f64::floor)?;

        let latest = now.saturating_add(whole_seconds(LEEWAY));
        if not_before.is_some_and(|time| time > latest) || issued.is_some_and(|time| time > latest)
        {
            return Err(InvalidTicket);
        }
        if expires.is_none() && !self.allow_non_expiring {
            return Err(InvalidTicket);
        }
        if let (Some(expires), Some(max)) = (expires, self.max_lifetime)
            && expires.saturating_sub(now) > whole_seconds(max)
        {
            return Err(InvalidTicket);
        }
        let too_old = match self.max_age {
            Some(max) => {
                let issued = issued.ok_or(InvalidTicket)?;
                Some(issued.saturating_add(whole_seconds(max)))
            }
            None => None,
        };
        let Some(until) = [expires, too_old].into_iter().flatten().min() else {
            return Ok(Expiration::Never);
        };
        if until <= now {
            return Err(InvalidTicket);
        }
        DateTime::from_timestamp(until, 0)
            .map(Expiration::At)
            .ok_or(InvalidTicket)
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl TicketValidator for Jwt {
    fn class(&self) -> TicketClass {
        Self::CLASS
    }

    /// Equals that of Mosaik's validator with the same settings.
    fn signature(&self) -> UniqueId {
        let seconds = |duration: Option<Duration>| {
            duration
                .map_or(0, |duration| duration.as_secs())
                .to_le_bytes()
        };
        let keys = self.keys.iter().fold(Self::CLASS, |id, key| {
            id.derive(key.algorithm()).derive(key.fingerprint())
        });
        let settings = keys
            .derive([u8::from(self.allow_non_expiring)])
            .derive(self.issuers.join(","))
            .derive(self.audiences.join(","))
            .derive(self.subject.as_deref().unwrap_or_default())
            .derive(seconds(self.max_lifetime))
            .derive(seconds(self.max_age));
        self.claims.iter().fold(settings, |id, (name, value)| {
            id.derive(name).derive(value.to_string())
        })
    }

    fn validate(&self, ticket: &[u8], peer: &PeerEntry) -> Result<Expiration, InvalidTicket> {
        self.check(ticket, peer.id(), Utc::now().timestamp())
    }
}

#[cfg(test)]
mod tests;
