//! Encodes parts of a saved state as postcard.

use mosaik_wasm_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

/// Encodes a part of a state without spare capacity, since all parts are in memory at the same time.
///
/// # Errors
/// Fails if serde cannot serialize the part.
pub fn save(part: &impl Serialize) -> Result<Vec<u8>> {
    let mut saved = postcard::to_extend(part, Vec::new())?;
    saved.shrink_to_fit();
    Ok(saved)
}

/// Decodes a part encoded by [`save`].
///
/// # Errors
/// Fails if it is anything else.
pub fn load<'de, T: Deserialize<'de>>(saved: &'de [u8]) -> Result<T> {
    postcard::from_bytes(saved)
        .map_err(|error| Error::new(format_args!("failed to read the saved state: {error}")))
}
