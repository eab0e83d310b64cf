//! `tickets`: the tickets that a node presents, and those that a stream requires.

use std::{fmt, str::FromStr};

use mosaik_streams::tickets::{
    EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512, InvalidKey, Jwt, MAX_TOKEN_LEN, Ticket,
    TicketValidator, VerifyingKey,
};

use super::{
    diagnostics::{Diagnostic, one_of},
    guarded::Guarded,
    keys::{Section, Shape, key, required},
    reader::{Fields, Reader},
    tree::Node,
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

/// The keys of a presented ticket.
static TICKET: Section = Section {
    name: "ticket",
    doc: "A ticket to show: `{jwt: \"${file:/run/secrets/feed.jwt}\"}`.",
    keys: &[required("jwt", Shape::Text, "A JSON Web Token.")],
};

/// The tickets that a node presents.
pub(crate) const TICKETS_SHAPE: Shape = Shape::List(&Shape::Of(&TICKET));

const HEX_96: Shape = Shape::Pattern("^[0-9A-Fa-f]{96}$");
const HEX_128: Shape = Shape::Pattern("^[0-9A-Fa-f]{128}$");
const P256: Shape = Shape::Pattern("^([0-9A-Fa-f]{66}|[0-9A-Fa-f]{130})$");
const P384: Shape = Shape::Pattern("^([0-9A-Fa-f]{98}|[0-9A-Fa-f]{194})$");
const P521: Shape = Shape::Pattern("^([0-9A-Fa-f]{134}|[0-9A-Fa-f]{266})$");

static JWT: Section = Section {
    name: "jwt",
    doc: "Accepted JSON Web Tokens: those signed with one of the keys; at least one key is needed.",
    keys: &[
        key(
            "issuer",
            Shape::Text,
            "Who must have issued the token. Default: anyone who has the key.",
        ),
        key(
            "audience",
            Shape::Text,
            "Audience that the token must have. Default: any.",
        ),
        key(
            "subject",
            Shape::Text,
            "Whom the token must name. Any node may then show it, and everyone on the network can read it. Default: the node that shows it, by its peer id.",
        ),
        key("hs256", Shape::Hex64, "The secret, 64 hex digits."),
        key("hs384", HEX_96, "The secret, 96 hex digits."),
        key("hs512", HEX_128, "The secret, 128 hex digits."),
        key(
            "es256",
            P256,
            "The public key: a point of P-256 in SEC 1 form, in hex digits: 66 compressed, or 130.",
        ),
        key(
            "es384",
            P384,
            "The public key: a point of P-384 in SEC 1 form, in hex digits: 98 compressed, or 194.",
        ),
        key(
            "es512",
            P521,
            "The public key: a point of P-521 in SEC 1 form, in hex digits: 134 compressed, or 266.",
        ),
        key(
            "eddsa",
            Shape::Hex64,
            "The public key of Ed25519, 64 hex digits.",
        ),
    ],
};

static REQUIRED_TICKET: Section = Section {
    name: "required_ticket",
    doc: "A ticket that must be shown.",
    keys: &[required("jwt", Shape::Of(&JWT), "A JSON Web Token.")],
};

/// The tickets that a stream requires.
pub(crate) const REQUIRED_TICKETS_SHAPE: Shape = Shape::List(&Shape::Of(&REQUIRED_TICKET));

/// Reads the tickets that a node presents.
pub(crate) fn read(cx: &mut Reader<'_>, node: &Node) -> Vec<Guarded<String>> {
    let read = |cx: &mut Reader<'_>, item: &Node| {
        let fields = cx.section(item, "tickets", &TICKET)?;
        let node = fields.node("jwt")?;
        cx.mask(node);
        let text = cx.text(node, "jwt", "text")?;
        let token = text.as_str().trim();
        if let Err(expected) = check_form(token) {
            cx.note(Diagnostic::error("`jwt` is not a JSON Web Token").at(node.span, expected));
            return None;
        }
        Some(Guarded::new(token.to_owned(), text.value.is_secret()))
    };
    cx.list(node, "tickets", read).unwrap_or_default()
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
pub(crate) fn shown(tokens: &[Guarded<String>]) -> impl Iterator<Item = Ticket> {
    tokens
        .iter()
        .map(|token| Ticket::new(Jwt::CLASS, token.as_bytes().to_vec()))
}

/// Reads the tickets that a stream requires.
pub(crate) fn read_required(cx: &mut Reader<'_>, node: &Node) -> Vec<RequiredTicket> {
    let read = |cx: &mut Reader<'_>, item: &Node| {
        let fields = cx.section(item, "tickets", &REQUIRED_TICKET)?;
        read_jwt(cx, fields.node("jwt")?)
    };
    cx.list(node, "tickets", read).unwrap_or_default()
}

fn read_jwt(cx: &mut Reader<'_>, node: &Node) -> Option<RequiredTicket> {
    let fields = cx.section(node, "jwt", &JWT)?;
    let mistakes = cx.found.len();
    let keys: Vec<VerifyingKey> = [
        read_key::<Hs256>(cx, &fields, "hs256"),
        read_key::<Hs384>(cx, &fields, "hs384"),
        read_key::<Hs512>(cx, &fields, "hs512"),
        read_key::<Es256>(cx, &fields, "es256"),
        read_key::<Es384>(cx, &fields, "es384"),
        read_key::<Es512>(cx, &fields, "es512"),
        read_key::<EdDsa>(cx, &fields, "eddsa"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut text = |key: &'static str| {
        let node = fields.node(key)?;
        cx.text(node, key, "text")
            .map(|text| text.value.into_inner())
    };
    let (issuer, audience, subject) = (text("issuer"), text("audience"), text("subject"));
    if cx.found.len() > mistakes {
        return None;
    }
    let mut keys = keys.into_iter();
    let Some(first) = keys.next() else {
        let names = JWT.names().skip_while(|name| !name.starts_with("hs"));
        cx.note(
            Diagnostic::error("`jwt` has no key")
                .at(node.span, format!("expected {}", one_of(names)))
                .help("without one, anybody could have signed the token"),
        );
        return None;
    };
    let mut jwt = keys.fold(Jwt::with_key(first), Jwt::add_key);
    if let Some(issuer) = issuer {
        jwt = jwt.allow_issuer(issuer);
    }
    if let Some(audience) = audience {
        jwt = jwt.allow_audience(audience);
    }
    if let Some(subject) = subject {
        jwt = jwt.require_subject(subject);
    }
    Some(RequiredTicket(jwt))
}

/// Reads a key, if it is present.
fn read_key<K: FromStr<Err = InvalidKey> + Into<VerifyingKey>>(
    cx: &mut Reader<'_>,
    fields: &Fields<'_>,
    name: &'static str,
) -> Option<VerifyingKey> {
    let node = fields.node(name)?;
    let secret_len = match name {
        "hs256" => Some(32),
        "hs384" => Some(48),
        "hs512" => Some(64),
        _ => None,
    };
    if secret_len.is_some() {
        cx.mask(node);
    }
    let text = cx.text(node, name, "hex digits")?;
    match text.as_str().trim().parse::<K>() {
        Ok(key) => Some(key.into()),
        Err(error) => {
            let help = secret_len.map(|len| format!("`openssl rand -hex {len}` makes one"));
            cx.note(
                Diagnostic::error(format!("`{name}` is not a key"))
                    .at(node.span, error.expected)
                    .maybe_help(help),
            );
            None
        }
    }
}
