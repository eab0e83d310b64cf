//! `tickets`: the tickets that a node presents, and those that a stream requires.

use std::{fmt, str::FromStr};

use mosaik_streams::tickets::{
    EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512, InvalidKey, Jwt, MAX_TOKEN_LEN, Ticket,
    TicketValidator, VerifyingKey,
};

use crate::declare::{
    Declared, Diagnostic, Guarded, Kind, Shape, list, nested, one_of, read_section, section, text,
};

/// A required ticket. Two are equal if they have the same requirements.
#[derive(Clone)]
pub struct RequiredTicket(Jwt);

impl RequiredTicket {
    /// Returns the validator of the ticket.
    pub const fn validator(&self) -> &Jwt {
        &self.0
    }
}

impl PartialEq for RequiredTicket {
    fn eq(&self, other: &Self) -> bool {
        self.0.signature() == other.0.signature()
    }
}

impl Eq for RequiredTicket {}

/// Omits the requirements, which may be secret.
impl fmt::Debug for RequiredTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequiredTicket(***)")
    }
}

section! {
    /// A ticket that the node presents: `{jwt: "${file:/run/secrets/feed.jwt}"}`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PresentedTicket: "ticket" {
        /// JSON Web Token.
        pub jwt: Guarded<String> = token(), required;
    }
}

section! {
    /// Accepted JSON Web Tokens: those signed with one of the keys. At least one key is required.
    #[derive(Debug, Clone)]
    struct JwtKeys: "jwt" {
        /// Issuer of the token.
        issuer: Option<Guarded<String>> = text(), unset("any holder of the key");
        /// Audience that the token must have.
        audience: Option<Guarded<String>> = text(), unset("any");
        /// Subject that the token must have. Any node may then present the token, and every node of the network can
        /// read it.
        subject: Option<Guarded<String>> = text(), unset("peer id of the node that presents it");
        /// Secret of HMAC with SHA-256, 64 hex digits.
        hs256: Option<VerifyingKey> = key::<Hs256>("^[0-9A-Fa-f]{64}$", Some(32)), unset("none");
        /// Secret of HMAC with SHA-384, 96 hex digits.
        hs384: Option<VerifyingKey> = key::<Hs384>("^[0-9A-Fa-f]{96}$", Some(48)), unset("none");
        /// Secret of HMAC with SHA-512, 128 hex digits.
        hs512: Option<VerifyingKey> = key::<Hs512>("^[0-9A-Fa-f]{128}$", Some(64)), unset("none");
        /// Public key: a point of P-256 in SEC 1 form, 66 (compressed) or 130 hex digits.
        es256: Option<VerifyingKey> = key::<Es256>("^([0-9A-Fa-f]{66}|[0-9A-Fa-f]{130})$", None), unset("none");
        /// Public key: a point of P-384 in SEC 1 form, 98 (compressed) or 194 hex digits.
        es384: Option<VerifyingKey> = key::<Es384>("^([0-9A-Fa-f]{98}|[0-9A-Fa-f]{194})$", None), unset("none");
        /// Public key: a point of P-521 in SEC 1 form, 134 (compressed) or 266 hex digits.
        es512: Option<VerifyingKey> = key::<Es512>("^([0-9A-Fa-f]{134}|[0-9A-Fa-f]{266})$", None), unset("none");
        /// Public key of Ed25519, 64 hex digits.
        eddsa: Option<VerifyingKey> = key::<EdDsa>("^[0-9A-Fa-f]{64}$", None), unset("none");
    }
}

section! {
    /// A ticket that a peer must present.
    #[derive(Debug, Clone)]
    struct RequiredTicketKeys: "required_ticket" {
        /// JSON Web Token.
        jwt: RequiredTicket = jwt(), required;
    }
}

