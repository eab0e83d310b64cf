//! What travels on the streams of `mosaik-streams`, and how it is looked into: ids, encodings, schemas, datums in wire format
//! and criteria. No I/O: it builds for a sandbox as well as for a node.
//!
//! `mosaik-streams` hands all of it on; whoever uses that crate needs no other.

pub mod canonical;
pub mod criteria;
mod cursor;
mod datum;
mod encoding;
pub mod frames;
mod id;
pub mod number;
pub mod path;
pub mod schema;

pub use bytes::{Bytes, BytesMut};
pub use criteria::Criteria;
pub use datum::Datum;
pub use encoding::Encoding;
pub use frames::{Frames, FramesBuilder};
pub use id::{Digest, NetworkId, StreamId, Tag, UniqueId};
pub use schema::Schema;
