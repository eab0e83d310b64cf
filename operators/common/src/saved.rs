//! Parts of a saved state, as postcard.

use mosaik_wasm_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

/// A part of a state, in as many bytes as it takes: all parts are in memory at once.
///
/// # Errors
/// When serde refuses the part.
pub fn save(part: &impl Serialize) -> Result<Vec<u8>> {
    let mut saved = postcard::to_extend(part, Vec::new())?;
    saved.shrink_to_fit();
    Ok(saved)
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// When it is something else.
pub fn load<'de, T: Deserialize<'de>>(saved: &'de [u8]) -> Result<T> {
    postcard::from_bytes(saved)
        .map_err(|error| Error::new(format_args!("the saved state cannot be read: {error}")))
}
