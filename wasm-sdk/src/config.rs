//! Parses an operator's configuration from JSON, with errors that name the field.

use crate::{Error, Result};
use serde::de::DeserializeOwned;

/// The configuration of an operator without settings. A manifest that contains any is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Parses a configuration. Empty text or `null` counts as the empty object for types that expect an object.
///
/// # Errors
/// Names the field: ``config.every: unknown unit `fortnight` ``.
pub fn parse_config<T: DeserializeOwned>(text: &str) -> Result<T> {
    if matches!(text.trim(), "" | "null") {
        // One deserializer for both, because each is compiled for the type and operators should be small.
        return parse("null").or_else(|_| parse("{}"));
    }
    parse(text)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    // `from_slice`, as for records: another reader of serde_json would add code.
    let mut json = serde_json::Deserializer::from_slice(text.as_bytes());
    let config = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        // The position refers to JSON generated from the manifest, which its author never sees.
        let message = message.split(" at line ").next().unwrap_or(&message);
        // Enums, and maps passed to another type, add a step without a name.
        let path = path.trim_end_matches(".?");
        if matches!(path, "." | "?") {
            return Error::new(format_args!("config: {message}"));
        }
        Error::new(format_args!("config.{path}: {message}"))
    })?;
    json.end()
        .map_err(|error| Error::new(format_args!("config: {error}")))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only their errors are looked at")]
    struct Config {
        every: u32,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its errors are looked at")]
    struct Part {
        name: String,
    }

    #[test]
    fn errors_name_the_field() {
        let error = |text| parse_config::<Config>(text).unwrap_err().into_reason();
        assert_eq!(
            error(r#"{"every":"x"}"#),
            r#"config.every: invalid type: string "x", expected u32"#
        );
        assert_eq!(
            error(r#"{"every":1,"parts":[{"name":2}]}"#),
            "config.parts[0].name: invalid type: integer `2`, expected a string"
        );
        assert_eq!(error("{}"), "config: missing field `every`");
        assert_eq!(error(""), "config: missing field `every`");
        assert!(error(r#"{"every":1,"evry":2}"#).contains("unknown field `evry`"));
        assert!(error(r#"{"every":1} x"#).starts_with("config: trailing characters"));
    }

    #[test]
    fn nothing_is_an_empty_configuration() {
        assert_eq!(parse_config::<NoConfig>("").unwrap(), NoConfig {});
        assert_eq!(parse_config::<NoConfig>(" null ").unwrap(), NoConfig {});
        assert_eq!(parse_config::<NoConfig>("{}").unwrap(), NoConfig {});
        assert!(parse_config::<NoConfig>(r#"{"a":1}"#).is_err());
        parse_config::<()>("").unwrap();
        assert_eq!(parse_config::<Option<u8>>("").unwrap(), None);
    }
}
