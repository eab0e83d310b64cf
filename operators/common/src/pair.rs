//! A setting for two sides that may differ: `symbol`, or `{left: symbol, right: ticker}`.

use crate::members::members;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;

/// Reads a setting for two sides with these names: one value for both, or a map with one value for each.
///
/// # Errors
/// Names the side.
pub fn pair<'de, T: DeserializeOwned + Clone, D: Deserializer<'de>>(
    deserializer: D,
    names: [&str; 2],
) -> Result<[T; 2], D::Error> {
    read(&Box::<RawValue>::deserialize(deserializer)?, names).map_err(D::Error::custom)
}

fn read<T: DeserializeOwned + Clone>(raw: &RawValue, names: [&str; 2]) -> Result<[T; 2], String> {
    // Anything but an object has no sides.
    let members = members(raw.get().as_bytes()).unwrap_or_default();
    let is_side = |name: &str| names.contains(&name);
    if !members.iter().any(|(name, _)| is_side(name)) {
        let both: T = value(raw)?;
        return Ok([both.clone(), both]);
    }
    let [one, other] = names;
    if let Some((third, _)) = members.iter().find(|(name, _)| !is_side(name)) {
        return Err(format!(
            "unknown side `{third}`, expected `{one}` and `{other}`"
        ));
    }
    let side = |name: &str| match members.iter().find(|(known, _)| known == name) {
        Some((_, found)) => value(found).map_err(|error| format!("{name}: {error}")),
        None => Err(format!("`{name}` is missing beside the other side")),
    };
    Ok([side(one)?, side(other)?])
}

/// Parses a value. Removes the position in the JSON from the error, because the user wrote YAML.
fn value<T: DeserializeOwned>(raw: &RawValue) -> Result<T, String> {
    serde_json::from_slice(raw.get().as_bytes()).map_err(|error| {
        let reason = error.to_string();
        reason
            .split_once(" at line ")
            .map_or(reason.clone(), |(reason, _)| reason.to_owned())
    })
}
