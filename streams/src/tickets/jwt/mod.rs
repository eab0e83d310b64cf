//! JSON Web Tokens as tickets (RFC 7519): [`Jwt`] judges them, [`JwtTicketBuilder`] issues them.
//!
//! Of RFC 7515 only what tickets need is here: the compact form, seven algorithms, no key but those given to the
//! validator. Whatever a token's header says of keys is not looked at.

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

use super::{Expiration, InvalidTicket, TicketClass, TicketValidator};
use crate::{PeerId, UniqueId, discovery::PeerEntry, id};

/// How far ahead another machine's clock may be: 50 s, as in the catalog. For so long a token may be dated in the future,
/// by `nbf` or `iat`. Its expiry is judged by this node's clock alone, to the second.
pub const LEEWAY: Duration = Duration::from_secs(50);

/// Judges JSON Web Tokens.
///
/// A token is good when one of the keys signed it, by the algorithm that the key is of, and
/// - `sub` is the peer that shows it, or the text that [`require_subject`](Self::require_subject) said;
/// - `exp` is there and ahead, unless [`allow_non_expiring`](Self::allow_non_expiring) was said and it is not there;
/// - `nbf` and `iat`, where they are there, have come, give or take [`LEEWAY`];
/// - `iss`, `aud` and other claims are what the methods below say;
/// - its header names no critical extension (`crit`), no member of header or claims is named twice, and it has at most
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

    /// Tokens signed with this key.
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

    /// Or with this one. During a change of keys, tokens of both are good.
    pub fn add_key(mut self, key: impl Into<VerifyingKey>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// `iss` must be this; said several times, one of them. Default: anything, or not there.
    pub fn allow_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// `aud` must be this, or a list that has it; said several times, one of them. Default: anything, or not there.
    pub fn allow_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// `sub` must be this. Any peer may then show the token, and everyone on the network can read it. Default: the peer
    /// that shows the token, as 64 hex digits in lower case.
    pub fn require_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// This claim must have this value; said for several claims, all of them.
    pub fn require_claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Tokens without `exp` are good too, for ever. Default: they are not.
    pub const fn allow_non_expiring(mut self) -> Self {
        self.allow_non_expiring = true;
        self
    }

    /// `exp` may be at most so far ahead. Says nothing of tokens without it. Default: any time.
    pub const fn max_lifetime(mut self, duration: Duration) -> Self {
        self.max_lifetime = Some(duration);
        self
    }

    /// `iat` must be there and at most so long ago; the token expires when it no longer is. Default: any time.
    pub const fn max_age(mut self, duration: Duration) -> Self {
        self.max_age = Some(duration);
        self
    }

    /// Until when the token is good, at a moment in seconds since 1970.
    fn judge(&self, token: &[u8], peer: &PeerId, now: i64) -> Result<Expiration, InvalidTicket> {
        let token = Token::parse(token)?;
        let algorithm = token.header.text("alg").ok_or(InvalidTicket)?;
        if token.header.get("crit").is_some() || !self.meets(&token, peer) {
            return Err(InvalidTicket);
        }
        let until = self.until(&token, now)?;
        // Last, because it costs by far the most.
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

    /// Whether the claims are those wanted, times aside.
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

    /// Until when the token is good by its times.
    fn until(&self, token: &Token<'_>, now: i64) -> Result<Expiration, InvalidTicket> {
        let claims = &token.claims;
        // Of parts of a second, always to the side on which the token is good for less.
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

    /// The same as that of Mosaik's validator with the same settings.
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
        self.judge(ticket, peer.id(), Utc::now().timestamp())
    }
}

#[cfg(test)]
mod tests;
