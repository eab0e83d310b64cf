//! Requests and answers of a node: the protocol between the tests and this process.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a node starts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub network: String,
    /// The relay's URL.
    pub relay: String,
    /// `<peer id>@<ip>:<port>` each.
    #[serde(default)]
    pub bootstrap: Vec<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub purge_after_ms: Option<u64>,
    #[serde(default)]
    pub announce_interval_ms: Option<u64>,
    /// 64 hex digits; a new key without.
    #[serde(default)]
    pub secret_key: Option<String>,
}

/// What is required of a peer, or issued to this node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtRule {
    pub issuer: String,
    /// 64 hex digits: the key of HS256.
    pub hs256: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Makes a producer of a stream.
    Produce {
        stream: String,
        #[serde(default)]
        require_tags: Vec<String>,
        #[serde(default)]
        require_jwt: Option<JwtRule>,
        #[serde(default)]
        max_consumers: Option<usize>,
        #[serde(default)]
        buffer_size: Option<usize>,
        #[serde(default)]
        disconnect_lagging: Option<bool>,
    },
    /// Makes a consumer of a stream, and takes all that comes.
    Consume {
        stream: String,
        #[serde(default)]
        require_tags: Vec<String>,
        #[serde(default)]
        require_jwt: Option<JwtRule>,
    },
    /// Sends readings, as soon as the producer is online.
    Send {
        stream: String,
        from: u64,
        count: u64,
        /// Bytes added to each.
        #[serde(default)]
        padding: usize,
    },
    /// Waits until N readings have arrived, and reports them.
    Received { stream: String, at_least: u64 },
    /// Waits until so many others are connected to the stream: consumers of its producer, or else producers.
    Connected { stream: String, count: usize },
    /// Drops the producer and the consumer of a stream.
    Drop { stream: String },
    /// Puts marks on this node, and takes marks off.
    Tags {
        #[serde(default)]
        add: Vec<String>,
        #[serde(default)]
        remove: Vec<String>,
    },
    /// Presents a ticket, optionally one for another peer.
    Ticket {
        jwt: JwtRule,
        expires_in_ms: i64,
        #[serde(default)]
        subject: Option<String>,
    },
    /// Returns the content of the catalog.
    Catalog {},
    /// Waits until the catalog holds a peer with these tags, or does not hold it.
    Peer {
        id: String,
        known: bool,
        #[serde(default)]
        tags: Vec<String>,
    },
    /// Takes an entry, unsigned and encoded, at the user's word.
    Told { entry: Vec<u8> },
    /// Exchanges catalogs with a peer.
    Sync { peer: String },
    /// Gets in touch with a peer, as gossip does.
    Dial { peer: String },
    /// Waits until the node has logged a line with this text.
    Logged { text: String },
    /// Leaves the network, as dropping a Mosaik node does.
    Leave {},
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done(Value),
    Failed(String),
}