fn token() -> Kind<Guarded<String>> {
    Kind::new(Shape::Text, |cx, node, what| {
        cx.mask(node);
        let text = cx.text(node, what, "text")?;
        let token = text.as_str().trim();
        if let Err(expected) = check_form(token) {
            cx.note(Diagnostic::error("`jwt` is not a JSON Web Token").at(node.span, expected));
            return None;
        }
        Some(Guarded::new(token.to_owned(), text.value.is_secret()))
    })
}

/// Checks that a text has the form of a token. The token is validated by the peers that require it.
fn check_form(token: &str) -> Result<(), String> {
    if token.len() > MAX_TOKEN_LEN {
        return Err(format!("expected at most {MAX_TOKEN_LEN} bytes"));
    }
    let is_part = |part: &str| {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !part.is_empty() && part.bytes().all(is_base64)
    };
    let parts: Vec<&str> = token.split('.').collect();
    if parts.len() == 3 && parts.into_iter().all(is_part) {
        Ok(())
    } else {
        Err("expected three parts in base64url, with dots between them".into())
    }
}

/// Converts the tickets to their form on the network.
pub(crate) fn shown(tickets: &[PresentedTicket]) -> impl Iterator<Item = Ticket> {
    tickets
        .iter()
        .map(|ticket| Ticket::new(Jwt::CLASS, ticket.jwt.as_bytes().to_vec()))
}

/// The tickets that a stream requires.
pub(crate) fn required_tickets() -> Kind<Vec<RequiredTicket>> {
    let keys = list(nested::<RequiredTicketKeys>());
    Kind::new(keys.shape, move |cx, node, what| {
        let tickets = (keys.read)(cx, node, what)?.into_iter();
        Some(tickets.map(|keys| keys.jwt).collect())
    })
}

fn jwt() -> Kind<RequiredTicket> {
    Kind::new(Shape::Of(JwtKeys::SECTION), |cx, node, what| {
        let mistakes = cx.found.len();
        let keys = read_section::<JwtKeys>(cx, node, what)?.0;
        if cx.found.len() > mistakes {
            return None;
        }
        let signed_by = [
            keys.hs256, keys.hs384, keys.hs512, keys.es256, keys.es384, keys.es512, keys.eddsa,
        ];
        let mut signed_by = signed_by.into_iter().flatten();
        let Some(first) = signed_by.next() else {
            let names = JwtKeys::SECTION.names();
            let names = names.skip_while(|name| !name.starts_with("hs"));
            cx.note(
                Diagnostic::error("`jwt` has no key")
                    .at(node.span, format!("expected {}", one_of(names)))
                    .help("without a key, the signature cannot be verified"),
            );
            return None;
        };
        let mut jwt = signed_by.fold(Jwt::with_key(first), Jwt::add_key);
        if let Some(issuer) = keys.issuer {
            jwt = jwt.allow_issuer(issuer.into_inner());
        }
        if let Some(audience) = keys.audience {
            jwt = jwt.allow_audience(audience.into_inner());
        }
        if let Some(subject) = keys.subject {
            jwt = jwt.require_subject(subject.into_inner());
        }
        Some(RequiredTicket(jwt))
    })
}

/// A key that tokens are signed with; `secret_len` is the length in bytes of a secret one.
fn key<K>(pattern: &'static str, secret_len: Option<usize>) -> Kind<VerifyingKey>
where
    K: FromStr<Err = InvalidKey> + Into<VerifyingKey> + 'static,
{
    Kind::new(
        Shape::Pattern("hex digits", pattern),
        move |cx, node, what| {
            if secret_len.is_some() {
                cx.mask(node);
            }
            let text = cx.text(node, what, "hex digits")?;
            match text.as_str().trim().parse::<K>() {
                Ok(key) => Some(key.into()),
                Err(error) => {
                    let help = secret_len
                        .map(|len| format!("generate one with `openssl rand -hex {len}`"));
                    cx.note(
                        Diagnostic::error(format!("`{what}` is not a key"))
                            .at(node.span, error.expected)
                            .maybe_help(help),
                    );
                    None
                }
            }
        },
    )
}
