//! The macros that name ids and streams when a program is compiled. They expand through `$crate` alone, so that the crate
//! works under any name.

pub use crate::stream;

/// An id from a literal, computed when the program is compiled: 64 hex digits are taken as they are, other text is
/// hashed. May be used in constants.
///
/// ```
/// use mosaik_streams::{StreamId, unique_id};
///
/// const PRICES: StreamId = unique_id!("oracle.price");
/// assert_eq!(PRICES, StreamId::from("oracle.price"));
/// ```
#[macro_export]
macro_rules! unique_id {
    ($text:expr) => {
        $crate::UniqueId::from_bytes($crate::__private::id_bytes!($text))
    };
}

/// The same as [`unique_id!`](crate::unique_id).
#[macro_export]
macro_rules! id {
    ($text:expr) => {
        $crate::unique_id!($text)
    };
}

/// The same as [`unique_id!`](crate::unique_id), for a [`Tag`](crate::Tag).
#[macro_export]
macro_rules! tag {
    ($text:expr) => {
        $crate::unique_id!($text)
    };
}

#[doc = include_str!("stream_macro.md")]
#[macro_export]
macro_rules! stream {
    ($($definition:tt)*) => {
        $crate::__private::stream! { ($crate) $($definition)* }
    };
}

/// What the macros expand to. Not for use by name.
#[doc(hidden)]
pub mod __private {
    pub use mosaik_streams_macros::{id_bytes, stream};
}
