//! The data model of `mosaik-streams`: ids, encodings, schemas, records in wire format, and criteria. No I/O: it also
//! compiles for WebAssembly.
//!
//! `mosaik-streams` re-exports all of it; applications that use that crate do not need this one.

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
