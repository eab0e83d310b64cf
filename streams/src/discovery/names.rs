//! The names of nodes. A name proves nothing: it is shown next to the peer id. No I/O.

use std::{collections::HashMap, sync::Arc};

use super::store::MAX_PEERS;
use crate::PeerId;

/// The maximum length of a name in bytes. Longer ones are truncated.
pub const MAX_NAME_LEN: usize = 64;

/// The names of peers, as received on direct connections. At most [`MAX_PEERS`].
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<PeerId, Arc<str>>);

impl Names {
    /// Sets the name of a peer; `None` removes it.
    pub(super) fn set(&mut self, peer: PeerId, name: Option<Arc<str>>) {
        match name {
            None => drop(self.0.remove(&peer)),
            Some(name) if self.0.len() < MAX_PEERS || self.0.contains_key(&peer) => {
                self.0.insert(peer, name);
            }
            Some(_) => {}
        }
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<Arc<str>> {
        self.0.get(peer).cloned()
    }
}

/// Truncates a name to the maximum length.
pub(super) fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_LEN)]
}

/// Decodes a received name and escapes characters that are unsafe in logs and terminals. Returns `None` if it is empty
/// or not UTF-8.
pub(super) fn read(bytes: &[u8]) -> Option<Arc<str>> {
    let name = shortened(std::str::from_utf8(bytes).ok()?);
    if name.is_empty() {
        return None;
    }
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() || turns_text(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Some(shown.into())
}

/// Returns true for characters that change the direction of the text after them.
const fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_harmless() {
        assert_eq!(read("Straße 7".as_bytes()).as_deref(), Some("Straße 7"));
        assert_eq!(
            read(b"a\x1b[2J\n\xe2\x80\xae").as_deref(),
            Some("a\\u{1b}[2J\\n\\u{202e}")
        );
        assert_eq!((read(b""), read(b"\xff")), (None, None));
        let long = "ä".repeat(MAX_NAME_LEN);
        assert_eq!(shortened(&long).len(), MAX_NAME_LEN);
        assert_eq!(
            read(format!("x{long}").as_bytes()).unwrap().len(),
            MAX_NAME_LEN - 1
        );
    }
}
