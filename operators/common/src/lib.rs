//! What several of the built-in operators share: fields, keys and times of JSON datums. No operator of its own.

pub mod civil;
pub mod clock;
pub mod encodings;
pub mod fields;
pub mod hash;
pub mod key;
pub mod members;
pub mod pair;
pub mod recent;
pub mod saved;
pub mod shape;
pub mod size;
pub mod span;
pub mod time;
