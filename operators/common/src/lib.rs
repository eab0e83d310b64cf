//! Code shared by several built-in operators: fields, keys and times of JSON records. Not an operator.

pub mod civil;
pub mod clock;
pub mod encodings;
pub mod fields;
pub mod hash;
pub mod key;
pub mod members;
pub mod recent;
pub mod saved;
pub mod shape;
pub mod size;
pub mod span;
pub mod time;
