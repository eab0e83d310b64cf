//! The effect of changing each key of the manifest, as a table for the documentation and for tests of [`Diff`].
//!
//! [`Diff`]: super::Diff

use super::Change;

/// The effect of changing a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The largest change that affected stages and streams undergo.
    Takes(Change),
    /// The node restarts.
    Restart,
}

const KEEP: Class = Class::Takes(Change::Keep);
const RETUNE: Class = Class::Takes(Change::Retune);
const SWAP: Class = Class::Takes(Change::Swap);
const REWIRE: Class = Class::Takes(Change::Rewire);
const RESTART: Class = Class::Restart;

/// The keys of a manifest with a class other than that of their parent key, written with dots; `*` stands for any name.
///
/// Keys below a listed key, and items of lists, have the class of that key unless they are listed themselves.
pub const CLASSES: &[(&str, Class)] = &[
    ("mosaik", KEEP),
    ("network", RESTART),
    ("node", RETUNE),
    ("node.name", RETUNE),
    ("node.secret_key", RESTART),
    ("node.listen", RESTART),
    ("node.advertise", RESTART),
    ("node.mdns", RESTART),
    ("node.protocol", RESTART),
    ("node.quic", RESTART),
    ("node.bootstrap", RETUNE),
    ("node.tags", RETUNE),
    ("node.tickets", RETUNE),
    ("streams", REWIRE),
    ("streams.*.scope", REWIRE),
    ("streams.*.id", REWIRE),
    ("streams.*.encoding", REWIRE),
    ("streams.*.schema", REWIRE),
    ("streams.*.criteria", RETUNE),
    ("streams.*.buffer_size", RETUNE),
    ("streams.*.buffer_bytes", RETUNE),
    ("streams.*.linger", RETUNE),
    ("streams.*.max_consumers", RETUNE),
    ("streams.*.disconnect_lagging", RETUNE),
    ("streams.*.online_when", RETUNE),
    ("streams.*.require", RETUNE),
    ("streams.*.backoff", RETUNE),
    ("producers", REWIRE),
    ("producers.*.from", REWIRE),
    ("producers.*.to", REWIRE),
    ("consumers", REWIRE),
    ("consumers.*.from", REWIRE),
    ("consumers.*.from.stream", REWIRE),
    ("consumers.*.from.criteria", RETUNE),
    ("consumers.*.from.buffer_size", RETUNE),
    ("consumers.*.from.buffer_bytes", RETUNE),
    ("consumers.*.from.batch_size", RETUNE),
    ("consumers.*.from.online_when", RETUNE),
    ("consumers.*.to", REWIRE),
    ("operators", REWIRE),
    ("operators.*.from", REWIRE),
    ("operators.*.from.stream", REWIRE),
    ("operators.*.from.criteria", RETUNE),
    ("operators.*.from.buffer_size", RETUNE),
    ("operators.*.from.buffer_bytes", RETUNE),
    ("operators.*.from.batch_size", RETUNE),
    ("operators.*.from.online_when", RETUNE),
    ("operators.*.to", REWIRE),
    ("operators.*.postcard", REWIRE),
    ("operators.*.wasm", SWAP),
    ("operators.*.digest", KEEP),
    ("operators.*.config", SWAP),
    ("operators.*.files", SWAP),
    ("operators.*.allow", SWAP),
    ("operators.*.state", SWAP),
    ("operators.*.instances", SWAP),
    ("operators.*.key", SWAP),
    ("operators.*.limits", RETUNE),
    ("operators.*.on_error", RETUNE),
    ("operators.*.tick", RETUNE),
    ("operators.*.checkpoint", RETUNE),
];
