//! The components of operators: reads the code of each once, compiles it once, opens it once, and
//! provides it to the manifest check and to the build. The component that a check has opened is
//! the one that starts.

mod builtins;
mod compile;
mod error;
mod library;
mod opened;
mod setup;
#[cfg(test)]
mod tests;

pub use builtins::BUILTINS;
pub use compile::{COMPILE_TIME_CAP, COMPILE_TIME_MAX};
pub use error::{CodeError, ComponentError, InstanceError};
pub use library::Library;
pub(crate) use setup::setup;
pub use setup::{granted, limits};

pub use crate::code::Code;
